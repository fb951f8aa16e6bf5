/** Who answers whom, and whom it sees, in both families of addresses and every protocol, on a node with real sockets. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ip } from '@enid/ip';
import { bindUdp, type NetNamespace, sysctl } from '@enid/linux';
import fc from 'fast-check';
import { SctpEndpoint } from '../../../../test/sctp.ts';
import {
  type Bed,
  bring,
  CLIENT,
  call,
  elsewhere,
  makeBed,
  NODE_IP,
  NODE_IP_2,
  type Outcome,
  serveTcp,
  serveUdp,
  service,
  slice,
  startProxy,
  VIPS,
  v6Of,
} from './testbed.ts';

const PODS = { a: '10.0.1.1', b: '10.0.1.2', c: '10.0.2.3' } as const;
const IDLE_POD = '10.0.1.9';
const PORT = 8080;
const POLICIES = ['Cluster', 'Local'] as const;
const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
const PLACEMENTS = { everywhere: 'abc', here: 'ab', elsewhere: 'c', nowhere: '' } as const;
const FRONTENDS = ['nodePort', 'otherNodePort', 'externalIP', 'loadBalancer', 'clusterIP'] as const;

type Combination = {
  readonly backends: string;
  readonly internal: string;
  readonly external: string;
  readonly affinity: boolean;
};
const combinations: readonly Combination[] = Object.values(PLACEMENTS).flatMap((backends) =>
  POLICIES.flatMap((internal) =>
    POLICIES.flatMap((external) =>
      [false, true].map((affinity) => ({ backends, internal, external, affinity })),
    ),
  ),
);

type Client = {
  readonly name: string;
  readonly ns: NetNamespace;
  readonly addresses: readonly string[];
  /** Whether the node that balances is its own. */
  readonly isOwn: boolean;
};
/** Who may answer, and as whom each may see the client. */
type Expected = ReadonlyMap<string, readonly string[]> | 'refused' | 'timeout';

const NODE_ADDRESSES = [NODE_IP, NODE_IP_2];
const isLocal = (backend: string) => backend !== 'c';

/** What Kubernetes' documents say of a connection, in addresses of IPv4. */
function expected(
  { backends, internal, external }: Combination,
  client: Client,
  frontend: (typeof FRONTENDS)[number],
): Expected {
  if (backends === '') return 'refused';
  const isInternal = frontend === 'clusterIP';
  // Own pods, and the node itself, are not bound to local endpoints by externalTrafficPolicy.
  const localOnly = isInternal ? internal === 'Local' : external === 'Local' && !client.isOwn;
  const eligible = [...backends].filter((backend) => !localOnly || isLocal(backend));
  if (eligible.length === 0) return 'timeout';
  const asNode = !isInternal && (external === 'Cluster' || client.name === 'node');
  return new Map(
    eligible.map((backend) => [
      backend,
      asNode || (client.isOwn && backend === client.name) ? NODE_ADDRESSES : client.addresses,
    ]),
  );
}

type Pods = Readonly<Record<keyof typeof PODS, NetNamespace>>;

function clientsOf(bed: Bed, pods: Pods): Client[] {
  return [
    { name: 'a', ns: pods.a, addresses: [PODS.a], isOwn: true },
    { name: 'idle', ns: bed.pod(IDLE_POD), addresses: [IDLE_POD], isOwn: true },
    { name: 'node', ns: bed.node, addresses: NODE_ADDRESSES, isOwn: true },
    { name: 'c', ns: pods.c, addresses: [PODS.c], isOwn: false },
    { name: 'outside', ns: bed.outside, addresses: [CLIENT], isOwn: false },
  ];
}

