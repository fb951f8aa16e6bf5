/** Both kinds of policy in one form, for everything that follows. */
import { type Cidr, contains, networkOf, parseCidr, prefixLength } from '@enid/ip';
import { keyOf, type LabelSelector } from '@enid/kube';
import type { Action, ClusterNetworkPolicy, ClusterSubject, Direction, NetworkPolicy } from './objects.ts';

/** Pods of one namespace, or of all that a selector selects. */
export type PodPeer = { readonly namespaces: string | LabelSelector; readonly pods: LabelSelector };
export type BlockPeer = { readonly cidr: Cidr; readonly except: readonly Cidr[] };
export type DomainPeer = { readonly domainName: string };
export type Peer = PodPeer | BlockPeer | DomainPeer;

export type RulePort =
  | { readonly protocol: string; readonly port?: number | undefined; readonly endPort?: number | undefined }
  /** Without a protocol: of any. */
  | { readonly protocol: string | undefined; readonly name: string };

export type Rule = {
  readonly action?: Action | undefined;
  /** Undefined: everybody. */
  readonly peers: readonly Peer[] | undefined;
  /** Undefined: all ports. */
  readonly ports: readonly RulePort[] | undefined;
};

export type Policy = {
  readonly key: string;
  readonly subject: PodPeer;
  readonly directions: readonly Direction[];
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
  /** What is wrong with it; what is wrong allows nothing. */
  readonly problems: readonly string[];
};

const ALL: LabelSelector = {};

export function readNetworkPolicy(policy: NetworkPolicy): Policy {
  const namespace = policy.metadata?.namespace ?? '';
  const { podSelector = ALL, policyTypes, ingress = [], egress = [] } = policy.spec ?? {};
  const problems: string[] = [];
  const directions: Direction[] = policyTypes?.length
    ? (['Ingress', 'Egress'] as const).filter((type) => policyTypes.includes(type))
    : egress.length > 0
      ? ['Ingress', 'Egress']
      : ['Ingress'];
  type WireRule = NonNullable<NonNullable<NetworkPolicy['spec']>['ingress']>[number];
  const read = ({ ports, from }: WireRule, place: string): Rule => ({
    peers: from?.length
      ? from.flatMap(({ podSelector, namespaceSelector, ipBlock }): Peer[] => {
          if (ipBlock) return readBlock(ipBlock.cidr, ipBlock.except ?? [], place, problems);
          // A peer of a later version of the API: none.
          if (!podSelector && !namespaceSelector) return [];
          return [{ namespaces: namespaceSelector ?? namespace, pods: podSelector ?? ALL }];
        })
      : undefined,
    ports: ports?.length
      ? ports.map(({ protocol = 'TCP', port, endPort }) =>
          typeof port === 'string' ? { protocol, name: port } : { protocol, port, endPort },
        )
      : undefined,
  });
  return {
    key: keyOf(policy),
    subject: { namespaces: namespace, pods: podSelector },
    directions,
    ingress: directions.includes('Ingress') ? ingress.map((rule, i) => read(rule, `spec.ingress[${i}]`)) : [],
    egress: directions.includes('Egress')
      ? egress.map(({ to, ports }, i) =>
          read({ ...(to && { from: to }), ...(ports && { ports }) }, `spec.egress[${i}]`),
        )
      : [],
    problems,
  };
}

export function readClusterNetworkPolicy(policy: ClusterNetworkPolicy): Policy {
  const { subject, ingress = [], egress = [] } = policy.spec;
  const problems: string[] = [];
  type WireRule = NonNullable<ClusterNetworkPolicy['spec']['ingress']>[number];
  const read = ({ action, ports, from = [] }: WireRule, place: string): Rule => ({
    action,
    peers: from.flatMap((peer): Peer[] => [
      ...readPods(peer),
      ...(peer.networks ?? []).flatMap((cidr) => readBlock(cidr, [], place, problems)),
      ...(peer.domainNames ?? []).map((domainName) => ({ domainName })),
    ]),
    ports: ports?.flatMap(({ portNumber, portRange, namedPort }): RulePort[] => {
      if (portNumber) return [{ protocol: portNumber.protocol ?? 'TCP', port: portNumber.port }];
      if (portRange) {
        const { protocol = 'TCP', start, end } = portRange;
        return [{ protocol, port: start, endPort: end }];
      }
      return namedPort ? [{ protocol: undefined, name: namedPort }] : [];
    }),
  });
  return {
    key: keyOf(policy),
    subject: readPods(subject)[0] ?? NOBODY,
    directions: [],
    ingress: ingress.map((rule, i) => read(rule, `spec.ingress[${i}]`)),
    egress: egress.map(({ to, ...rule }, i) =>
      read({ ...rule, ...(to && { from: to }) }, `spec.egress[${i}]`),
    ),
    problems,
  };
}

const NOBODY: PodPeer = { namespaces: '', pods: ALL };

function readPods({ namespaces, pods }: ClusterSubject): PodPeer[] {
  if (namespaces) return [{ namespaces, pods: ALL }];
  return pods ? [{ namespaces: pods.namespaceSelector ?? ALL, pods: pods.podSelector ?? ALL }] : [];
}

/** A block with one wrong exception is left out as a whole: rather too little is allowed than too much. */
function readBlock(cidr: string, except: readonly string[], place: string, problems: string[]): BlockPeer[] {
  try {
    const block = parseCidr(cidr);
    const holes = [...new Set(except.map(parseCidr))].filter((hole) => touches(block, hole));
    // Nothing is left of it.
    if (holes.some((hole) => prefixLength(hole) <= prefixLength(block))) return [];
    return [{ cidr: block, except: holes }];
  } catch (error) {
    problems.push(
      `${place}: ${(error as Error).message}, so this peer is left out: write such as 10.0.0.0/16`,
    );
    return [];
  }
}

const touches = (block: Cidr, hole: Cidr) =>
  contains(block, networkOf(hole)) || contains(hole, networkOf(block));
