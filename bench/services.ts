/**
 * Times the service module in network namespaces of its own. As a process that an API server tells by lists and watches: how long it takes
 * from its start until 10,000 Services are in force, and from an event to a connection that reaches the new endpoint. And
 * what a connection costs with 10,000 Services as against one, in turns.
 */

import { closeSync } from 'node:fs';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { type Ip, parseIp } from '@enid/ip';
import {
  addRoute,
  LOCAL_TABLE,
  listenTcp,
  type NetlinkSocket,
  type NetNamespace,
  Nftables,
  nftGeneration,
  openNetfilter,
  Rtnetlink,
} from '@enid/linux';
import koffi from 'koffi';
import { AgentBed } from '../packages/agent/src/services/agent-testbed.ts';
import type { EndpointSlice, Service } from '../packages/agent/src/services/kubernetes.ts';
import {
  type Bed,
  bring,
  call,
  elsewhere,
  makeBed,
  NODE_IP,
  NODE_IP_2,
  serveTcp,
  service,
  slice,
  startProxy,
} from '../packages/agent/src/services/testbed.ts';

const POD = '10.0.1.1';
/** Where all other endpoints are: one pod has all their addresses. */
const OTHERS = '10.0.1.2';
const OTHER_ENDPOINTS = '10.64.0.0/10';
const CLIENT_POD = '10.0.1.3';
/** As many Services have NodePorts as there are: from this one on. */
const FIRST_NODE_PORT = 30_000;
const NODE_PORTS = 2768;
/** Of so many Services one has sessionAffinity. */
const STICKY = 5;
/** For a process that starts, in milliseconds. */
const PATIENCE = 120_000;
const CHANGES = 100;
/** So short that nothing else on the machine comes between many of them, and so many that each way meets the same others. */
const BATCHES = 800;
const BATCH = 10;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const connect = libc.func('int connect(int fd, const uint8_t *address, uint32_t length)');
const accept = libc.func('int accept(int fd, void *address, void *length)');
const close = libc.func('int close(int fd)');

type Percentiles = { p50: number; p99: number };

export type ServicesResult = {
  /** From the start of the process to 10,000 Services with 50,000 endpoints in force, in seconds. */
  start_s: number;
  /** The same when the rules are in the kernel already, to a change in force that came while no process ran. */
  restart_s: number;
  /**
   * From the watch's event of a changed EndpointSlice to a connection that reaches its endpoint, with 1,000 Services and 10,000
   * endpoints, in milliseconds; of clients that nobody remembers and of those that sessionAffinity has with another endpoint.
   */
  endpoint_ms: Percentiles;
  endpoint_sticky_ms: Percentiles;
  /** What a run of `nft` that changes nothing took meanwhile, in milliseconds: how busy the machine was otherwise. */
  idle_ms: Percentiles;
  /** A connection through a Service, in microseconds, of the quickest tenth of batches: the others tell what else ran. */
  connect_us: Record<Way, { services_1: number; services_10000: number }>;
  /** What it costs among 10,000 Services as a fraction of what it costs with one alone. */
  connect_ratio: Record<Way, number>;
};

/** How a connection is made. */
type Way = keyof typeof WAYS;
const WAYS = {
  'node to ClusterIP': { from: 'node', address: clusterIp(0), port: 80 },
  'pod to ClusterIP': { from: 'pod', address: clusterIp(0), port: 80 },
  'outside to NodePort': { from: 'outside', address: NODE_IP, port: FIRST_NODE_PORT },
} as const;

/** A namespace, and a socket that tells when its nftables have changed, which must not wait for the kernel's cleaning up. */
type Watched = { readonly ns: NetNamespace; readonly netfilter: NetlinkSocket };
/** A node, the pod that is its endpoint, and one that connects. */
type Place = Bed & { readonly listening: NetNamespace; readonly client: NetNamespace };
/** Where to connect from, and what listens in the pod. */
type Path = { readonly ns: NetNamespace; readonly listener: number };
type State = { readonly services: Service[]; readonly slices: EndpointSlice[] };

const rounded = (value: number, digits = 2) => Number(value.toFixed(digits));
const at = (samples: readonly number[], share: number) =>
  samples.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(share * samples.length) - 1)]!;

const percentiles = (samples: readonly number[]): Percentiles => ({
  p50: rounded(at(samples, 0.5), 1),
  p99: rounded(at(samples, 0.99), 1),
});

