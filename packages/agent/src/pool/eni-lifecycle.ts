/**
 * Makes, takes up and frees secondary ENIs.
 *
 * Each step leaves a state from which the next start finds its way: an ENI is tagged as it is made, so that one that
 * was never attached can be found and deleted; one that is attached is taken up; one that was detached is found by
 * its tags again.
 */

import type { Ec2, Ec2Eni, NewEni, Tags } from '../aws/ec2.ts';
import { AwsError } from '../aws/errors.ts';
import type { InstanceIdentity, InstanceMetadata, MetadataEni } from '../aws/metadata.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { faultPoint } from '../fault-point.ts';
import type { Logger } from '../log.ts';
import type { EniConfig } from './eni-config.ts';
import { DESCRIPTION_PREFIX, isManaged, isOwn, subnetOrder, TAG, tagsForEni } from './eni-policy.ts';
import { explainShortage } from './fragmentation.ts';

/** How long metadata may take to show an attached ENI with its addresses. */
const METADATA_TIMEOUT = 60_000;
/** The least that EC2 takes to detach an ENI, which cannot be deleted before, and the most that is waited for. */
const DETACH_TIME = 2_000;
const DETACH_TIMEOUT = 60_000;
/** An unattached ENI of another node that is younger may be on its way to it. */
const LEFTOVER_AGE = 5 * 60_000;

export type EniLifecycleOptions = {
  readonly ec2: Ec2;
  readonly metadata: InstanceMetadata;
  readonly clock: Clock;
  readonly log: Logger;
  readonly identity: InstanceIdentity;
  readonly settings: Config['pool'];
  readonly clusterName?: string | undefined;
  /** Whether a pod holds an address of the ENI: then it stays attached whatever fails. */
  readonly inUse: (eni: Ec2Eni) => boolean;
  /** Whether pods are not to have addresses of the subnet. */
  readonly excludes: (subnetId: string) => boolean;
  /** Ends every wait: what is under way is left for the next start. */
  readonly signal: AbortSignal;
};

export class EniLifecycle {
  readonly #options: EniLifecycleOptions;

  constructor(options: EniLifecycleOptions) {
    this.#options = options;
  }

  /**
   * Attaches one more ENI: one that is attached already but not known yet, else a new one. Whatever fails, nothing
   * is left behind, but for an ENI that pods use; only a stop leaves another that is attached, for the next start to
   * take up.
   * @param known ids of the ENIs in use.
   * @param slots what a new ENI comes with.
   * @param config where a new ENI goes, if that is told; else it is like the primary one.
   * @param use takes the ENI into use; called once metadata shows it with its addresses.
   * @throws {AwsError} naming the limit that the step hit, or the signal's reason.
   */
  async attach(
    known: ReadonlySet<string>,
    primary: MetadataEni,
    slots: NewEni['slots'],
    use: (eni: MetadataEni) => Promise<void>,
    config?: EniConfig,
  ): Promise<void> {
    const { ec2, identity, settings, signal } = this.#options;
    const attached = await ec2.attachedEnis();
    const stray = attached.find(
      (eni) =>
        !known.has(eni.id) &&
        isManaged(eni, identity.instanceId, settings.manageUntaggedEni) &&
        eni.attachment!.status.startsWith('attach'),
    );
    if (stray) return this.#settle(stray, stray.attachment!.id, use);
    signal.throwIfAborted();
    const devices = new Set(attached.map((eni) => eni.attachment?.deviceNumber));
    let device = 1;
    while (devices.has(device)) device++;
    const eni = await this.#create(primary, slots, config);
    faultPoint('eni-created');
    const attachmentId = await this.#attachTo(eni, device);
    faultPoint('eni-attached');
    return this.#settle(eni, attachmentId, use);
  }

