import type { NamedPort, PodFacts } from './facts.ts';
import type { EndpointPort } from './objects.ts';
import type { RulePort } from './policy.ts';

/** Whether the ports of a rule hold a pod's port. */
export function allowsPort(
  ports: readonly RulePort[] | undefined,
  pod: PodFacts,
  protocol: string,
  number: number,
): boolean {
  return ports?.some((port) => holds(port, pod, protocol, number)) ?? true;
}

function holds(port: RulePort, pod: PodFacts, protocol: string, number: number): boolean {
  if ('name' in port)
    return namedPorts(pod, port).some((named) => named.protocol === protocol && named.port === number);
  return port.protocol === protocol && inRange(port, number);
}

const inRange = (
  { port, endPort = port }: { port?: number | undefined; endPort?: number | undefined },
  n: number,
) => port === undefined || (n >= port && n <= endPort!);

/** What a pod has by the name that a rule says. */
export function namedPorts(
  pod: PodFacts,
  wanted: { readonly name: string; readonly protocol: string | undefined },
): NamedPort[] {
  const { name, protocol } = wanted;
  return pod.ports.filter(
    (port) => port.name === name && (protocol === undefined || port.protocol === protocol),
  );
}

/** The ports that a rule says by number. */
export function numberedPorts(ports: readonly RulePort[]): EndpointPort[] {
  return ports.flatMap((rule) => {
    if ('name' in rule) return [];
    const { protocol, port, endPort } = rule;
    return [{ protocol, ...(port !== undefined && { port }), ...(endPort !== undefined && { endPort }) }];
  });
}

/** The same ports with as few ranges as may be, in order; ports that are bound to a name stay by themselves. */
export function mergePorts(ports: readonly EndpointPort[]): EndpointPort[] {
  const merged: { protocol: string; from: number; to: number }[] = [];
  const ranges = ports
    .filter(({ name }) => name === undefined)
    .map(({ protocol, port = 0, endPort }) => ({ protocol, from: port, to: endPort ?? (port || 65_535) }))
    .sort((a, b) => compare(a.protocol, b.protocol) || a.from - b.from);
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last?.protocol === range.protocol && range.from <= last.to + 1) last.to = Math.max(last.to, range.to);
    else merged.push({ ...range });
  }
  const named = new Map(
    ports
      .filter(({ name }) => name !== undefined)
      .map((port) => [`${port.protocol} ${port.port} ${port.name}`, port]),
  );
  return [
    ...merged.map(({ protocol, from, to }) => ({
      protocol,
      ...(from > 0 && { port: from }),
      ...(from > 0 && to > from && { endPort: to }),
    })),
    ...[...named].sort(([a], [b]) => compare(a, b)).map(([, port]) => port),
  ];
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
