/** The subnets that a load balancer stands in, one in each zone: those that its user names, or those whose tags say so. */
import type { Named } from './annotations.ts';
import type { Account, AccountSubnet } from './model/account.ts';
import { InvalidObject } from './model/errors.ts';
import type { Scheme } from './model/stack.ts';

const ROLE_TAGS: Readonly<Record<Scheme, string>> = {
  'internet-facing': 'kubernetes.io/role/elb',
  internal: 'kubernetes.io/role/internal-elb',
};
const CLUSTER_TAGS = 'kubernetes.io/cluster/';
/** What ELB asks of a subnet in which it makes an interface. */
const FREE_ADDRESSES = 8;

export type SubnetRequest = {
  readonly scheme: Scheme;
  /** By their ids, or by the values of their tag `Name`. None: they are found by their tags. */
  readonly named: Named;
  /** By which tags they are found instead of the role's, each with one of its values. */
  readonly tags?: Readonly<Record<string, readonly string[]>> | undefined;
  /** Of the load balancer as it is: it keeps them while nobody names others. */
  readonly present?: readonly string[] | undefined;
  /** In how many zones it must stand at least. */
  readonly zones: number;
  /** How many addresses must be free in each, when they are found by their tags. */
  readonly freeAddresses?: number;
};

/**
 * Of several subnets in one zone the one tagged for the cluster is chosen, then the one whose id comes first.
 * @returns at least `zones` of them, in the order of their ids.
 * @throws {InvalidObject} that says how subnets are to be tagged, or which name is wrong.
 */
export async function resolveSubnets(
  account: Account,
  clusterName: string,
  { scheme, named, tags, present, zones, freeAddresses = FREE_ADDRESSES }: SubnetRequest,
): Promise<AccountSubnet[]> {
  const all = await account.subnets();
  const there = all.filter(({ id }) => present?.includes(id));
  const chosen =
    named.names.length > 0
      ? byName(all, account.vpcId, named)
      : present?.length && !tags && there.length === present.length
        ? there
        : byTags(all, account.vpcId, clusterName, { scheme, named, tags, zones, freeAddresses });
  if (chosen.length < zones) {
    throw new InvalidObject(
      named.object,
      `${named.source} names ${count(chosen.length)}: there must be ${zones}, each in a zone of its own`,
    );
  }
  return chosen.toSorted(byId);
}

function byName(all: readonly AccountSubnet[], vpcId: string, named: Named): AccountSubnet[] {
  const refuse = (message: string): never => {
    throw new InvalidObject(named.object, `${named.source} ${message}`);
  };
  const subnets = named.names.map((name) => {
    const [subnet, ...more] = all.filter(({ id, tags }) => id === name || tags.Name === name);
    if (!subnet)
      return refuse(`names "${name}": no subnet of ${vpcId} has that id, or that value of its tag Name`);
    return more.length === 0 ? subnet : refuse(`names "${name}": several subnets of ${vpcId} have that name`);
  });
  const zones = new Map<string, AccountSubnet>();
  for (const subnet of subnets) {
    const other = zones.get(subnet.zone);
    if (other) refuse(`names ${other.id} and ${subnet.id}: both are in ${subnet.zone}, and one may be`);
    zones.set(subnet.zone, subnet);
  }
  return subnets;
}

function byTags(
  all: readonly AccountSubnet[],
  vpcId: string,
  clusterName: string,
  { scheme, named, tags, zones, freeAddresses }: Required<Omit<SubnetRequest, 'present'>>,
): AccountSubnet[] {
  const wanted = Object.entries(tags ?? { [ROLE_TAGS[scheme]]: ['1', ''] });
  const ours = CLUSTER_TAGS + clusterName;
  const others = ({ tags }: AccountSubnet) =>
    !Object.hasOwn(tags, ours) && Object.keys(tags).some((key) => key.startsWith(CLUSTER_TAGS));
  const tagged = all.filter((subnet) => wanted.every(([key, values]) => values.includes(subnet.tags[key]!)));
  const foreign = tagged.filter(others);
  const open = tagged.filter((subnet) => !others(subnet));
  const full = open.filter((subnet) => subnet.freeAddresses < freeAddresses);
  const byZone = Map.groupBy(
    open.filter((subnet) => !full.includes(subnet)),
    ({ zone }) => zone,
  );
  const clusterFirst = (a: AccountSubnet, b: AccountSubnet) =>
    Number(Object.hasOwn(b.tags, ours)) - Number(Object.hasOwn(a.tags, ours)) || byId(a, b);
  const chosen = [...byZone.values()].map((subnets) => subnets.toSorted(clusterFirst)[0]!);
  if (chosen.length >= zones) return chosen;
  const left = [
    foreign.length > 0 && `${ids(foreign)} tagged ${CLUSTER_TAGS}... for other clusters`,
    full.length > 0 && `${ids(full)} with fewer than ${freeAddresses} free addresses`,
  ].filter((part) => part !== false);
  throw new InvalidObject(
    named.object,
    `no subnets for it: ${scheme === 'internal' ? 'an internal' : 'an internet-facing'} load balancer stands in subnets tagged ${words(wanted)}, ` +
      `in ${count(zones, 'zone')} at least; ${vpcId} has them in ${count(chosen.length, 'zone')}` +
      `${left.length > 0 ? `, leaving out ${left.join(' and ')}` : ''}. Tag subnets, or name them by ${named.source}`,
  );
}

const words = (wanted: readonly (readonly [string, readonly string[]])[]) =>
  wanted.map(([key, values]) => `${key}=${values.filter(Boolean).join(' or ')}`).join(' and ');
const byId = (a: AccountSubnet, b: AccountSubnet): number => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
const ids = (subnets: readonly AccountSubnet[]) =>
  subnets
    .toSorted(byId)
    .map(({ id }) => id)
    .join(', ');
const count = (number: number, what = 'subnet') => `${number} ${what}${number === 1 ? '' : 's'}`;