  /** @returns the attachment's id. */
  async #attachTo({ id }: Ec2Eni, device: number): Promise<string> {
    const { ec2 } = this.#options;
    try {
      return await ec2.attachEni(id, device);
    } catch (error) {
      // The answer may be lost and not the attachment.
      const eni = await ec2.eni(id).catch(() => undefined);
      if (eni?.attachment) return eni.attachment.id;
      await this.#delete(id);
      throw error;
    }
  }

  /**
   * Detaches an ENI, unless it is on its way already, and deletes it.
   * @throws {AwsError} when it could not be detached, {Error} when a pod holds an address of it: then it is as it was.
   */
  async free(id: string): Promise<void> {
    const { ec2, inUse } = this.#options;
    const eni = await ec2.eni(id);
    if (eni?.attachment?.status.startsWith('attach')) {
      // A release that could not be written down was undone meanwhile.
      if (inUse(eni)) throw new Error(`${id} stays attached: a pod holds an address of it`);
      await ec2.detachEni(eni.attachment.id);
    }
    faultPoint('eni-detached');
    if (eni?.attachment) await this.#deleteDetached(id);
    else if (eni) await this.#delete(id);
    faultPoint('eni-deleted');
  }

  /**
   * Completes what an attached ENI should have: tags, and for one that an agent made that it is deleted with the
   * instance.
   */
  async claim(eni: Ec2Eni): Promise<void> {
    const { ec2, identity } = this.#options;
    if (eni.tags[TAG.instance] === undefined) await ec2.tag(eni.id, this.#tags());
    if (eni.attachment && !eni.attachment.deleteOnTermination && isOwn(eni, identity.instanceId))
      await ec2.setDeleteOnTermination(eni.id, eni.attachment.id);
  }

  /** Deletes the unattached ENIs that agents of this instance left behind. @param primary the instance's first ENI. */
  async deleteOwnLeftovers({ vpcId }: MetadataEni): Promise<void> {
    const { ec2, identity } = this.#options;
    for (const eni of await ec2.unattachedEnis({ [TAG.instance]: identity.instanceId }, vpcId)) {
      if (isOwn(eni, identity.instanceId)) await this.#delete(eni.id);
    }
  }

  /** Deletes unattached ENIs that agents of other instances of the cluster left behind in the VPC long enough ago. */
  async deleteClusterLeftovers({ vpcId }: MetadataEni): Promise<void> {
    const { ec2, clusterName, clock } = this.#options;
    const tags = { [TAG.instance]: undefined, ...(clusterName && { [TAG.cluster]: clusterName }) };
    for (const eni of await ec2.unattachedEnis(tags, vpcId)) {
      if (!eni.description.startsWith(DESCRIPTION_PREFIX)) continue;
      const createdAt = Date.parse(eni.tags[TAG.createdAt] ?? '');
      if (Number.isNaN(createdAt)) {
        await ec2.tag(eni.id, { [TAG.createdAt]: new Date(clock.now()).toISOString() });
      } else if (clock.now() - createdAt > LEFTOVER_AGE) {
        await this.#delete(eni.id);
      }
    }
  }

  /** Makes an ENI in the first of the subnets that has room: for all prefixes that it is to carry, else for one. */
  async #create(primary: MetadataEni, slots: NewEni['slots'], config?: EniConfig): Promise<Ec2Eni> {
    const { ec2, identity, log } = this.#options;
    const tags = this.#tags();
    const description = `${DESCRIPTION_PREFIX}${identity.instanceId}`;
    const { securityGroups } = config?.securityGroups.length ? config : primary;
    const failures = new Map<string, AwsError>();
    const subnets = config ? [config.subnetId] : await this.#subnets(primary);
    const least = slots.kind === 'prefix' ? Math.min(slots.count, 1) : slots.count;
    for (const count of new Set([slots.count, least])) {
      for (const subnetId of subnets) {
        try {
          const made = { subnetId, securityGroups, slots: { ...slots, count }, description, tags };
          const eni = await ec2.createEni(made);
          const { addresses, prefixes } = eni;
          log.info({ eni: eni.id, subnet: subnetId, addresses, prefixes }, 'ENI created');
          return eni;
        } catch (error) {
          if (!(error instanceof AwsError && error.isOfSubnet)) throw error;
          failures.set(subnetId, await explainShortage(error, { ...this.#options, primary, subnetId }));
        }
      }
    }
    throw allOf([...failures.values()]) ?? this.#noSubnet();
  }

  #noSubnet(): AwsError {
    const { availabilityZone } = this.#options.identity;
    const text = `no subnet of ${availabilityZone} may take ENIs: tag one with ${TAG.subnetRole}=1, or set ENABLE_SUBNET_DISCOVERY=false`;
    return new AwsError('NoSubnet', 'CreateNetworkInterface', text);
  }

  #tags(): Tags {
    const { identity, settings, clusterName, clock } = this.#options;
    const { instanceId } = identity;
    return tagsForEni({ instanceId, clusterName, additional: settings.additionalEniTags, now: clock.now() });
  }

  async #subnets(primary: MetadataEni): Promise<string[]> {
    const { ec2, identity, settings, clusterName, excludes, log } = this.#options;
    if (!settings.subnetDiscovery) return [primary.subnetId];
    try {
      const subnets = await ec2.subnets(primary.vpcId, identity.availabilityZone);
      return subnetOrder(subnets, primary.subnetId, clusterName);
    } catch (error) {
      if (excludes(primary.subnetId)) throw error;
      log.warn({ err: error }, 'subnets cannot be looked up: the new ENI goes to that of the primary one');
      return [primary.subnetId];
    }
  }

  /** Waits until the instance has the attached ENI. Undoes it when that fails, if it was an agent's. */
  async #settle(eni: Ec2Eni, attachmentId: string, use: (eni: MetadataEni) => Promise<void>): Promise<void> {
    const { ec2, identity, inUse, log, signal } = this.#options;
    try {
      if (!eni.attachment?.deleteOnTermination) await ec2.setDeleteOnTermination(eni.id, attachmentId);
      faultPoint('eni-marked');
      const settled = await this.#untilInMetadata(eni);
      faultPoint('eni-shown');
      await use(settled);
      const { deviceNumber: device, addresses, prefixes } = settled;
      log.info({ eni: eni.id, device, addresses, prefixes }, 'ENI attached');
    } catch (error) {
      const useless = isOwn(eni, identity.instanceId) && !inUse(eni);
      if (!signal.aborted && useless) await this.#discard(eni.id, attachmentId);
      throw error;
    }
  }

  async #discard(id: string, attachmentId: string): Promise<void> {
    const { ec2, log } = this.#options;
    try {
      await ec2.detachEni(attachmentId);
    } catch (error) {
      log.error({ err: error, eni: id }, 'an ENI of no use could not be detached: it will be taken up again');
      return;
    }
    await this.#deleteDetached(id);
  }

  async #untilInMetadata(eni: Ec2Eni): Promise<MetadataEni> {
    const { metadata, clock, signal } = this.#options;
    const deadline = clock.now() + METADATA_TIMEOUT;
    for (let pause = 100; ; pause = Math.min(pause * 1.5, 1000)) {
      const found = (await metadata.enis()).find(({ id }) => id === eni.id);
      if (found && carriesAll(found, eni)) return found;
      if (clock.now() >= deadline) {
        const text = `${eni.id} was attached but is not in instance metadata after ${METADATA_TIMEOUT / 1000} s`;
        throw new AwsError('MetadataTimeout', 'AttachNetworkInterface', text);
      }
      await clock.sleep(pause, signal);
    }
  }

  /** Deletes an ENI that is being detached; a call that comes too early would only cost one. */
  async #deleteDetached(id: string): Promise<void> {
    const { clock, signal } = this.#options;
    await clock.sleep(DETACH_TIME, signal);
    await this.#delete(id);
  }

  /** Deletes an ENI as soon as it is detached; what fails is logged and left for a later clean-up. */
  async #delete(id: string): Promise<void> {
    const { ec2, clock, log, signal } = this.#options;
    const deadline = clock.now() + DETACH_TIMEOUT;
    for (let pause = 1_000; ; pause = Math.min(pause * 1.5, 5_000)) {
      try {
        await ec2.deleteEni(id);
        log.info({ eni: id }, 'ENI deleted');
        return;
      } catch (error) {
        if (error instanceof AwsError && error.isNotFound) return;
        if (clock.now() >= deadline || (error instanceof AwsError && error.isDenied)) {
          log.error({ err: error, eni: id }, 'ENI could not be deleted: it is left for the next clean-up');
          return;
        }
        log.debug({ err: error, eni: id }, 'ENI cannot be deleted yet');
      }
      await clock.sleep(pause, signal);
    }
  }
}

const carriesAll = (found: MetadataEni, { addresses, prefixes }: Ec2Eni): boolean =>
  addresses.every((address) => found.addresses.includes(address)) &&
  prefixes.every((prefix) => found.prefixes.includes(prefix));

/** One error for what happened in each subnet. */
function allOf(failures: readonly AwsError[]): AwsError | undefined {
  const [first, ...others] = failures;
  if (!first || others.length === 0) return first;
  const text = failures.map(({ message }) => message).join('; ');
  return new AwsError(first.code, first.operation, text, { cause: first });
}
