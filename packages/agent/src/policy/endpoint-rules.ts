/** Policy endpoints, as the controller writes them, in the language of the data plane. */
import { type Cidr, parseCidr, parseIp } from '@enid/ip';
import type { ClusterPolicyEndpoint, Endpoint, EndpointPort, Pod, PolicyEndpoint } from '@enid/kube';
import type { Direction, PeerRule, PolicyRef, PolicyRules, PortRange, Protocol } from './rules.ts';

/** A port of a pod, by the name that it has in the pod's spec. */
export type NamedPort = PortRange & { readonly name: string };
type EndpointObject = PolicyEndpoint | ClusterPolicyEndpoint;

const PROTOCOLS = new Set(['TCP', 'UDP', 'SCTP']);
const LAST_PORT = 65_535;

/** The named ports of a pod. */
export function namedPorts({ spec }: Pod): NamedPort[] {
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  return containers.flatMap(({ ports = [] }) =>
    ports.flatMap(({ name, protocol = 'TCP', containerPort }) =>
      name && PROTOCOLS.has(protocol)
        ? [{ name, protocol: protocol as Protocol, from: containerPort, to: containerPort }]
        : [],
    ),
  );
}

export function policyOf({ spec }: EndpointObject): PolicyRef {
  const { policyRef } = spec;
  return 'namespace' in policyRef
    ? { kind: 'NetworkPolicy', namespace: policyRef.namespace, name: policyRef.name }
    : { kind: 'ClusterNetworkPolicy', name: policyRef.name };
}

/** Rules by the object that they were read from: what has not changed is the same rules again. */
export class EndpointRules {
  readonly #read = new WeakMap<EndpointObject, Map<string, PolicyRules>>();

  /**
   * What an object says of one direction of a pod.
   * @param own the named ports of the pod, which ports of ingress by name refer to.
   */
  of(object: EndpointObject, direction: Direction, own: readonly NamedPort[]): PolicyRules {
    const read = this.#read.get(object) ?? new Map<string, PolicyRules>();
    this.#read.set(object, read);
    const list = object.spec[direction] ?? [];
    const named = list.some(({ ports }) => ports?.some(({ name }) => name !== undefined));
    const key = named ? `${direction} ${JSON.stringify(own)}` : direction;
    const known = read.get(key);
    if (known) return known;
    const priority = 'priority' in object.spec ? { priority: object.spec.priority } : {};
    // Amazon's controller numbers no rules. Their order matters among those of cluster policies alone.
    const unnumbered = (i: number) => ('tier' in object.spec ? i : 0);
    const peers = list.flatMap((endpoint, i) => peerOf(endpoint, endpoint.rule ?? unnumbered(i), own));
    const rules = { policy: policyOf(object), ...priority, peers };
    read.set(key, rules);
    return rules;
  }
}

/** What cannot be read is left out: it lets nothing through. Names of domains are for nobody to enforce yet. */
function peerOf(
  { cidr, except, ports, action }: Endpoint,
  rule: number,
  own: readonly NamedPort[],
): PeerRule[] {
  const block = cidr === undefined ? undefined : blockOf(cidr);
  if (!block) return [];
  const holes = (except ?? []).map(blockOf);
  if (holes.includes(undefined)) return [];
  return [
    {
      rule,
      action: action ?? 'Accept',
      cidr: block,
      ...(holes.length > 0 && { except: holes as Cidr[] }),
      ...(ports && { ports: ports.flatMap((port) => rangesOf(port, own)) }),
    },
  ];
}

function rangesOf({ protocol, port, endPort, name }: EndpointPort, own: readonly NamedPort[]): PortRange[] {
  if (!PROTOCOLS.has(protocol)) return [];
  const ranges: PortRange[] = [
    { protocol: protocol as Protocol, from: port ?? 0, to: endPort ?? port ?? LAST_PORT },
  ];
  if (name === undefined) return ranges;
  return ranges.filter(({ from }) =>
    own.some((each) => each.name === name && each.protocol === protocol && each.from === from),
  );
}

function blockOf(text: string): Cidr | undefined {
  try {
    return text.includes('/')
      ? parseCidr(text)
      : (`${parseIp(text)}/${text.includes(':') ? 128 : 32}` as Cidr);
  } catch {
    return undefined;
  }
}
