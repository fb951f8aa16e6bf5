import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compiling } from '../compile/index.ts';
import { RuleMaps, type SetContent } from './rule-maps.ts';
import { policy, rules } from './testbed.ts';

/** What a map was told to hold, instead of a map of the kernel. */
function mapOf<V>() {
  const written: V[] = [];
  return {
    written,
    info: { maxEntries: 100 },
    updateAll: (entries: readonly [unknown, V][]) => void written.push(...entries.map(([, value]) => value)),
    deleteAll: () => {},
  };
}

function run<T>(steps: Generator<unknown, T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value as T;
  }
}

test('rules that are gone from the kernel are forgotten, however many come, and no number is given twice', async () => {
  const verdicts = mapOf<{ rule: number }>();
  const maps = new RuleMaps(mapOf() as never, verdicts as never, () => {});
  const set: SetContent = { id: 1, peers: new Map(), classes: new Set() };
  const change = (one: ReturnType<typeof policy>) =>
    run(maps.change(set, run(compiling(rules({ ingress: [one] }).ingress, 'ingress', maps.classes))));
  const [first, second] = [policy({ cidr: '10.0.0.1/32' }), policy({ cidr: '10.0.0.1/32' })];
  change(first);
  const numbers = () => new Set(verdicts.written.splice(0).map(({ rule }) => rule));
  const ofFirst = numbers();
  const names = (all: Set<number>) => [...all].map((number) => maps.rule(number)?.policy?.name);
  assert.deepEqual(new Set(names(ofFirst)), new Set([first.policy.name]));
  change(second);
  const ofSecond = numbers();
  // What programs have at this moment may be told of for a while.
  assert.deepEqual(new Set(names(ofFirst)), new Set([first.policy.name]));
  await maps.settled();
  assert.deepEqual(new Set(names(ofFirst)), new Set([undefined]));
  assert.deepEqual(new Set(names(ofSecond)), new Set([second.policy.name]));
  assert.ok(ofFirst.isDisjointFrom(ofSecond));
  run(maps.clear(set));
  assert.deepEqual(new Set(names(ofSecond)), new Set([undefined]));
  await maps.close();
});
