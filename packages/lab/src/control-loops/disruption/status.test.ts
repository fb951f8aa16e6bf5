import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Pod, PodDisruptionBudget } from '@enid/kube';
import { budgetStatus, nextChange } from './status.ts';

const NOW = Date.parse('2026-01-01T12:00:00Z');
const pod = (name: string, ready = true): Pod => ({
  metadata: { name },
  status: { phase: 'Running', conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
});

it('allows as many evictions as leave enough healthy pods, counting those under way', () => {
  const allowed = (spec: PodDisruptionBudget['spec'], healthy: number, wanted: number, status?: object) => {
    const pods = Array.from({ length: wanted }, (_, i) => pod(`p${i}`, i < healthy));
    const budget = { spec, status } as PodDisruptionBudget;
    return budgetStatus(budget, pods, wanted, NOW).disruptionsAllowed;
  };
  assert.equal(allowed({ minAvailable: 2 }, 3, 3), 1);
  assert.equal(allowed({ minAvailable: '50%' }, 5, 5), 2, 'rounds up what must be available');
  assert.equal(allowed({ maxUnavailable: '30%' }, 4, 4), 2, 'and what may not be');
  assert.equal(allowed({ maxUnavailable: 1 }, 2, 3), 0, 'one is missing already');
  assert.equal(allowed({ maxUnavailable: 1 }, 0, 0), 0);
  const disruptedPods = {
    p0: '2026-01-01T11:59:00Z',
    p1: '2026-01-01T11:57:00Z',
    gone: '2026-01-01T11:59:59Z',
  };
  assert.equal(allowed({ minAvailable: 1 }, 3, 3, { disruptedPods }), 1, 'p0 is going; p1 stayed after all');
  const status = budgetStatus(
    { spec: { minAvailable: 1 }, status: { disruptedPods } } as never,
    [pod('p0')],
    1,
    NOW,
  );
  assert.equal(nextChange(status), NOW + 60_000);
});
