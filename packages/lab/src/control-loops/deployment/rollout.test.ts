import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { boundsOf, type Replicas, rollingStep, scaleStep } from './rollout.ts';

const set = (name: string, replicas: number, available = replicas, max?: number): Replicas => ({
  name,
  replicas,
  available,
  max,
});

describe('rollout', () => {
  it('reads numbers and percentages, and never comes to a standstill', () => {
    const bounds = (replicas: number, maxSurge: number | string, maxUnavailable: number | string) => {
      const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } };
      const { maxSurge: surge, maxUnavailable: missing } = boundsOf({
        spec: { replicas, strategy, selector: {}, template: {} },
      });
      return [surge, missing];
    };
    assert.deepEqual(bounds(10, '25%', '25%'), [3, 2]);
    assert.deepEqual(bounds(3, 0, '10%'), [0, 1]);
    assert.deepEqual(bounds(4, 2, 0), [2, 0]);
    assert.throws(() => bounds(4, 'many', 0), /"many" is neither a number nor a percentage/);
  });

  it('replaces all pods, never with fewer available or more in all than allowed, in whatever order they get ready', () => {
    const arbitrary = fc.record({
      replicas: fc.integer({ min: 1, max: 20 }),
      maxSurge: fc.integer({ min: 0, max: 5 }),
      maxUnavailable: fc.integer({ min: 0, max: 5 }),
      ready: fc.infiniteStream(fc.integer({ min: 0, max: 4 })),
    });
    fc.assert(
      fc.property(arbitrary, ({ replicas, maxSurge, maxUnavailable: wanted, ready }) => {
        const maxUnavailable = Math.min(maxSurge === 0 && wanted === 0 ? 1 : wanted, replicas);
        const bounds = { replicas, maxSurge, maxUnavailable };
        let fresh = set('new', 0);
        let old = [set('oldest', Math.floor(replicas / 2)), set('old', Math.ceil(replicas / 2))];
        for (let steps = 0; fresh.available < replicas || old.some((o) => o.replicas > 0); steps++) {
          assert.ok(steps < 1000, 'it gets nowhere');
          const sizes = rollingStep(bounds, fresh, old);
          const resize = (s: Replicas) => {
            const size = sizes.get(s.name) ?? s.replicas;
            return { ...s, replicas: size, available: Math.min(s.available, size) };
          };
          [fresh, old] = [resize(fresh), old.map(resize)];
          const all = [fresh, ...old];
          const total = all.reduce((sum, { replicas: n }) => sum + n, 0);
          const available = all.reduce((sum, { available: n }) => sum + n, 0);
          assert.ok(total <= replicas + maxSurge, `${total} pods`);
          assert.ok(available >= replicas - maxUnavailable, `${available} available`);
          const some = sizes.size === 0 ? Math.max(ready.next().value!, 1) : ready.next().value!;
          fresh = { ...fresh, available: Math.min(fresh.available + some, fresh.replicas) };
        }
        assert.equal(fresh.replicas, replicas);
      }),
    );
  });

  it('takes old pods first that are not available', () => {
    const bounds = { replicas: 4, maxSurge: 0, maxUnavailable: 1 };
    const sizes = rollingStep(bounds, set('new', 0), [set('well', 2), set('ill', 2, 0)]);
    assert.deepEqual([...sizes], [['ill', 1]], 'one of the four may be missing');
  });

  it('shares a new size among the sets of a rollout that is under way', () => {
    const bounds = { replicas: 20, maxSurge: 5, maxUnavailable: 5 };
    const sizes = scaleStep(bounds, set('new', 5, 5, 13), [set('old', 8, 8, 13)]);
    assert.equal(
      [...sizes.values()].reduce((a, b) => a + b),
      25,
    );
    assert.ok(sizes.get('old')! > sizes.get('new')!);
    assert.deepEqual([...scaleStep(bounds, set('new', 10), [set('old', 0)])], [['new', 20]]);
    assert.deepEqual(
      [...scaleStep({ ...bounds, replicas: 0, maxSurge: 0 }, set('new', 3), [set('old', 4)])].sort(),
      [
        ['new', 0],
        ['old', 0],
      ],
    );
  });
});
