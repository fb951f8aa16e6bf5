import { type AddressMap, addressMap } from './address-map.ts';
import type { Ec2, Ec2Subnet } from './aws/ec2.ts';
import type { InstanceIdentity, InstanceMetadata } from './aws/metadata.ts';
import type { Clock } from './clock.ts';
import type { WarmPool } from './pool/warm-pool.ts';

/** How long EC2's count of a subnet's addresses is shown before it is asked again: whoever watches asks every second. */
const FRESH = 30_000;
/** How long a map waits for EC2 before it goes without those counts. */
const PATIENCE = 2_000;

/** The map of a running agent, made anew at each call. */
export function mapOf({
  node,
  identity,
  metadata,
  ec2,
  pool,
  clock,
}: {
  readonly node: string;
  readonly identity: InstanceIdentity;
  readonly metadata: InstanceMetadata;
  readonly ec2: Pick<Ec2, 'subnets'> | undefined;
  readonly pool: Pick<WarmPool, 'view'>;
  readonly clock: Clock;
}): () => Promise<AddressMap> {
  let subnets: readonly Ec2Subnet[] = [];
  let askedAt = -Infinity;
  const learn = async (vpcId: string | undefined): Promise<void> => {
    if (!ec2 || !vpcId || clock.now() - askedAt < FRESH) return;
    askedAt = clock.now();
    const answer = ec2.subnets(vpcId, identity.availabilityZone).then(
      (found) => {
        subnets = found;
      },
      () => {
        subnets = []; // As where IAM does not allow it.
      },
    );
    const patience = new AbortController();
    await Promise.race([answer, clock.sleep(PATIENCE, patience.signal).catch(() => {})]);
    patience.abort('answered');
  };
  return async () => {
    const shown = await metadata.enis();
    await learn(shown[0]?.vpcId);
    const { instanceType } = identity;
    return addressMap({ node, instanceType, view: pool.view, shown, subnets, now: clock.now() });
  };
}
