/** The address map: every ENI of the node, and of every address whose it is. */
import type { Ipv4, Ipv4Cidr } from '@enid/ip';
import {
  addressesIn,
  coolingUntil,
  countsOf,
  givenKind,
  isCordoned,
  type Pool,
  type PoolEni,
  type Slot,
  slotsOf,
} from '@enid/ipam';
import type { Ec2Subnet } from './aws/ec2.ts';
import type { MetadataEni } from './aws/metadata.ts';
import type { PoolView } from './pool/node-pool.ts';

/**
 * What an address is for: `assigned` to a pod; `warm` is free to be given; `cooling` rests after a release; `cordoned` was
 * put aside by an operator; `draining` goes back to EC2; `cut off` is held by a pod, and on no ENI any more. Those of an ENI
 * that pods get none of are `foreign` or `not in use`, as the ENI is.
 */
export type AddressState =
  | 'assigned'
  | 'warm'
  | 'cooling'
  | 'cordoned'
  | 'draining'
  | 'cut off'
  | 'foreign'
  | 'not in use';

export type MappedAddress = {
  readonly address: Ipv4;
  readonly state: AddressState;
  /** Of an assigned one. Times are ISO 8601. */
  readonly namespace?: string;
  readonly pod?: string;
  readonly containerId?: string;
  readonly since?: string;
  /** Of one that cools. */
  readonly until?: string;
  /** True for an assigned one that was cordoned: no other pod gets it afterwards. */
  readonly cordoned?: true;
};

/** What fills one place of an ENI: an address of its own, or a prefix with its addresses. */
export type MappedSlot =
  | ({ readonly kind: 'address' } & MappedAddress)
  | { readonly kind: 'prefix'; readonly cidr: Ipv4Cidr; readonly addresses: readonly MappedAddress[] };

export type MappedEni = {
  readonly id: string;
  readonly device: number;
  readonly networkCard: number;
  /**
   * `draining` gets no new pods; `leaving` is on its way back to EC2; `foreign` is not the agent's to use; `not in use` is
   * attached, but not up yet, or EC2 has not told yet whose it is.
   */
  readonly state: 'in use' | 'draining' | 'leaving' | 'foreign' | 'not in use';
  /** True for the node's first ENI, which carries its own traffic. */
  readonly primary: boolean;
  /** The ENI's own address, which no pod gets. */
  readonly primaryIp?: Ipv4;
  /** `free` as EC2 counts the subnet's addresses; absent when it cannot be asked. */
  readonly subnet?: { readonly id: string; readonly cidr: Ipv4Cidr; readonly free?: number };
  readonly slots: readonly MappedSlot[];
  /** Places that EC2 could still fill. */
  readonly room: number;
  /** Addresses or prefixes that EC2 is being asked for at this moment. */
  readonly beingAssigned: number;
};

export type AddressMap = {
  readonly node: string;
  readonly instanceType: string;
  readonly mode: 'address' | 'prefix';
  readonly at: string;
  readonly limits: { readonly enis: number; readonly slotsPerEni: number };
  readonly counts: Readonly<
    Record<'total' | 'assigned' | 'warm' | 'cooling' | 'cordoned' | 'draining', number>
  >;
  readonly enis: readonly MappedEni[];
  /** An ENI that is being attached, with so many addresses or prefixes. */
  readonly attaching?: number;
  /** Blocks put aside. */
  readonly cordoned: readonly Ipv4Cidr[];
  /** Addresses that pods hold and that are on no ENI any more. */
  readonly cutOff: readonly MappedAddress[];
};

export type MapInput = {
  readonly node: string;
  readonly instanceType: string;
  readonly view: PoolView;
  /** As metadata shows the node's ENIs. */
  readonly shown: readonly MetadataEni[];
  /** As EC2 describes the zone's subnets, when it can be asked. */
  readonly subnets: readonly Ec2Subnet[];
  readonly now: number;
};

