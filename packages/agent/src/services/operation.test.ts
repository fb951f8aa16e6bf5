/** How the proxy runs: health, metrics, the pace of changes, load while pods are replaced. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { get } from 'node:http';
import { test } from 'node:test';
import { parseIp } from '@enid/ip';
import type { NetNamespace } from '@enid/linux';
import { connectTcp, listenTcp, Nftables } from '@enid/linux';
import { Registry } from 'prom-client';
import { systemClock } from '../clock.ts';
import { LAST_CHANGE } from './kubernetes.ts';
import type { Problem } from './model.ts';
import {
  bring,
  call,
  elsewhere,
  makeBed,
  NODE,
  NODE_IP,
  serveTcp,
  service,
  slice,
  startProxy,
  v6Of,
} from './testbed.ts';

const CLUSTER_IP = '172.20.0.10';
const POD_A = '10.0.1.1';
const POD_B = '10.0.1.2';
const web = service('web', { clusterIP: CLUSTER_IP, ports: [{ port: 80 }] });

async function fetchFrom(ns: NetNamespace, port: number, path: string, address = NODE_IP) {
  return new Promise<{ status: number; body: unknown; weight: unknown } | string>((resolve) => {
    get(
      { path, headers: { host: 'node' }, createConnection: () => connectTcp(ns, parseIp(address), port) },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part) => (text += part));
        response.on('end', () =>
          resolve({
            status: response.statusCode!,
            body: text === '' ? undefined : JSON.parse(text),
            weight: response.headers['x-load-balancing-endpoint-weight'],
          }),
        );
      },
    ).on('error', (error: NodeJS.ErrnoException) => resolve(error.code!));
  });
}

test('load balancers are told whether the node has ready endpoints, and whether the proxy works', async (t) => {
  const bed = makeBed(t);
  const problems: Problem[] = [];
  const proxy = await startProxy(t, bed, { report: (problem) => problems.push(problem) });
  const status = async (port: number, path: string) => {
    const answer = await fetchFrom(bed.outside, port, path);
    return typeof answer === 'string' ? answer : answer.status;
  };
  // Before there are rules, load balancers are not to come; but a restart would not help.
  assert.deepEqual([await status(10_256, '/healthz'), await status(10_256, '/livez')], [503, 200]);
  const checked = (name: string, healthCheckNodePort: number) =>
    service(name, {
      type: 'LoadBalancer',
      clusterIP: name === 'web' ? CLUSTER_IP : '172.20.0.11',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort,
      ports: [{ port: 80, nodePort: name === 'web' ? 30_080 : 30_081 }],
    });
  serveTcp(t, bed.node, NODE_IP, 32_001, 'somebody');
  const services = [checked('other', 32_001), checked('web', 32_000)];
  await bring(proxy, services, [slice('web', 8080, [POD_A, POD_B, elsewhere('10.0.2.3')])]);
  assert.equal(await status(10_256, '/healthz'), 200);
  assert.equal(await status(10_256, '/other'), 404);
  assert.deepEqual(await fetchFrom(bed.outside, 32_000, '/healthz'), {
    status: 200,
    weight: '2',
    body: { service: { namespace: 'default', name: 'web' }, localEndpoints: 2, serviceProxyHealthy: true },
  });
  await bring(proxy, services, [slice('web', 8080, [elsewhere('10.0.2.3')])]);
  assert.equal(await status(32_000, '/healthz'), 503);
  await bring(proxy, [web], []);
  assert.equal(await status(32_000, '/healthz'), 'ECONNREFUSED');
  assert.deepEqual(
    problems.map(({ service, reason }) => [service, reason]),
    [['default/other', 'HealthCheckNodePortUnavailable']],
  );
});

test('a port that somebody has for now is served in all families when it is free', async (t) => {
  const bed = makeBed(t);
  const problems: Problem[] = [];
  const report = (problem: Problem) => void problems.push(problem);
  const taken = [10_256, 32_000].map((port) => listenTcp(bed.node, parseIp('::'), port));
  const proxy = await startProxy(t, bed, { families: [4, 6], report });
  const checked = service('web', {
    type: 'LoadBalancer',
    clusterIP: CLUSTER_IP,
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: 32_000,
    ports: [{ port: 80, nodePort: 30_080 }],
  });
  const bringIt = () => bring(proxy, [checked], [slice('web', 8080, [POD_A])]);
  await bringIt();
  assert.deepEqual(
    problems.map(({ reason }) => reason),
    ['HealthzUnavailable', 'HealthCheckNodePortUnavailable'],
  );
  // Nobody listens who would not answer.
  for (const port of [10_256, 32_000])
    assert.equal(await fetchFrom(bed.outside, port, '/healthz'), 'ECONNREFUSED');
  for (const fd of taken) closeSync(fd);
  await bringIt();
  const status = async (port: number, at: string) => {
    const answer = await fetchFrom(bed.outside, port, '/healthz', at);
    return typeof answer === 'string' ? answer : answer.status;
  };
  for (const at of [NODE_IP, v6Of(NODE_IP)]) {
    assert.equal(await status(32_000, at), 200);
    // It is tried once a second.
    const began = performance.now();
    while ((await status(10_256, at)) !== 200) {
      assert.ok(performance.now() - began < 5000, 'still not served');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  assert.equal(problems.length, 2);
});

test('a node that is about to go is not eligible for load balancers, and the proxy is alive', async (t) => {
  const bed = makeBed(t);
  const registry = new Registry();
  const start = Date.now();
  let now = start;
  // Changes after the first wait for their turn, which comes when the test says so.
  let turn = Promise.resolve();
  let onWait = () => {};
  const sleep = () => {
    onWait();
    return turn;
  };
  const clock = { ...systemClock, now: () => now, sleep };
  const proxy = await startProxy(t, bed, { registry, clock });
  const ask = async (path: string) => {
    const answer = await fetchFrom(bed.outside, 10_256, path);
    assert.ok(typeof answer === 'object');
    const { lastUpdated, currentTime, ...rest } = answer.body as Record<string, string>;
    for (const time of [lastUpdated!, currentTime!]) assert.ok(Date.parse(time) >= start, time);
    return [answer.status, rest];
  };
  const update = async (leaving: boolean) => {
    proxy.update({ services: [web], endpointSlices: [], node: { ...NODE, leaving } });
    await proxy.settled();
  };
  await update(false);
  assert.deepEqual(await ask('/healthz'), [200, { nodeEligible: true }]);
  await update(true);
  assert.deepEqual(await ask('/healthz'), [503, { nodeEligible: false }]);
  assert.deepEqual(await ask('/livez'), [200, {}]);
  await update(false);
  assert.deepEqual(await ask('/healthz'), [200, { nodeEligible: true }]);
  // A change that waits for two minutes.
  const { promise, resolve } = Promise.withResolvers<void>();
  turn = promise;
  const waits = new Promise<void>((resolve) => {
    onWait = resolve;
  });
  proxy.update({ services: [], endpointSlices: [], node: NODE });
  await waits;
  now += 120_000;
  assert.deepEqual(await ask('/healthz'), [503, { nodeEligible: true }]);
  assert.deepEqual(await ask('/livez'), [503, {}]);
  resolve();
  await proxy.settled();
  const text = await registry.metrics();
  for (const line of [
    'healthz_total{code="200"} 2',
    'healthz_total{code="503"} 2',
    'livez_total{code="503"} 1',
  ])
    assert.ok(text.includes(`kubeproxy_proxy_${line}`), text);
});

test('metrics have the names and meaning of those of kube-proxy', async (t) => {
  const bed = makeBed(t);
  const registry = new Registry();
  const proxy = await startProxy(t, bed, { healthPort: null, registry });
  await bring(proxy, [web], [slice('web', 8080, [POD_A])]);
  const changed = slice('web', 8080, [POD_A, POD_B]);
  const annotations = { [LAST_CHANGE]: new Date().toISOString() };
  // A Service that is new counts as well; what happened before the proxy was there does not.
  const late = { ...annotations, [LAST_CHANGE]: '2024-01-01T00:00:00Z' };
  const other = service('other', { clusterIP: '172.20.0.11', ports: [{ port: 80 }] });
  const told = [changed, slice('other', 8080, [POD_A]), slice('other', 8080, [POD_B])].map((one, index) => ({
    ...one,
    metadata: { ...one.metadata, annotations: index === 2 ? late : annotations },
  }));
  await bring(proxy, [web, other], told);
  const text = await registry.metrics();
  for (const line of [
    'kubeproxy_sync_proxy_rules_duration_seconds_count 2',
    'kubeproxy_network_programming_duration_seconds_count 2',
    'kubeproxy_network_programming_duration_seconds_bucket{le="0.5"} 2',
    'kubeproxy_sync_proxy_rules_service_changes_total 3',
    'kubeproxy_sync_proxy_rules_endpoint_changes_total 4',
    'kubeproxy_sync_proxy_rules_nftables_sync_failures_total 0',
  ]) {
    assert.ok(text.split('\n').includes(line), `${line} is not in\n${text}`);
  }
});

test('of many updates the last one counts, and a new endpoint is in force within 100 ms', async (t) => {
  const bed = makeBed(t);
  const pod = bed.pod(POD_A);
  serveTcp(t, pod, POD_A, 8080, 'a');
  const registry = new Registry();
  const proxy = await startProxy(t, bed, { healthPort: null, registry });
  const services = Array.from({ length: 1000 }, (_, index) =>
    service(`s${index}`, { clusterIP: `172.20.${1 + (index >> 8)}.${index & 255}`, ports: [{ port: 80 }] }),
  );
  const slices = services.map(({ metadata }, index) =>
    slice(
      metadata!.name!,
      8080,
      Array.from({ length: 10 }, (_, host) =>
        elsewhere(`10.1.${index & 255}.${10 * (index >> 8) + host + 1}`),
      ),
    ),
  );
  await bring(proxy, services, slices);
  // Each of 100 Services is given the pod, while another change is at any stage of being done.
  const times: number[] = [];
  const idle: number[] = [];
  const nftables = new Nftables(bed.node);
  let current = slices;
  const give = (index: number) => {
    current = current.with(index, slice(`s${index}`, 8080, [POD_A]));
    proxy.update({ services, endpointSlices: current, node: NODE });
  };
  for (let round = 0; round < 100; round++) {
    give(999 - round);
    await new Promise((resolve) => setTimeout(resolve, (round * 7) % 50));
    const began = performance.now();
    give(round);
    await proxy.settled();
    const settled = performance.now();
    times.push(settled - began);
    await nftables.list({ family: 'ip', name: 'nothing' });
    idle.push(performance.now() - settled);
    for (const index of [round, 999 - round]) {
      assert.equal(typeof (await call(bed.node, services[index]!.spec!.clusterIP!, 80)), 'object');
    }
  }
  for (const samples of [times, idle]) samples.sort((a, b) => a - b);
  const told = `median ${times[49]!.toFixed(1)} ms, 99th ${times[98]!.toFixed(1)} ms; a run of nft that changes nothing ${idle[49]!.toFixed(1)} ms, ${idle[98]!.toFixed(1)} ms`;
  t.diagnostic(told);
  // The rarest ones tell what else runs on the machine, so they are measured by what changes nothing.
  assert.ok(times[49]! < Math.max(100, 5 * idle[49]!), told);
});

test('pods are replaced under load, and no connection fails', async (t) => {
  const bed = makeBed(t);
  const addresses = Array.from({ length: 6 }, (_, index) => `10.0.1.${index + 1}`);
  for (const address of addresses) serveTcp(t, bed.pod(address), address, 8080, address);
  const client = bed.pod('10.0.1.100');
  const proxy = await startProxy(t, bed, { healthPort: null });
  await bring(proxy, [web], [slice('web', 8080, addresses.slice(0, 3))]);
  let running = true;
  const outcomes = new Map<string, number>();
  const worker = async () => {
    while (running) {
      const outcome = await call(client, CLUSTER_IP, 80);
      const key = typeof outcome === 'object' ? outcome.by : `failed: ${outcome}`;
      outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const load = Promise.all([worker(), worker(), worker()]);
  for (let round = 1; round <= 12; round++) {
    const rotated = [0, 1, 2].map((offset) => addresses[(round + offset) % 6]!);
    await bring(proxy, [web], [slice('web', 8080, rotated)]);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  running = false;
  await load;
  assert.deepEqual([...outcomes.keys()].sort(), addresses, JSON.stringify([...outcomes]));
});
