/** What there is when the agent starts: put together from the checkpoint, instance metadata and EC2. */
import {
  addressesIn,
  emptyPool,
  expire,
  heldIn,
  instanceLimits,
  type Pool,
  type Refusal,
  restore,
  type Slot,
  slotsOf,
} from '@enid/ipam';
import type { Ec2, Ec2Eni, TypeLimits } from '../aws/ec2.ts';
import { AwsError } from '../aws/errors.ts';
import type { InstanceIdentity, InstanceMetadata, MetadataEni } from '../aws/metadata.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Logger } from '../log.ts';
import type { NodeNetwork } from '../seams.ts';
import { adopt, type RuntimePod } from './adoption.ts';
import { type CheckpointData, type CheckpointStore, parseCheckpoint } from './checkpoint.ts';
import type { EniConfigSource } from './eni-config.ts';
import { isManaged } from './eni-policy.ts';

export type WarmPoolOptions = {
  /** Absent: EC2 is never called, metadata alone tells what there is. */
  readonly ec2?: Ec2 | undefined;
  readonly metadata: InstanceMetadata;
  readonly network: Pick<NodeNetwork, 'setEnis'> & Partial<Pick<NodeNetwork, 'podLinks'>>;
  /** The pods that the container runtime runs: asked only when there is no checkpoint but pods are wired. */
  readonly runtimePods?: (() => Promise<readonly RuntimePod[]>) | undefined;
  readonly store: CheckpointStore;
  readonly clock: Clock;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly log: Logger;
  readonly identity: InstanceIdentity;
  readonly settings: Config['pool'];
  readonly clusterName?: string | undefined;
  /** Custom networking: what secondary ENIs are made with. The primary one then gives pods no addresses. */
  readonly eniConfigs?: EniConfigSource | undefined;
  /** Whether new pods may come to the node; always, when absent. */
  readonly schedulable?: (() => boolean) | undefined;
  /** How many pods the node takes, when that is known. */
  readonly maxPods?: (() => number | undefined) | undefined;
  /**
   * Told why the node cannot have more addresses, every few seconds as long as it needs some: no pod is refused on a node
   * that never had any, since it is not ready. Also when its ENIConfig is missing. It neither throws nor waits.
   */
  readonly onShortage?: ((refusal: Refusal) => void) | undefined;
};

/** What the start finds out before there is a pool. */
export type Findings = {
  readonly primary: MetadataEni;
  readonly limits: TypeLimits;
  readonly pool: Pool;
  /** ENIs to take up, with what they really carry. */
  readonly enis: readonly { readonly eni: MetadataEni; readonly slots: readonly Slot[] }[];
  /** The same as EC2 describes them, when it answered. */
  readonly described: readonly Ec2Eni[];
  /** ENIs of network card 0 that are not the agent's. */
  readonly foreign: ReadonlySet<string>;
  /** Whether EC2 confirmed the above. */
  readonly confirmed: boolean;
  /** Whether there was no checkpoint, and one is to be written. */
  readonly adopted: boolean;
};

/**
 * Reads checkpoint, metadata and EC2, and puts together what they say. When EC2 does not answer, the primary ENI and
 * those that carry pods are enough to go on with.
 * @throws {CheckpointError} for a checkpoint that cannot be read.
 * @throws {AwsError} when metadata does not answer, or the limits of the instance type cannot be found.
 */
export async function investigate(options: WarmPoolOptions): Promise<Findings> {
  const { ec2, metadata, clock, log, identity, settings } = options;
  const [data, shown, described, limits] = await Promise.all([
    recall(options),
    metadata.enis(),
    ec2?.attachedEnis().catch((error: AwsError) => {
      log.error({ err: error }, 'EC2 does not answer: ENIs that no pod uses are left alone until it does');
      return undefined;
    }),
    ec2 ? ec2.limits(identity.instanceType) : instanceLimits(identity.instanceType),
  ]);
  if (!limits) {
    const text = `the network limits of the instance type ${identity.instanceType} are not known: unset ENABLE_IMDS_ONLY_MODE, so that EC2 can be asked`;
    throw new AwsError('UnknownInstanceType', 'DescribeInstanceTypes', text);
  }
  const cardZero = shown.filter(({ networkCard }) => networkCard === 0);
  const primary = cardZero.find(({ deviceNumber }) => deviceNumber === 0);
  if (!primary) throw new AwsError('Metadata', 'GetMetadata', 'instance metadata shows no primary ENI');

  const { allocations, released, cordoned } = data;
  let pool = restore(emptyPool(settings.cooldown, settings.mode), allocations, released, cordoned);
  const usesEni = (eni: MetadataEni) =>
    eni.deviceNumber === 0 || !ec2 || slotsOf(eni).some((slot) => heldIn(pool, slot).length > 0);
  const { managed, foreign } = described
    ? divide(described, options)
    : { managed: cardZero.filter(usesEni), foreign: new Set<string>() };
  const enis = managed.flatMap(({ id, addresses, prefixes }) => {
    const eni = cardZero.find((candidate) => candidate.id === id);
    return eni ? [{ eni, slots: slotsOf({ addresses, prefixes }) }] : [];
  });
  const { othersReleasedAt } = data;
  if (othersReleasedAt !== undefined) {
    const others = enis
      .flatMap(({ slots }) => slots.flatMap((slot) => [...addressesIn(slot)]))
      .filter((address) => !pool.allocations.has(address));
    pool = { ...pool, released: new Map(others.map((address) => [address, othersReleasedAt])) };
  }
  pool = expire(pool, clock.now());
  const confirmed = !ec2 || (described !== undefined && enis.length === managed.length);
  return {
    primary,
    limits,
    pool,
    enis,
    described: described ? (managed as Ec2Eni[]) : [],
    foreign,
    confirmed,
    adopted: data.adopted,
  };
}

/** Who holds what: by the checkpoint, and without one by what is wired. */
async function recall(options: WarmPoolOptions): Promise<CheckpointData & { readonly adopted: boolean }> {
  const { store, network, runtimePods, clock, log } = options;
  const found = await store.read();
  if (found) return { ...parseCheckpoint(store.name, found), adopted: false };
  const links = network.podLinks?.() ?? [];
  if (links.length === 0) return { allocations: [], released: [], adopted: false };
  const pods = await (runtimePods?.() ?? Promise.resolve([])).catch((error: unknown) => {
    log.warn({ err: error }, 'the container runtime does not tell the names of the pods that are wired');
    return [];
  });
  const data = adopt(links, pods, clock.now());
  const unknown = data.allocations.filter((each) => each.metadata.hostVeth !== undefined).length;
  const text = `there is no ${store.name}, but pods are wired: their addresses were taken from the kernel`;
  log.warn({ pods: links.length, unknown }, text);
  return { ...data, adopted: true };
}

/** Divides the ENIs of network card 0 into those that pods may use and those that are somebody else's. */
export function divide(
  described: readonly Ec2Eni[],
  { identity, settings }: Pick<WarmPoolOptions, 'identity' | 'settings'>,
): { managed: Ec2Eni[]; foreign: Set<string> } {
  // One that is being detached gives nobody an address any more.
  const cardZero = described.filter(
    ({ attachment }) => attachment?.networkCard === 0 && attachment.status.startsWith('attach'),
  );
  const isOurs = (eni: Ec2Eni) => isManaged(eni, identity.instanceId, settings.manageUntaggedEni);
  return {
    managed: cardZero.filter(isOurs),
    foreign: new Set(cardZero.filter((eni) => !isOurs(eni)).map(({ id }) => id)),
  };
}
