import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

type Policy = { Statement: { Sid: string; Action: string | string[] }[] };

/** What no code of ours asks: ELB does, with the caller's rights. */
const OF_ELB = /^(WhatElbAsks|TheRoleOfElb)/;

test('the policy of the controller has the calls that it makes, and no others', () => {
  const sources = globSync('packages/controller/src/load-balancing/**/*.ts').map((file) =>
    readFileSync(file, 'utf8'),
  );
  const calls = sources.flatMap((source) => [
    ...[...source.matchAll(/new (\w+)Command\(/g)].map(([, name]) => name),
    ...[...source.matchAll(/paginate(\w+)\(/g)].map(([, name]) => name),
  ]);
  const policy = JSON.parse(readFileSync('deploy/enid-controller-policy.json', 'utf8')) as Policy;
  const allowed = policy.Statement.filter(({ Sid }) => !OF_ELB.test(Sid))
    .flatMap(({ Action }) => Action)
    .map((action) => action.split(':')[1]);
  assert.deepEqual(allowed.toSorted(), [...new Set(calls)].toSorted());
});
