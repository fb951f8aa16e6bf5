/** Makes the pool larger and smaller at EC2: one of the actions that `@enid/ipam` plans, a call. */
import type { Ipv4, Ipv4Cidr } from '@enid/ip';
import {
  addSlots,
  dropEni,
  heldIn,
  isFreeSlot,
  markLeaving,
  prefixSlotOf,
  type Slot,
  type SlotKey,
  slotKey,
  slotOf,
  slotsOf,
  withdraw,
} from '@enid/ipam';
import type { Ec2, Ec2Eni } from '../aws/ec2.ts';
import { AwsError } from '../aws/errors.ts';
import type { MetadataEni } from '../aws/metadata.ts';
import { faultPoint } from '../fault-point.ts';
import { EniLifecycle } from './eni-lifecycle.ts';
import { explainShortage } from './fragmentation.ts';
import type { WarmPoolOptions } from './investigate.ts';
import type { NodePool } from './node-pool.ts';

export class Provisioner {
  readonly lifecycle: EniLifecycle;
  readonly #options: WarmPoolOptions & { readonly ec2: Ec2 };
  readonly #node: NodePool;
  readonly #stop: AbortSignal;
  #lastDecrease: number | undefined;

  /** @param stop ends every wait: what is under way is left for the next start. */
  constructor(options: WarmPoolOptions & { readonly ec2: Ec2 }, node: NodePool, stop: AbortSignal) {
    this.#options = options;
    this.#node = node;
    this.#stop = stop;
    const inUse = (eni: Ec2Eni) => slotsOf(eni).some((slot) => heldIn(node.pool, slot).length > 0);
    const excludes = (subnetId: string) => node.places.excludes(subnetId);
    this.lifecycle = new EniLifecycle({ ...options, inUse, excludes, signal: stop });
  }

  /** When slots were last given back. */
  get lastDecrease(): number | undefined {
    return this.#lastDecrease;
  }

  /**
   * Fills an ENI, or another one with room when its subnet has nothing left. ENIs in subnets that had nothing a moment
   * ago are tried last, after a new ENI in another subnet.
   */
  async fill(first: string, count: number): Promise<void> {
    const { places, pool, bounds } = this.#node;
    const open = pool.enis.filter(
      (eni) => !eni.leaving && !eni.draining && eni.slots.length < bounds.slotsPerEni,
    );
    const ids = [...new Set([first, ...open.map(({ id }) => id)])];
    const last = ids.filter((id) => places.isExhausted(id));
    const failure = await this.#fillOneOf(
      ids.filter((id) => !last.includes(id)),
      count,
    );
    if (failure === 'filled') return;
    if (places.mayDiffer && this.#node.pool.enis.length < bounds.enis) return this.attach(count);
    const again = failure ?? (await this.#fillOneOf(last, count));
    if (again instanceof AwsError) throw again;
  }

  /** @returns what the first subnet that had nothing left said, when none had. */
  async #fillOneOf(ids: readonly string[], count: number): Promise<AwsError | 'filled' | undefined> {
    const { places } = this.#node;
    const tried = new Map<string, AwsError>();
    for (const id of ids) {
      const subnetId = places.subnetOf(id);
      if (tried.has(subnetId)) continue;
      try {
        await this.#fillOne(id, count);
        return 'filled';
      } catch (error) {
        if (!(error instanceof AwsError && error.isSubnetFull)) throw error;
        places.exhaust(subnetId);
        const { primary } = this.#node;
        tried.set(subnetId, await explainShortage(error, { ...this.#options, primary, subnetId }));
      }
    }
    return tried.values().next().value;
  }

  async #fillOne(id: string, count: number): Promise<void> {
    const node = this.#node;
    node.asked = { eniId: id, slots: count };
    faultPoint('slots-asked');
    try {
      const added = await this.#assign(id, count).catch((error: unknown) => {
        // A subnet that is almost empty may have one left.
        if (count > 1 && error instanceof AwsError && error.isSubnetFull) return this.#assign(id, 1);
        throw error;
      });
      faultPoint('slots-assigned');
      node.pool = addSlots(node.pool, id, added);
      faultPoint('slots-offered');
      this.#options.log.info({ eni: id, added: added.map(slotKey) }, 'addresses assigned to ENI');
    } finally {
      node.asked = undefined;
    }
  }

  /** Slots of the pool's kind, and of no other: a node of prefixes is planned for prefixes. */
  async #assign(id: string, count: number): Promise<Slot[]> {
    const { ec2 } = this.#options;
    if (this.#node.pool.mode === 'prefix') return (await ec2.assignPrefixes(id, count)).map(prefixSlotOf);
    return (await ec2.assignAddresses(id, count)).map(slotOf);
  }

  /** Attaches an ENI that brings so many slots. */
  async attach(count: number): Promise<void> {
    const node = this.#node;
    // Those that leave are known, too: pods would lose one that is taken up and then freed.
    const known = new Set(node.enis.keys());
    const use = (eni: MetadataEni) => node.bringUp(eni, slotsOf(eni));
    const config = await this.#options.eniConfigs?.configFor();
    node.asked = { slots: count };
    try {
      await this.lifecycle.attach(known, node.primary, { kind: node.pool.mode, count }, use, config);
    } finally {
      node.asked = undefined;
    }
  }

  /** Gives addresses and prefixes back, those of them that may go by now. @returns which did. */
  async unassign(id: string, keys: readonly SlotKey[], mayGo = isFreeSlot): Promise<SlotKey[]> {
    const { ec2, log } = this.#options;
    const { pool, withdrawn } = withdraw(this.#node.pool, id, keys, this.#node.now, mayGo);
    this.#node.pool = pool;
    this.#lastDecrease = this.#node.now;
    if (withdrawn.length === 0) return [];
    faultPoint('slots-withdrawn');
    // When it fails they are still there: the next comparison with EC2 finds them.
    const prefixes = withdrawn.filter((key): key is Ipv4Cidr => key.includes('/'));
    const addresses = withdrawn.filter((key): key is Ipv4 => !key.includes('/'));
    if (prefixes.length > 0) await ec2.unassignPrefixes(id, prefixes);
    if (addresses.length > 0) await ec2.unassignAddresses(id, addresses);
    faultPoint('slots-unassigned');
    log.info({ eni: id, removed: withdrawn }, 'addresses unassigned from ENI');
    return withdrawn;
  }

  /** Frees an ENI, or goes on with that where it came to a halt. */
  async free(id: string): Promise<void> {
    const node = this.#node;
    node.pool = markLeaving(node.pool, id, true);
    faultPoint('eni-leaving');
    try {
      await node.setEnis();
      faultPoint('eni-down');
      await this.lifecycle.free(id);
    } catch (error) {
      if (this.#stop.aborted) throw error; // The next start sees what came of it.
      // The answer may be lost and not the detachment: it is used again only when EC2 has it attached.
      const found = await this.#options.ec2.eni(id);
      if (found?.attachment?.status !== 'attached') throw error;
      await node.setEnis(id);
      node.pool = markLeaving(node.pool, id, false);
      throw error;
    }
    node.enis.delete(id);
    node.pool = dropEni(node.pool, id);
    this.#options.log.info({ eni: id }, 'ENI freed');
  }
}
