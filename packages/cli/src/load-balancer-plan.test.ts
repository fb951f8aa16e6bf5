import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawPlan } from './load-balancer-plan.ts';

const stack = { id: { kind: 'service', namespace: 'shop', name: 'web' }, targetGroups: [] } as const;

test('a plan has a line for each change, and what it says below', () => {
  const text = drawPlan({
    of: 'Service shop/web',
    problems: [],
    stack,
    changes: [
      { call: 'CreateTargetGroup', does: 'create', what: 'target group tg', details: ['TCP:80, ip targets'] },
      { call: 'ModifyListener', does: 'change', what: 'listener TCP:80', details: [] },
    ],
  });
  assert.equal(
    text,
    [
      'Service shop/web: 1 to create, 1 to change, 0 to delete',
      '  + target group tg',
      '      TCP:80, ip targets',
      '  ~ listener TCP:80',
    ].join('\n'),
  );
});

test('a plan tells what is left out, and that nothing is to be done', () => {
  const problems = ['Ingress shop/bad: annotation scheme is "sideways"'];
  assert.equal(
    drawPlan({ of: 'Ingress group front', problems, stack, changes: [] }),
    'left out: Ingress shop/bad: annotation scheme is "sideways"\nIngress group front: all is as it should be',
  );
  assert.match(
    drawPlan({ of: 'Ingress group front', problems, stack: undefined, changes: [] }),
    /nothing can be planned until that is mended$/,
  );
});
