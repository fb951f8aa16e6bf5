import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { RuleSpec } from '../model/stack.ts';
import { conditionsKey } from './canonical.ts';
import type { Change } from './changes.ts';
import { type ExistingRule, nothing } from './existing.ts';
import { references } from './match.ts';
import { planRules } from './plan-rules.ts';

const seed = Number(process.env.ENID_TEST_SEED ?? 1);
const REFERENCES = references({ id: { kind: 'ingress', group: 'g' }, targetGroups: [] }, nothing());

const rule = (path: string, statusCode = '200'): RuleSpec => ({
  conditions: [{ field: 'path-pattern', values: [path] }],
  actions: [{ type: 'fixed-response', statusCode }],
  tags: {},
});

const made = (rules: readonly RuleSpec[]): ExistingRule[] =>
  rules.map((spec, index) => ({ ...spec, arn: `rule-${index}`, priority: index + 1 }));

const plan = (
  wanted: readonly RuleSpec[],
  existing: readonly ExistingRule[],
  total = existing.length,
  most = 100,
) =>
  planRules({
    port: 80,
    wanted,
    existing,
    total,
    most,
    references: REFERENCES,
    tags: (_resource, tags) => tags,
  });

/** What a listener does with changes, as strict as AWS. @param seen is shown the rules after each. */
function carryOut(
  changes: readonly Change[],
  existing: readonly ExistingRule[],
  seen: (now: ExistingRule[]) => void,
) {
  let rules = existing.map((each) => ({ ...each }));
  for (const change of changes) {
    if (change.call === 'CreateRule')
      rules.push({ ...change.spec, arn: `new-${change.priority}`, priority: change.priority });
    else if (change.call === 'DeleteRule') rules = rules.filter(({ arn }) => arn !== change.arn);
    else if (change.call === 'SetRulePriorities')
      for (const each of rules) each.priority = change.priorities[each.arn] ?? each.priority;
    else if (change.call === 'ModifyRule')
      Object.assign(rules.find(({ arn }) => arn === change.arn)!, change.spec);
    else assert.fail(change.call);
    assert.equal(new Set(rules.map(({ priority }) => priority)).size, rules.length, 'no two at one priority');
    seen(rules);
  }
  return rules.toSorted((a, b) => a.priority - b.priority);
}

const anyRules = fc
  .uniqueArray(fc.constantFrom('/a', '/b', '/c', '/d', '/e', '/f'))
  .chain((paths) =>
    fc.tuple(...paths.map((path) => fc.constantFrom('200', '404').map((code) => rule(path, code)))),
  );

test('rules become those that are wanted, and one that is before and after is there all the while', () => {
  fc.assert(
    fc.property(anyRules, anyRules, (before, after) => {
      const existing = made(before);
      const keys = (rules: readonly Pick<RuleSpec, 'conditions'>[]) =>
        rules.map(({ conditions }) => conditionsKey(conditions));
      const lasting = keys(before).filter((key) => keys(after).includes(key));
      const changes = plan(after, existing);
      const end = carryOut(changes, existing, (now) => {
        for (const key of lasting) assert.ok(keys(now).includes(key));
      });
      assert.deepEqual(
        end.map(({ conditions, actions, tags }) => ({ conditions, actions, tags })),
        after,
      );
      assert.deepEqual(plan(after, end), [], 'and then nothing is left to do');
      assert.ok(changes.filter(({ call }) => call === 'SetRulePriorities').length <= 1, 'all move at once');
    }),
    { seed, numRuns: 500 },
  );
});

test('a rule whose conditions are changed stays the same rule', () => {
  const existing = made([rule('/a'), rule('/b'), rule('/c')]);
  const changes = plan([rule('/a'), rule('/b2'), rule('/c')], existing);
  assert.deepEqual(
    changes.map(({ call }) => call),
    ['ModifyRule'],
  );
});

test('one that comes first moves the others by one call', () => {
  const paths = Array.from({ length: 50 }, (_, i) => rule(`/${i}`));
  const changes = plan([rule('/new'), ...paths], made(paths));
  assert.deepEqual(
    changes.map(({ call }) => call),
    ['SetRulePriorities', 'CreateRule'],
  );
});

test('what goes makes room first where the quota has none for both', () => {
  const paths = Array.from({ length: 100 }, (_, i) => rule(`/${i}`));
  const wanted = [...paths.slice(1), rule('/new')];
  const changes = plan(wanted, made(paths));
  assert.deepEqual(
    changes.map(({ call }) => call),
    ['DeleteRule', 'SetRulePriorities', 'CreateRule'],
  );
  carryOut(changes, made(paths), (now) => assert.ok(now.length <= 100));
  assert.deepEqual(
    plan(wanted, made(paths), 100, 200).map(({ call }) => call),
    ['SetRulePriorities', 'CreateRule', 'DeleteRule'],
    'and none before what is new where it was raised',
  );
});