/** Puts the map together. */
export function addressMap({ node, instanceType, view, shown, subnets, now }: MapInput): AddressMap {
  const { pool, bounds, asked, foreign } = view;
  const { enis, slotsPerEni } = bounds;
  const free = new Map(subnets.map((subnet) => [subnet.id, subnet.freeAddresses]));
  const seen = new Map(shown.map((eni) => [eni.id, eni]));
  const used = pool.enis.map((eni): MappedEni => {
    const slots = eni.slots.map((slot) =>
      mapped(slot, (address) => usedEntry(pool, eni, slot, address, now)),
    );
    const room = Math.max(slotsPerEni - slots.length, 0);
    const beingAssigned = asked?.eniId === eni.id ? asked.slots : 0;
    return { ...described(seen.get(eni.id), free), ...identity(eni), slots, room, beingAssigned };
  });
  const ours = new Set(pool.enis.map(({ id }) => id));
  const unused = shown
    .filter(({ id }) => !ours.has(id))
    .map((eni): MappedEni => {
      const { id, deviceNumber: device, networkCard } = eni;
      const state = foreign.has(id) || networkCard !== 0 ? 'foreign' : 'not in use';
      const slots = slotsOf(eni).map((slot) => mapped(slot, (address) => unusedEntry(pool, address, state)));
      const rest = { primary: device === 0 && networkCard === 0, slots, room: 0, beingAssigned: 0 };
      return { ...described(eni, free), id, device, networkCard, state, ...rest };
    });
  const all = [...used, ...unused];
  const carried = new Set(
    all.flatMap(({ slots }) => slots.flatMap(mappedAddresses)).map(({ address }) => address),
  );
  const counts = countsOf(pool, now);
  const { total, assigned, cooling, cordoned, draining } = counts;
  return {
    node,
    instanceType,
    mode: pool.mode,
    at: iso(now),
    limits: { enis, slotsPerEni },
    counts: { total, assigned, warm: counts.free, cooling, cordoned, draining },
    enis: all,
    ...(asked && asked.eniId === undefined && { attaching: asked.slots }),
    cordoned: pool.cordoned,
    cutOff: [...pool.allocations.values()]
      .filter(({ address }) => !carried.has(address))
      .map(({ address }) => ({ address, ...holder(pool, address), state: 'cut off' })),
  };
}

const iso = (time: number): string => new Date(time).toISOString();

function identity(eni: PoolEni): Pick<MappedEni, 'id' | 'device' | 'state' | 'primary' | 'networkCard'> {
  const state = eni.leaving ? 'leaving' : eni.draining ? 'draining' : 'in use';
  return { id: eni.id, device: eni.deviceNumber, networkCard: 0, state, primary: eni.primary };
}

function described(
  eni: MetadataEni | undefined,
  free: ReadonlyMap<string, number>,
): Pick<MappedEni, 'primaryIp' | 'subnet'> {
  if (!eni) return {};
  const left = free.get(eni.subnetId);
  const subnet = { id: eni.subnetId, cidr: eni.subnetCidr, ...(left !== undefined && { free: left }) };
  return { primaryIp: eni.primaryIp, subnet };
}

function mapped(slot: Slot, entry: (address: Ipv4) => MappedAddress): MappedSlot {
  if (slot.kind === 'address') return { kind: 'address', ...entry(slot.address) };
  return { kind: 'prefix', cidr: slot.cidr, addresses: [...addressesIn(slot)].map(entry) };
}

/** The addresses of a slot of the map. */
export const mappedAddresses = (slot: MappedSlot): readonly MappedAddress[] =>
  slot.kind === 'prefix' ? slot.addresses : [slot];

function usedEntry(pool: Pool, eni: PoolEni, slot: Slot, address: Ipv4, now: number): MappedAddress {
  const cordoned = isCordoned(pool, address);
  if (pool.allocations.has(address))
    return { address, state: 'assigned', ...holder(pool, address), ...(cordoned && { cordoned }) };
  if (cordoned) return { address, state: 'cordoned' };
  const until = coolingUntil(pool, address, now);
  if (until !== undefined) return { address, state: 'cooling', until: iso(until) };
  const given = slot.kind === givenKind(pool) && !eni.leaving && !eni.draining;
  return { address, state: given ? 'warm' : 'draining' };
}

/** Of an ENI that the pool does not have. A pod may hold the address from before. */
function unusedEntry(pool: Pool, address: Ipv4, state: 'foreign' | 'not in use'): MappedAddress {
  if (pool.allocations.has(address)) return { address, state: 'assigned', ...holder(pool, address) };
  return { address, state };
}

function holder(pool: Pool, address: Ipv4): Partial<MappedAddress> {
  const { key, since, metadata } = pool.allocations.get(address)!;
  const { k8sPodNamespace: namespace, k8sPodName: pod } = metadata;
  return {
    ...(namespace && { namespace }),
    ...(pod && { pod }),
    containerId: key.containerId,
    since: iso(since),
  };
}
