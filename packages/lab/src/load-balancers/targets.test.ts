import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ipv4 } from '@enid/ip';
import { attributesOf, targetGroupAttributes } from '../cloud/elbv2/attributes.ts';
import type { ServingTarget, ServingTargetGroup } from '../cloud/elbv2/serving.ts';
import { eligible } from './targets.ts';

const KEY = 'target_group_health.unhealthy_state_routing.minimum_healthy_targets';
const names = ['a1', 'a2', 'b1', 'a3 draining', 'everywhere'];

/** Targets of the zones that their names begin with. */
function group(crossZone: boolean, set: Record<string, string> = {}): ServingTargetGroup {
  const kind = { protocol: 'TCP', targetType: 'ip' } as const;
  const targets = names.map(
    (id): ServingTarget => ({
      ...{ id, address: id as Ipv4, port: 80, draining: id.endsWith('draining') },
      zone: id === 'everywhere' ? 'all' : id[0]!,
    }),
  );
  return { ...kind, crossZone, targets, attributes: attributesOf(targetGroupAttributes(kind), set) } as never;
}

for (const { what, from, healthy, expected } of [
  { what: 'healthy ones of its zone', from: group(false), healthy: ['a1', 'b1'], expected: ['a1'] },
  { what: 'those of all zones', from: group(true), healthy: ['a1', 'b1'], expected: ['a1', 'b1'] },
  {
    what: 'all, when none is healthy',
    from: group(false),
    healthy: ['b1', 'a3 draining'],
    expected: ['a1', 'a2', 'everywhere'],
  },
  {
    what: 'all, when too few are healthy by count',
    from: group(false, { [`${KEY}.count`]: '2' }),
    healthy: ['a1'],
    expected: ['a1', 'a2', 'everywhere'],
  },
  {
    what: 'all, when too few are healthy by percentage',
    from: group(false, { [`${KEY}.percentage`]: '67' }),
    healthy: ['a1', 'a2'],
    expected: ['a1', 'a2', 'everywhere'],
  },
  {
    what: 'the healthy ones, when there are just enough',
    from: group(false, { [`${KEY}.percentage`]: '66' }),
    healthy: ['a1', 'a2'],
    expected: ['a1', 'a2'],
  },
]) {
  test(`a node sends to ${what}`, () => {
    const found = eligible(from, 'a', (_, { id }) => healthy.includes(id));
    assert.deepEqual(
      found.map(({ id }) => id),
      expected,
    );
  });
}
