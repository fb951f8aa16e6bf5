/** Services as clients see them, over real sockets in network namespaces. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Nftables } from '@enid/linux';
import type { ServiceSpec } from './kubernetes.ts';
import { TABLE } from './layout.ts';
import type { Problem } from './model.ts';
import {
  ask,
  bring,
  CLIENT,
  call,
  elsewhere,
  makeBed,
  NODE_IP,
  NODE_IP_2,
  open,
  serveTcp,
  serveUdp,
  service,
  slice,
  spread,
  startProxy,
  udpSocket,
  v6Of,
} from './testbed.ts';

const CLUSTER_IP = '172.20.0.10';
const POD_A = '10.0.1.1';
const POD_B = '10.0.1.2';
const POD_C = '10.0.2.3';

/** A node with two pods and one pod elsewhere, each a backend at TCP and UDP port 8080. */
async function start(t: TestContext, options: Parameters<typeof startProxy>[2] = {}) {
  const bed = makeBed(t);
  const pods = { a: bed.pod(POD_A), b: bed.pod(POD_B), c: bed.remote(POD_C) };
  for (const [name, ns, address] of [
    ['a', pods.a, POD_A],
    ['b', pods.b, POD_B],
    ['c', pods.c, POD_C],
  ] as const) {
    for (const at of [address, v6Of(address)]) {
      serveTcp(t, ns, at, 8080, name);
      serveUdp(t, ns, at, 8080, name);
    }
  }
  const problems: Problem[] = [];
  const proxy = await startProxy(t, bed, { healthPort: null, report: (problem) => problems.push(problem), ...options });
  return { bed, pods, proxy, problems };
}

const web = (spec: ServiceSpec = {}) =>
  service('web', { clusterIP: CLUSTER_IP, ports: [{ port: 80 }], ...spec });
const everywhere = [POD_A, POD_B, elsewhere(POD_C)];

test('a ClusterIP is balanced in equal shares, for pods, other hosts and the node itself', async (t) => {
  const { bed, pods, proxy, problems } = await start(t);
  await bring(proxy, [web()], [slice('web', 8080, everywhere)]);
  for (const [from, address] of [
    [pods.a, POD_A],
    [bed.node, NODE_IP],
  ] as const) {
    const counts = await spread(300, () => call(from, CLUSTER_IP, 80));
    assert.deepEqual(Object.keys(counts).sort(), ['a', 'b', 'c'], JSON.stringify(counts));
    // 100 expected, with a standard deviation of 8.2.
    for (const share of Object.values(counts)) assert.ok(Math.abs(share - 100) < 50, JSON.stringify(counts));
    let seen: unknown;
    do seen = await call(from, CLUSTER_IP, 80);
    while (typeof seen === 'object' && (seen as { by: string }).by === 'a');
    assert.equal((seen as { sees: string }).sees, address);
  }
  assert.deepEqual(problems, []);
});
