import assert from 'node:assert/strict';
import { it } from 'node:test';
import { matchesNodeTerm, selects } from './selectors.ts';

it('selects by equality and by sets; all when empty, nothing when there is none', () => {
  const by = (key: string, operator: string, ...values: string[]) => ({
    matchExpressions: [{ key, operator, values }],
  });
  const labels = { app: 'web', tier: '' };
  assert.ok(selects({}, labels) && selects({ matchLabels: { app: 'web' } }, labels));
  assert.ok(!selects(undefined, labels) && !selects({ matchLabels: { app: 'db' } }, labels));
  assert.ok(selects(by('app', 'In', 'web', 'db'), labels) && !selects(by('app', 'NotIn', 'web'), labels));
  assert.ok(selects(by('tier', 'Exists'), labels) && selects(by('none', 'DoesNotExist'), labels));
  assert.ok(selects(by('none', 'NotIn', 'x'), labels), 'what is not there is not in the set');
  assert.ok(!selects(by('toString', 'Exists'), labels));
});

it('matches nodes by labels, numbers and name; a term without requirements matches none', () => {
  const node = { metadata: { name: 'a', labels: { cores: '16' } } };
  const cores = (operator: string, value: string) => ({
    matchExpressions: [{ key: 'cores', operator, values: [value] }],
  });
  assert.ok(matchesNodeTerm(cores('Gt', '8'), node) && !matchesNodeTerm(cores('Gt', '16'), node));
  assert.ok(matchesNodeTerm(cores('Lt', '100'), node), 'as numbers, not as text');
  const name = (value: string) => ({
    matchFields: [{ key: 'metadata.name', operator: 'In', values: [value] }],
  });
  assert.ok(matchesNodeTerm(name('a'), node) && !matchesNodeTerm(name('b'), node));
  assert.ok(!matchesNodeTerm({ ...name('a'), ...cores('Gt', '99') }, node));
  assert.ok(!matchesNodeTerm({}, node));
});