test('every combination of frontend, policies, affinity, placement, protocol, family and client', async (t) => {
  const bed = makeBed(t);
  // The kernel sends a client but one ICMP error a second, which is too slow for hundreds of refusals.
  sysctl.set(bed.node, 'net/ipv4/icmp_ratemask', 0);
  sysctl.set(bed.node, 'net/ipv6/icmp/ratemask', 200);
  const pods = { a: bed.pod(PODS.a), b: bed.pod(PODS.b), c: bed.remote(PODS.c) };
  const sctp = { 4: new Map<string, SctpEndpoint>(), 6: new Map<string, SctpEndpoint>() };
  for (const [name, address] of Object.entries(PODS)) {
    const ns = pods[name as keyof typeof pods];
    for (const [family, at] of [
      [4, address],
      [6, v6Of(address)],
    ] as const) {
      serveTcp(t, ns, at, PORT, name);
      serveUdp(t, ns, at, PORT, name);
      const end = new SctpEndpoint(ns, at, [PORT]);
      t.after(() => end.close());
      sctp[family].set(name, end);
    }
  }
  const proxy = await startProxy(t, bed, {
    healthPort: null,
    families: [4, 6],
    report: (problem) => assert.fail(problem.message),
  });
  const both = (address: string) => [address, v6Of(address)];
  const clusterIp = (index: number) => `172.20.1.${index + 1}`;
  const services = combinations.map(({ internal, external, affinity }, index) =>
    service(
      `s${index}`,
      {
        type: 'LoadBalancer',
        clusterIP: clusterIp(index),
        clusterIPs: both(clusterIp(index)),
        externalIPs: both(VIPS[0]),
        ports: PROTOCOLS.map((name) => ({
          name,
          protocol: name.toUpperCase(),
          port: 1000 + index,
          nodePort: 30_000 + index,
        })),
        internalTrafficPolicy: internal,
        externalTrafficPolicy: external,
        sessionAffinity: affinity ? 'ClientIP' : 'None',
      },
      { status: { loadBalancer: { ingress: both(VIPS[1]).map((ip) => ({ ip, ipMode: 'VIP' })) } } },
    ),
  );
  const slices = combinations.flatMap(({ backends }, index) =>
    [4, 6].map((family) => {
      const endpoints = [...backends].map((name) => {
        const address = PODS[name as keyof typeof PODS];
        const at = family === 4 ? address : v6Of(address);
        return isLocal(name) ? at : elsewhere(at);
      });
      const ports = PROTOCOLS.map((name) => ({ name, protocol: name.toUpperCase(), port: PORT }));
      return { ...slice(`s${index}`, PORT, endpoints, { addressType: `IPv${family}` }), ports };
    }),
  );
  await bring(proxy, services, slices);

  const clients = clientsOf(bed, pods);
  const wrong: string[] = [];
  let cells = 0;
  const sequences: (() => Promise<void>)[] = [];
  for (const client of clients) {
    for (const family of [4, 6] as const) {
      const as = (address: string): string => (family === 4 ? address : v6Of(address));
      // Of several raw sockets in one place it is not told which was refused: SCTP is asked one at a time.
      let turn: Promise<unknown> = Promise.resolve();
      for (const protocol of PROTOCOLS) {
        const from = client.name === 'outside' ? as(CLIENT) : undefined;
        const any = family === 4 ? '0.0.0.0' : '::';
        const ask = (address: string, port: number, timeout: number): Promise<Outcome> => {
          if (protocol === 'tcp')
            return call(client.ns, address, port, { timeout, ...(from && { localAddress: from as Ip }) });
          if (protocol === 'udp') return askUdp(client.ns, from ?? any, address, port, timeout);
          const asked = turn.then(() =>
            askSctp(client.ns, from ?? any, address, port, timeout, sctp[family]),
          );
          turn = asked;
          return asked;
        };
        for (const [index, combination] of combinations.entries()) {
          const frontends = {
            nodePort: [NODE_IP, 30_000 + index],
            otherNodePort: [NODE_IP_2, 30_000 + index],
            externalIP: [VIPS[0], 1000 + index],
            loadBalancer: [VIPS[1], 1000 + index],
            clusterIP: [clusterIp(index), 1000 + index],
          } as const;
          // One after the other: the first connection of a client decides with whom it stays.
          sequences.push(async () => {
            for (const frontend of FRONTENDS) {
              // No route leads there: other nodes balance for themselves.
              if (frontend === 'clusterIP' && !client.isOwn) continue;
              const [address, port] = frontends[frontend];
              const wanted = expected(combination, client, frontend);
              const found = await observe(
                (timeout) => ask(as(address), port, timeout),
                typeof wanted === 'string'
                  ? wanted
                  : new Map([...wanted].map(([by, sees]) => [by, sees.map(as)])),
                combination.affinity,
              );
              cells++;
              if (found)
                wrong.push(
                  `${JSON.stringify(combination)}: IPv${family} ${protocol} from ${client.name} to ${frontend}: ${found}`,
                );
            }
          });
        }
      }
    }
  }
  await inParallel(40, sequences);
  t.diagnostic(`${cells} combinations`);
  assert.deepEqual(wrong, []);
});

