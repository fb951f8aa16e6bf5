/**
 * Cuts UDP flows that go where no new flow would go: the kernel keeps a flow with its endpoint for as long as
 * packets come, and a client of UDP may never stop.
 */
import { familyOf, type Ip, parseIp } from '@enid/ip';
import { type NetNamespace, Rtnetlink } from '@enid/linux';
import type { ServicePort } from './model.ts';
import { mayKeepFlows, target } from './plan.ts';
import { run } from './run.ts';

/** A connection as the kernel tracks it: as the client sees it, and where the answers come from. */
export type Flow = {
  readonly destination: string;
  readonly port: number;
  readonly endpoint: string;
  readonly endpointPort: number;
};

/** UDP frontends, and the endpoints that may keep their flows. */
export type UdpFrontends = {
  readonly byAddress: ReadonlyMap<string, ReadonlySet<string>>;
  readonly byNodePort: ReadonlyMap<number, ReadonlySet<string>>;
};

/** @param gone frontends that there were: `address port`, or a port of the node. None of their flows may stay. */
export function udpFrontends(
  ports: Iterable<ServicePort>,
  family: 4 | 6,
  gone: Iterable<string>,
): UdpFrontends {
  const byAddress = new Map<string, ReadonlySet<string>>();
  const byNodePort = new Map<number, ReadonlySet<string>>();
  const put = (address: string | undefined, port: number, endpoints: ReadonlySet<string>) =>
    address === undefined ? byNodePort.set(port, endpoints) : byAddress.set(`${address} ${port}`, endpoints);
  for (const frontend of gone) {
    const [port, address] = frontend.split(' ').reverse();
    put(address, Number(port), new Set());
  }
  for (const port of ports) {
    if (port.protocol !== 'udp' || port.family !== family) continue;
    const endpoints = mayKeepFlows(port);
    for (const frontend of port.frontends) put(frontend.address, frontend.port, endpoints);
  }
  return { byAddress, byNodePort };
}

/** Reads a line of `conntrack -L`; undefined when it shows no flow. */
export function parseFlow(line: string): Flow | undefined {
  const values = (name: string) =>
    [...line.matchAll(new RegExp(`\\b${name}=(\\S+)`, 'g'))].map(([, value]) => value!);
  const [destination] = values('dst');
  const [port] = values('dport');
  const [, endpoint] = values('src');
  const [, endpointPort] = values('sport');
  if (!destination || !port || !endpoint || !endpointPort) return undefined;
  return { destination, port: Number(port), endpoint, endpointPort: Number(endpointPort) };
}

/** Whether a flow goes past what the Services say: to an endpoint that is gone, or to no endpoint at all. */
export function isStale(
  { destination, port, endpoint, endpointPort }: Flow,
  { byAddress, byNodePort }: UdpFrontends,
  isLocal: (address: string) => boolean,
): boolean {
  const endpoints =
    byAddress.get(`${destination} ${port}`) ?? (isLocal(destination) ? byNodePort.get(port) : undefined);
  return endpoints !== undefined && !endpoints.has(target({ address: endpoint as Ip, port: endpointPort }));
}

/**
 * Cuts the stale flows of a family. What is cut is sent anew with the client's next packet.
 * @returns how many pairs of a frontend and an endpoint had stale flows.
 * @throws {ProgramError} when the program `conntrack` is missing or fails.
 */
export async function cutStaleFlows(
  ns: NetNamespace,
  family: 4 | 6,
  frontends: UdpFrontends,
): Promise<number> {
  if (frontends.byAddress.size === 0 && frontends.byNodePort.size === 0) return 0;
  using rtnetlink = Rtnetlink.open(ns);
  const local = new Set<string>(rtnetlink.addresses({ family }).map(({ address }) => address));
  const ofFamily = ['-f', `ipv${family}`, '-p', 'udp'];
  const stale = new Set<string>();
  await run(ns, ['conntrack', '-L', ...ofFamily], (line) => {
    const written = parseFlow(line);
    if (!written) return;
    const flow = family === 4 ? written : canonical(written);
    if (!isStale(flow, frontends, (address) => local.has(address))) return;
    const { destination, port, endpoint, endpointPort } = flow;
    stale.add(
      `-D ${ofFamily.join(' ')} --orig-dst ${destination} --orig-port-dst ${port} ` +
        `--reply-src ${endpoint} --reply-port-src ${endpointPort}`,
    );
  });
  if (stale.size > 0) await run(ns, ['conntrack', '-R', '-'], undefined, `${[...stale].join('\n')}\n`);
  return stale.size;
}

function canonical(flow: Flow): Flow {
  const ip = (text: string) => (familyOf(text as Ip) === 6 ? parseIp(text) : text);
  return { ...flow, destination: ip(flow.destination), endpoint: ip(flow.endpoint) };
}
