/** Keeps the pool as metadata and EC2 show the node: what others attach is taken up, what they take away is dropped. */
import type { Ipv4 } from '@enid/ip';
import { addressesOf, type ObservedEni, reconcile, type Slot, slotSize, slotsOf } from '@enid/ipam';
import type { Ec2, Ec2Eni } from '../aws/ec2.ts';
import type { MetadataEni } from '../aws/metadata.ts';
import type { Housekeeping } from './housekeeping.ts';
import { divide, type WarmPoolOptions } from './investigate.ts';
import type { NodePool } from './node-pool.ts';

/** How long the pool rests before it is compared with metadata. */
const INTERVAL = 60_000;
/** The same when there is something to be found. */
const SOON = 5_000;
/** The longest time between two comparisons, however busy the pool is. */
const LONGEST = 120_000;

export class Reconciler {
  readonly #options: WarmPoolOptions;
  readonly #node: NodePool;
  readonly #housekeeping: Housekeeping | undefined;
  #at: number;
  #ranAt: number;

  /** @param confirmed whether the pool is known to be as EC2 has it. */
  constructor(
    options: WarmPoolOptions,
    node: NodePool,
    housekeeping: Housekeeping | undefined,
    confirmed: boolean,
  ) {
    this.#options = options;
    this.#node = node;
    this.#housekeeping = housekeeping;
    this.#ranAt = options.clock.now();
    this.#at = this.#ranAt + (confirmed ? INTERVAL : SOON);
  }

  /** Whether it is time to compare. */
  get due(): boolean {
    return this.#node.now >= this.#at;
  }

  /** EC2 was changed: metadata may lag, so it is compared later, but not ever later. */
  postpone(): void {
    this.#at = Math.min(this.#node.now + INTERVAL, this.#ranAt + LONGEST);
  }

  /** There may be something to be found. */
  hasten(): void {
    this.#at = Math.min(this.#at, this.#node.now + SOON);
  }

  /**
   * Compares the pool with metadata and, when they differ, makes it agree with EC2.
   * @param force whether it agrees with EC2 afterwards, whatever metadata shows.
   */
  async run(force = false): Promise<void> {
    const node = this.#node;
    const { ec2, metadata } = this.#options;
    this.#ranAt = node.now;
    this.postpone();
    const shown = (await metadata.enis()).filter(({ networkCard }) => networkCard === 0);
    node.primary = shown.find(({ deviceNumber }) => deviceNumber === 0) ?? node.primary;
    const { leaving } = node;
    const used = shown.filter(({ id }) => node.enis.has(id) && !leaving.has(id));
    await this.#housekeeping?.alignSecurityGroups(node.primary, used);
    const ours = shown.filter(({ id }) => !node.foreign.has(id)).map(observed);
    const { appeared, vanished, changed, pool } = reconcile(node.pool, ours, node.now);
    if (!force && appeared.length + vanished.length + changed === 0) {
      node.pool = pool;
      return;
    }
    const attached = ec2 ? (await this.#managedEnis(ec2)).map(observed) : ours;
    await this.#follow(attached, shown);
  }

  async #managedEnis(ec2: Ec2): Promise<Ec2Eni[]> {
    const { managed, foreign } = divide(await ec2.attachedEnis(), this.#options);
    this.#node.foreign = foreign;
    this.#housekeeping?.claim(managed);
    return managed;
  }

  async #follow(attached: readonly ObservedEni[], shown: readonly MetadataEni[]): Promise<void> {
    const node = this.#node;
    const { log } = this.#options;
    const { events } = node;
    const before = node.pool;
    const { pool, appeared, vanished, lost, changed } = reconcile(before, attached, node.now);
    node.pool = pool;
    const isLost = (address: Ipv4) => lost.includes(address);
    events.reconciled.eniIPPoolReconcile += changed;
    for (const address of lost) {
      events.lostAddresses++;
      const { key, metadata } = pool.allocations.get(address)!;
      log.error(
        { address, ...key, ...metadata },
        'a pod is cut off: EC2 has taken its address from this node',
      );
    }
    for (const id of vanished) {
      events.reconciled.eniReconcileDel++;
      if (before.enis.some((eni) => eni.id === id && addressesOf(eni).some(isLost))) events.lostEnis++;
      node.enis.delete(id);
      log.error({ eni: id }, 'an ENI was detached by somebody else');
    }
    if (vanished.length > 0) await node.setEnis();
    for (const id of appeared) {
      const eni = shown.find((candidate) => candidate.id === id);
      if (!eni) {
        this.hasten(); // Metadata will have it soon.
        continue;
      }
      events.reconciled.eniReconcileAdd++;
      await this.takeUp(eni, attached.find((candidate) => candidate.id === id)!.slots, 'reconcile');
    }
    if (changed > 0) node.notify();
  }

  /** Brings up an ENI that was found. One that fails is left out, and tried again soon. */
  async takeUp(eni: MetadataEni, slots: readonly Slot[], when: string): Promise<void> {
    const { log } = this.#options;
    try {
      await this.#node.bringUp(eni, slots);
      const addresses = slots.reduce((sum, slot) => sum + slotSize(slot), 0);
      log.info({ eni: eni.id, device: eni.deviceNumber, addresses, when }, 'ENI taken up');
    } catch (error) {
      this.#node.events.fail('setupENI');
      this.hasten();
      log.error({ err: error, eni: eni.id }, 'ENI could not be brought up: its addresses are not used yet');
    }
  }
}

const observed = (eni: MetadataEni | Ec2Eni): ObservedEni => ({ id: eni.id, slots: slotsOf(eni) });