test('one Service is of one combination after the other, and what was before does not show, nor that the proxy was restarted', async (t) => {
  const bed = makeBed(t);
  const pods = { a: bed.pod(PODS.a), b: bed.pod(PODS.b), c: bed.remote(PODS.c) };
  for (const [name, address] of Object.entries(PODS))
    serveTcp(t, pods[name as keyof Pods], address, PORT, name);
  let proxy = await startProxy(t, bed, { healthPort: null });
  const clients = clientsOf(bed, pods);
  const clusterIP = '172.20.1.1';
  const become = ({ backends, internal, external, affinity }: Combination) => {
    const spec = {
      type: 'NodePort',
      clusterIP,
      ports: [{ port: 80, nodePort: 30_080 }],
      internalTrafficPolicy: internal,
      externalTrafficPolicy: external,
      sessionAffinity: affinity ? 'ClientIP' : 'None',
    };
    const endpoints = [...backends].map((name) => {
      const address = PODS[name as keyof typeof PODS];
      return isLocal(name) ? address : elsewhere(address);
    });
    return bring(proxy, [service('web', spec)], [slice('web', PORT, endpoints)]);
  };
  const step = fc.record({
    combination: fc.constantFrom(...combinations),
    restart: fc.constantFrom(true, ...Array(4).fill(false)),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 40, maxLength: 40 }), async (steps) => {
      for (const [at, { combination, restart }] of steps.entries()) {
        if (restart) {
          await proxy.stop();
          proxy = await startProxy(t, bed, { healthPort: null });
        }
        await become(combination);
        await Promise.all(
          clients.map(async (client) => {
            for (const frontend of ['nodePort', 'clusterIP'] as const) {
              if (frontend === 'clusterIP' && !client.isOwn) continue;
              const [address, port] = frontend === 'nodePort' ? [NODE_IP, 30_080] : [clusterIP, 80];
              const localAddress = client.name === 'outside' ? { localAddress: CLIENT as Ip } : {};
              const found = await observe(
                (timeout) => call(client.ns, address, port, { timeout, ...localAddress }),
                expected(combination, client, frontend),
                combination.affinity,
              );
              const told = JSON.stringify(steps.slice(Math.max(0, at - 2), at + 1));
              assert.equal(found, undefined, `${client.name} to ${frontend}, after ${told}`);
            }
          }),
        );
      }
    }),
    { numRuns: 1, endOnFailure: true },
  );
});

/** Asks until all who may answer have, and nobody else did. @returns what is wrong. */
async function observe(
  ask: (timeout: number) => Promise<Outcome>,
  wanted: Expected,
  affinity: boolean,
): Promise<string | undefined> {
  if (typeof wanted === 'string') {
    const outcome = await ask(wanted === 'timeout' ? 150 : 5000);
    const found = outcome === 'ECONNREFUSED' ? 'refused' : outcome;
    return found === wanted ? undefined : `${JSON.stringify(outcome)} instead of ${wanted}`;
  }
  const answered = new Set<string>();
  // Of three who answer at random, one would be missed in 60 attempts once in 10^10.
  for (let count = 1; count <= 60; count++) {
    const outcome = await ask(5000);
    if (typeof outcome === 'string') return `${outcome} instead of ${[...wanted.keys()]}`;
    if (!wanted.get(outcome.by)?.includes(outcome.sees))
      return `${outcome.by} sees ${outcome.sees}, not ${JSON.stringify([...wanted])}`;
    answered.add(outcome.by);
    if (affinity ? count === 5 : answered.size === wanted.size) break;
  }
  if (affinity) return answered.size === 1 ? undefined : `${[...answered]} answer one client`;
  return answered.size === wanted.size ? undefined : `of ${[...wanted.keys()]} only ${[...answered]} answer`;
}

/** One datagram and its answer, by a socket that is told of refusals. */
async function askUdp(
  ns: NetNamespace,
  from: string,
  address: string,
  port: number,
  timeout: number,
): Promise<Outcome> {
  const socket = createSocket(from.includes(':') ? 'udp6' : 'udp4').bind({ fd: bindUdp(ns, from as Ip, 0) });
  try {
    socket.connect(port, address);
    await once(socket, 'connect');
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(timeout) });
    socket.send('ping');
    const [by = '', sees = ''] = String((await answer)[0]).split(' ');
    return { by, sees };
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return code === 'ABORT_ERR' ? 'timeout' : code;
  } finally {
    socket.on('error', () => {}).close();
  }
}

/** Begins an association. */
async function askSctp(
  ns: NetNamespace,
  from: string,
  address: string,
  port: number,
  timeout: number,
  backends: ReadonlyMap<string, SctpEndpoint>,
): Promise<Outcome> {
  const client = new SctpEndpoint(ns, from, [], { errors: true });
  try {
    const { tag, acknowledged } = client.begin(address, port);
    for (const end = performance.now() + timeout; performance.now() < end; await sleep(1)) {
      for (const backend of backends.values()) backend.poll();
      client.poll();
      if (client.isRefused) return 'ECONNREFUSED';
      if (!acknowledged()) continue;
      for (const [by, { begun }] of backends) if (begun.has(tag)) return { by, sees: begun.get(tag)! };
    }
    return 'timeout';
  } finally {
    client.close();
  }
}

async function inParallel(width: number, tasks: readonly (() => Promise<void>)[]): Promise<void> {
  const queue = tasks.values();
  const worker = async () => {
    for (const task of queue) await task();
  };
  await Promise.all(Array.from({ length: width }, worker));
}