/** @param scope takes away what is made here, if nobody else has. @param progress told what is being done. */
export async function services(
  scope: AsyncDisposableStack,
  progress: (line: string) => void,
): Promise<ServicesResult> {
  await using stack = scope.use(new AsyncDisposableStack());
  const t = { after: (end: () => unknown) => void stack.defer(async () => void (await end())) };
  const [alone, among, changing] = [makeBed(t), makeBed(t), makeBed(t)];
  for (const bed of [among, changing]) standForOthers(t, bed);
  // Before anything else: a link has its carrier a moment after it comes up.
  const [one, many] = [alone, among].map((bed) => ({
    ...bed,
    listening: bed.pod(POD),
    client: bed.pod(CLIENT_POD),
  })) as [Place, Place];

  progress('starting with 10,000 Services and 50,000 endpoints, twice');
  const starts = await timesOfStarts(stack, many, stateOf(10_000, 5));

  progress(`changing the endpoints of one of 1,000 Services, ${CHANGES} times`);
  serveTcp(t, changing.pod(POD), POD, 8080, 'pod');
  const changes = await timesOfChanges(stack, changing, stateOf(1000, 10));

  progress(
    `connecting ${BATCHES * BATCH} times with one Service and with 10,000, in turns, from three places`,
  );
  const { services, slices } = stateOf(1, 5);
  await bring(await startProxy(t, alone, { healthPort: null }), services, slices);
  const connects = await timesOfConnections(stack, [one, many]);
  return { ...starts, ...changes, ...connects };
}

/** Wires a pod that has the addresses of all endpoints but one. */
function standForOthers(t: Parameters<typeof makeBed>[0], bed: Bed): void {
  const ns = bed.pod(OTHERS);
  using inside = Rtnetlink.open(ns);
  const destination = OTHER_ENDPOINTS as never;
  const { index } = inside.link('lo')!;
  inside.execute([addRoute({ destination, type: 'local', table: LOCAL_TABLE, oif: index, scope: 'host' })]);
  using netlink = Rtnetlink.open(bed.node);
  netlink.execute([addRoute({ destination, gateway: OTHERS as Ip })]);
  serveTcp(t, ns, '0.0.0.0', 8080, 'others');
}

/** Starts the process with nothing in the kernel, and anew, after which the Services are left without it. */
async function timesOfStarts(
  scope: AsyncDisposableStack,
  bed: Place,
  { services, slices }: State,
): Promise<Pick<ServicesResult, 'start_s' | 'restart_s'>> {
  await using stack = scope.use(new AsyncDisposableStack());
  const node = { ns: bed.node, netfilter: stack.use(openNetfilter(bed.node)) };
  const agent = stack.use(await AgentBed.open(bed));
  serveTcp({ after: (end: () => void) => stack.defer(end) } as never, bed.listening, POD, 8080, 'pod');
  agent.putServices(services);
  agent.putSlices(slices);
  const timed = async (index: number) => {
    const began = performance.now();
    agent.start();
    await reached(node, clusterIp(index), 'pod', agent);
    return rounded((performance.now() - began) / 1000);
  };
  const start_s = await timed(0);
  const listed = await new Nftables(bed.node).list({ family: 'ip', name: 'enid-services' }, 'frontends');
  const { length } = listed!.find(({ map }) => map)!.map!.elem as unknown[];
  if (length !== services.length + NODE_PORTS) throw new Error(`${length} frontends are in force`);
  await agent.stop();
  agent.putSlices([moved(slices, services.length - 2)]);
  return { start_s, restart_s: await timed(services.length - 2) };
}

/** Waits until a connection to a Service reaches the pod, or one of the other endpoints. */
async function reached(
  { ns, netfilter }: Watched,
  address: string,
  whom: 'pod' | 'others',
  agent: AgentBed,
): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  // Nothing changes without a transaction, and to look for one costs next to nothing.
  for (let known = -1; performance.now() < deadline; ) {
    const generation = nftGeneration(netfilter);
    if (generation === known) {
      await sleep(1);
      continue;
    }
    known = generation;
    // The kernel leaves a connection untranslated, and all from its port for two minutes, that came before the rules. Those that are
    // timed come from another address.
    const outcome = await call(ns, address, 80, { timeout: 500, localAddress: parseIp(NODE_IP_2) });
    if (typeof outcome === 'object' && outcome.by === whom) return;
  }
  throw new Error(`${address} does not lead to ${whom} within ${PATIENCE} ms: ${agent.log}`);
}

/** The slice of a Service that has moved to the pod. */
function moved(slices: readonly EndpointSlice[], index: number): EndpointSlice {
  const { metadata } = slices[index]!;
  return { ...slice(`s${index}`, 8080, [POD]), metadata };
}

