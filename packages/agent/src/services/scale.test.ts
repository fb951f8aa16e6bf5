/** Large clusters: how long a start, a restart and a change take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Nftables } from '@enid/linux';
import type { EndpointSlice, Service } from './kubernetes.ts';
import { TABLE } from './layout.ts';
import { bring, call, makeBed, serveTcp, service, slice, startProxy } from './testbed.ts';

const POD = '10.0.1.1';

/** Services with five endpoints each; those with index 0 and 1 lead to the pod alone. */
function cluster(services: number): { services: Service[]; slices: EndpointSlice[] } {
  const numbers = Array.from({ length: services }, (_, index) => index);
  const address = (index: number) => `10.${64 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
  return {
    services: numbers.map((index) =>
      service(`s${index}`, { clusterIP: clusterIp(index), ports: [{ port: 80 }] }),
    ),
    slices: numbers.map((index) =>
      slice(
        `s${index}`,
        8080,
        index < 2 ? [POD] : Array.from({ length: 5 }, (_, endpoint) => address(5 * index + endpoint)),
      ),
    ),
  };
}

function clusterIp(index: number): string {
  return `172.${20 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

test('10,000 Services with 50,000 endpoints: start, restart, changes', async (t) => {
  const bed = makeBed(t);
  const pod = bed.pod(POD);
  serveTcp(t, pod, POD, 8080, 'pod');
  const large = cluster(10_000);
  const first = await startProxy(t, bed, { healthPort: null });
  const start = await timed(() => bring(first, large.services, large.slices));
  await first.stop();
  const listed = await new Nftables(bed.node).list({ family: 'ip', name: TABLE });
  const elements = (name: string) =>
    (listed!.find(({ map }) => map?.name === name)!.map!.elem as unknown[]).length;
  assert.deepEqual([elements('frontends'), elements('endpoints-tcp')], [10_000, 49_992]);

  const proxy = await startProxy(t, bed, { healthPort: null });
  const restart = await timed(() => bring(proxy, large.services, large.slices));
  assert.deepEqual(await call(bed.node, clusterIp(1), 80), { by: 'pod', sees: '10.0.0.10' });

  const changes: number[] = [];
  for (let round = 0; round < 30; round++) {
    const changed = large.slices.with(100 + round, slice(`s${100 + round}`, 8080, [POD]));
    changes.push(await timed(() => bring(proxy, large.services, changed)));
    const outcome = await call(bed.node, clusterIp(100 + round), 80);
    assert.equal(typeof outcome, 'object', String(outcome));
  }
  changes.sort((a, b) => a - b);
  const report = { start, restart, change: [changes[15], changes[29]] };
  t.diagnostic(JSON.stringify(report, (_, value) => (typeof value === 'number' ? Math.round(value) : value)));
  assert.ok(start < 10_000 && restart < 10_000, JSON.stringify(report));
  // With the pause between two changes. Roomy, as the machine may be busy with other tests.
  assert.ok(changes[15]! < 300, JSON.stringify(report));
});
