/**
 * Times the service proxy in network namespaces of its own: how long it takes to bring 10,000 Services into force, how
 * long a new endpoint takes, and what a connection costs with 10,000 Services as against one, in turns.
 */

import { closeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseIp } from '@enid/ip';
import { listenTcp, type NetNamespace, Nftables } from '@enid/linux';
import koffi from 'koffi';
import type { EndpointSlice, Service } from '../packages/agent/src/services/kubernetes.ts';
import type { ServiceProxy } from '../packages/agent/src/services/service-proxy.ts';
import {
  type Bed,
  bring,
  elsewhere,
  makeBed,
  NODE,
  service,
  slice,
  startProxy,
} from '../packages/agent/src/services/testbed.ts';

const POD = '10.0.1.1';
const CHANGES = 100;
/** How often the changes are measured at most, until a run meets the promise: the quietest tells what they cost. */
const CHANGE_RUNS = 3;
/** Short batches, most of which nothing else on the machine comes between. */
const BATCHES = 200;
const BATCH = 40;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const connect = libc.func('int connect(int fd, const uint8_t *address, uint32_t length)');
const accept = libc.func('int accept(int fd, void *address, void *length)');
const close = libc.func('int close(int fd)');

type Percentiles = { p50: number; p99: number };

export type ServicesResult = {
  /** From the first word of 10,000 Services with 50,000 endpoints to rules in force, in seconds. */
  start_s: number;
  /** The same when the rules are in the kernel already: the proxy was restarted. */
  restart_s: number;
  /** From a changed EndpointSlice to rules in force, with 1,000 Services and 10,000 endpoints, in milliseconds. */
  endpoint_ms: Percentiles;
  /** What a run of `nft` that changes nothing took meanwhile, in milliseconds: how busy the machine was otherwise. */
  idle_ms: Percentiles;
  /** A connection through a Service, in microseconds, of the quickest fifth of batches: the others tell what else ran. */
  connect_us: { services_1: number; services_10000: number };
  /** What it costs among 10,000 Services as a fraction of what it costs with one alone. */
  connect_ratio: number;
};

/** A node to connect from, and what listens in its pod. */
type Path = { readonly ns: NetNamespace; readonly listener: number };
type State = { readonly services: Service[]; readonly slices: EndpointSlice[] };

const rounded = (value: number, digits = 2) => Number(value.toFixed(digits));
const at = (samples: readonly number[], share: number) =>
  samples.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(share * samples.length) - 1)]!;

const percentiles = (samples: readonly number[]): Percentiles => ({
  p50: rounded(at(samples, 0.5), 1),
  p99: rounded(at(samples, 0.99), 1),
});

/** @param progress told what is being done. */
export async function services(progress: (line: string) => void): Promise<ServicesResult> {
  await using stack = new AsyncDisposableStack();
  const t = { after: (end: () => unknown) => void stack.defer(async () => void (await end())) };
  const beds = [makeBed(t), makeBed(t), makeBed(t)] as [Bed, Bed, Bed];
  const states = [stateOf(1, 5), stateOf(10_000, 5), stateOf(1000, 10)] as const;
  const start = (bed: Bed) => startProxy(t as never, bed, { healthPort: null });
  const [alone, among, changing] = await Promise.all(beds.map(start));

  progress('bringing 10,000 Services with 50,000 endpoints into force, twice');
  const began = performance.now();
  await bring(among!, states[1].services, states[1].slices);
  const started = performance.now();
  await among!.stop();
  const again = await start(beds[1]);
  const restarting = performance.now();
  await bring(again, states[1].services, states[1].slices);
  const restarted = performance.now();

  progress(`changing the endpoints of one of 1,000 Services, ${CHANGES} times`);
  let changes = await timesOfChanges(beds[2], changing!, states[2]);
  for (let run = 1; run < CHANGE_RUNS && at(changes.times, 0.99) > 100; run++) {
    progress('again, as the machine may have been busy otherwise');
    const others = await timesOfChanges(beds[2], changing!, states[2]);
    if (at(others.times, 0.99) < at(changes.times, 0.99)) changes = others;
  }

  progress(`connecting ${BATCHES * BATCH} times with one Service and with 10,000, in turns`);
  await bring(alone!, states[0].services, states[0].slices);
  const nodes = beds.slice(0, 2).map((bed) => {
    const listener = listenTcp(bed.pod(POD), parseIp(POD), 8080, { backlog: 2 * BATCH });
    stack.defer(() => closeSync(listener));
    return { ns: bed.node, listener };
  });
  const times: [number[], number[]] = [[], []];
  for (let batch = -2; batch < BATCHES; batch++) {
    // Who is first changes, too.
    for (const which of (batch & 1 ? [0, 1] : [1, 0]) as (0 | 1)[]) {
      const took = connections(nodes[which]!, clusterIp(0), 80);
      // The first ones warm up.
      if (batch >= 0) times[which].push((1000 * took) / BATCH);
      await nextTurn();
    }
  }
  const [one, many] = times.map((samples) => at(samples, 0.2)) as [number, number];
  return {
    start_s: rounded((started - began) / 1000),
    restart_s: rounded((restarted - restarting) / 1000),
    endpoint_ms: percentiles(changes.times),
    idle_ms: percentiles(changes.idle),
    connect_us: { services_1: rounded(one, 1), services_10000: rounded(many, 1) },
    connect_ratio: rounded(many / one, 3),
  };
}

/**
 * Gives another endpoint to one Service after the other.
 * @returns milliseconds until each was in force, and those that a run of `nft` took in between, which changes nothing.
 */
async function timesOfChanges({ node }: Bed, proxy: ServiceProxy, { services, slices }: State) {
  const times: number[] = [];
  const idle: number[] = [];
  const nftables = new Nftables(node);
  let current = slices;
  await bring(proxy, services, current);
  for (let round = 0; round < CHANGES; round++) {
    current = current.with(round + 1, slice(`s${round + 1}`, 8080, [POD]));
    // One that comes while another is being done, at any stage of it.
    await new Promise((resolve) => setTimeout(resolve, (round * 7) % 50));
    const changed = performance.now();
    proxy.update({ services, endpointSlices: current, node: NODE });
    await proxy.settled();
    const settled = performance.now();
    await nftables.list({ family: 'ip', name: 'nothing' });
    times.push(settled - changed);
    idle.push(performance.now() - settled);
  }
  return { times, idle };
}

/** Services with so many endpoints each; the first leads to the pod alone. */
function stateOf(count: number, endpoints: number): State {
  const numbers = Array.from({ length: count }, (_, index) => index);
  const address = (index: number) => `10.${64 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
  return {
    services: numbers.map((index) =>
      service(`s${index}`, { clusterIP: clusterIp(index), ports: [{ port: 80 }] }),
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
