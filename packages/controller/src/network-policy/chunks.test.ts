import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { MOST_ENDPOINTS, planChunks } from './chunks.ts';
import type { Content } from './objects.ts';

const address = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
const endpoints = (ids: readonly number[], ports = 1) =>
  ids.map((i) => ({
    cidr: address(i),
    rule: 0,
    ports: Array.from({ length: ports }, (_, port) => ({ protocol: 'TCP', port: port + 1 })),
  }));
const pods = (ids: readonly number[]) =>
  ids.map((i) => ({ hostIP: '10.9.9.9', podIP: address(i), name: `pod-${i}`, namespace: 'red' }));
const content = (podIds: readonly number[], ingress: readonly number[], ports = 1): Content => ({
  podSelectorEndpoints: pods(podIds),
  ingress: endpoints(ingress, ports),
  egress: [],
});
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

/** As the server would hold it, so that nothing is equal by identity. */
function apply(wanted: Content, chunks: Content[]) {
  const plan = planChunks(wanted, chunks, (chunk) => chunk);
  const copy = (chunk: Content) => structuredClone(chunk);
  const kept = chunks.filter((chunk) => !plan.remove.includes(chunk));
  const next = kept.map((chunk) => plan.update.find((update) => update.chunk === chunk)?.content ?? chunk);
  const writes = [plan.create.length, plan.update.length, plan.remove.length];
  return { chunks: [...next, ...plan.create].map(copy), writes };
}

it('holds everything once, in objects of a bounded size, and writes what is right no more', () => {
  const ids = fc.oneof(
    fc.uniqueArray(fc.nat(900), { maxLength: 700 }),
    fc.tuple(fc.nat(400), fc.nat(900)).map(([from, to]) => range(from, to)),
  );
  const states = fc.array(fc.tuple(ids, ids, fc.constantFrom(1, 3, 60)), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(states, (all) => {
      let chunks: Content[] = [];
      for (const [podIds, ingressIds, ports] of all) {
        const wanted = content(podIds, ingressIds, ports);
        ({ chunks } = apply(wanted, chunks));
        for (const list of ['podSelectorEndpoints', 'ingress'] as const) {
          const held = chunks.flatMap((chunk) => chunk[list].map((item) => JSON.stringify(item)));
          assert.deepEqual(held.sort(), wanted[list].map((item) => JSON.stringify(item)).sort());
          assert.ok(chunks.every((chunk) => chunk[list].length <= MOST_ENDPOINTS));
        }
        assert.ok(chunks.length > 0 && chunks.every((chunk) => JSON.stringify(chunk).length < 400_000));
        assert.deepEqual(apply(wanted, chunks).writes, [0, 0, 0]);
      }
    }),
    { numRuns: 40 },
  );
});

it('writes one object of many for one pod that comes, goes or moves', () => {
  const all = range(0, 2_000);
  let { chunks, writes } = apply(content(all, all), []);
  assert.deepEqual(writes, [10, 0, 0]);
  const without = all.filter((i) => i !== 1_234);
  ({ chunks, writes } = apply(content(all, without), chunks));
  assert.deepEqual(writes, [0, 1, 0]);
  // It has another address now: out of the hole and into it.
  ({ chunks, writes } = apply(content(all, [...without, 5_000]), chunks));
  assert.deepEqual(writes, [0, 1, 0]);
  ({ chunks, writes } = apply(content(all, [...without, 5_000, 5_001]), chunks));
  assert.deepEqual(writes, [1, 0, 0]);
});

it('joins objects that deletions have left nearly empty', () => {
  const { chunks } = apply(content([], range(0, 2_000)), []);
  const few = range(0, 2_000).filter((i) => i % 100 === 0);
  const joined = apply(content([], few), chunks);
  assert.equal(joined.chunks.length, 1);
  const none = apply(content([], []), joined.chunks);
  assert.deepEqual([none.chunks.length, none.writes], [1, [0, 1, 0]], 'which isolates still');
});