/** Gives another endpoint to one Service after the other. */
async function timesOfChanges(
  scope: AsyncDisposableStack,
  bed: Bed,
  { services, slices }: State,
): Promise<Pick<ServicesResult, 'endpoint_ms' | 'endpoint_sticky_ms' | 'idle_ms'>> {
  await using stack = scope.use(new AsyncDisposableStack());
  const agent = stack.use(await AgentBed.open(bed));
  agent.putServices(services);
  agent.putSlices(slices);
  agent.start();
  const node = { ns: bed.node, netfilter: stack.use(openNetfilter(bed.node)) };
  await reached(node, clusterIp(0), 'pod', agent);
  const numbers = slices.map((_, index) => index).slice(1);
  const kinds = { sticky: numbers.filter(isSticky), others: numbers.filter((index) => !isSticky(index)) };
  const times = { sticky: [] as number[], others: [] as number[] };
  const idle: number[] = [];
  const nftables = new Nftables(bed.node);
  for (let round = 0; round < 2 * CHANGES; round++) {
    const kind = round % 2 ? 'sticky' : 'others';
    const index = kinds[kind][round >> 1]!;
    // From now on it is remembered where it was.
    await reached(node, clusterIp(index), 'others', agent);
    // While another change is being done, at any stage of it.
    agent.putSlices([moved(slices, kinds.others.at(-1 - round)!)]);
    await sleep((round * 7) % 50);
    const changed = performance.now();
    agent.putSlices([moved(slices, index)]);
    await reached(node, clusterIp(index), 'pod', agent);
    const inForce = performance.now();
    await nftables.list({ family: 'ip', name: 'nothing' });
    times[kind].push(inForce - changed);
    idle.push(performance.now() - inForce);
  }
  return {
    endpoint_ms: percentiles(times.others),
    endpoint_sticky_ms: percentiles(times.sticky),
    idle_ms: percentiles(idle),
  };
}

/** Connects from each place in turns, a batch with one Service and a batch with many, and all ways anew each time. */
async function timesOfConnections(
  stack: AsyncDisposableStack,
  beds: readonly Place[],
): Promise<Pick<ServicesResult, 'connect_us' | 'connect_ratio'>> {
  const places = beds.map((bed) => {
    const listener = listenTcp(bed.listening, parseIp(POD), 8080, { backlog: 2 * BATCH });
    stack.defer(() => closeSync(listener));
    return { listener, node: bed.node, pod: bed.client, outside: bed.outside };
  });
  const ways = (Object.keys(WAYS) as Way[]).map((way) => ({ way, times: [[], []] as [number[], number[]] }));
  for (let batch = -2; batch < BATCHES; batch++) {
    for (const { way, times } of ways) {
      const { from, address, port } = WAYS[way];
      // Who is first changes, too.
      for (const which of (batch & 1 ? [0, 1] : [1, 0]) as (0 | 1)[]) {
        const { listener, [from]: ns } = places[which]!;
        const took = connections({ ns, listener }, address, port);
        // The first ones warm up.
        if (batch >= 0) times[which].push((1000 * took) / BATCH);
        await nextTurn();
      }
    }
  }
  const results = ways.map(({ way, times }) => {
    const [one, many] = times.map((samples) => at(samples, 0.1)) as [number, number];
    return {
      way,
      us: { services_1: rounded(one, 1), services_10000: rounded(many, 1) },
      ratio: rounded(many / one, 3),
    };
  });
  return {
    connect_us: Object.fromEntries(results.map(({ way, us }) => [way, us])) as ServicesResult['connect_us'],
    connect_ratio: Object.fromEntries(
      results.map(({ way, ratio }) => [way, ratio]),
    ) as ServicesResult['connect_ratio'],
  };
}

function isSticky(index: number): boolean {
  return index % STICKY === STICKY - 1;
}

/** Services with so many endpoints each; the first leads to the pod alone. */
function stateOf(count: number, endpoints: number): State {
  const numbers = Array.from({ length: count }, (_, index) => index);
  const address = (index: number) => `10.${64 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
  return {
    services: numbers.map((index) =>
      service(`s${index}`, {
        type: index < NODE_PORTS ? 'NodePort' : 'ClusterIP',
        clusterIP: clusterIp(index),
        sessionAffinity: isSticky(index) ? 'ClientIP' : 'None',
        ports: [{ port: 80, ...(index < NODE_PORTS && { nodePort: FIRST_NODE_PORT + index }) }],
      }),
    ),
    slices: numbers.map((index) => {
      const addresses = Array.from({ length: endpoints }, (_, n) =>
        elsewhere(address(endpoints * index + n)),
      );
      return slice(`s${index}`, 8080, index === 0 ? [POD] : addresses);
    }),
  };
}

function clusterIp(index: number): string {
  return `172.20.${1 + (index >> 8)}.${index & 255}`;
}

/** Connects by system calls alone, so that nothing but the kernel is measured. @returns milliseconds for a batch. */
function connections({ ns, listener }: Path, address: string, port: number): number {
  // struct sockaddr_in: the family in the machine's order, the rest in the network's.
  const target = new Uint8Array([
    2,
    0,
    port >> 8,
    port & 255,
    ...address.split('.').map(Number),
    ...Array(8).fill(0),
  ]);
  const took = ns.run(() => {
    const began = performance.now();
    for (let n = 0; n < BATCH; n++) {
      const fd = socket(2, 1, 0);
      if (connect(fd, target, target.length) !== 0)
        throw new Error(`${address} port ${port} does not answer`);
      close(fd);
    }
    return performance.now() - began;
  });
  for (let n = 0; n < BATCH; n++) close(accept(listener, null, null));
  return took;
}
