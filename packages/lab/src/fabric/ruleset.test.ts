import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contentsOf, type Table, transaction } from './ruleset.ts';

const TABLE: Table = {
  family: 'ip',
  name: 'enid',
  counters: ['drops'],
  sets: [
    { name: 'ports', key: 'ifname', elements: ['"eth0"', '"eth1"'] },
    { name: 'blocks', key: 'ifname . ipv4_addr', interval: true, elements: [] },
    { name: 'verdicts', key: 'ifname', value: 'verdict', elements: ['"eth0" : jump more'] },
  ],
  chains: [
    {
      name: 'in',
      hook: 'type filter hook input priority 0; policy drop;',
      rules: ['iifname vmap @verdicts'],
    },
    { name: 'more', rules: ['iifname @ports counter name drops drop'] },
  ],
};

test('a table from nothing: what is referred to comes first', () => {
  assert.deepEqual(transaction(TABLE, undefined).trimEnd().split('\n'), [
    'add table ip enid',
    'add counter ip enid drops',
    'add chain ip enid in { type filter hook input priority 0; policy drop; }',
    'add chain ip enid more',
    'add set ip enid ports { type ifname; }',
    'add element ip enid ports { "eth0", "eth1" }',
    'add set ip enid blocks { type ifname . ipv4_addr; flags interval; }',
    'add map ip enid verdicts { type ifname : verdict; }',
    'add element ip enid verdicts { "eth0" : jump more }',
    'add rule ip enid in iifname vmap @verdicts',
    'add rule ip enid more iifname @ports counter name drops drop',
  ]);
});

test('a table over another: it is emptied, what is gone is deleted, counters stay', () => {
  const before = {
    counters: ['drops', 'old'],
    sets: ['ports', 'gone'],
    maps: ['verdicts'],
    chains: ['in', 'left'],
  };
  const lines = transaction(TABLE, before).split('\n');
  assert.deepEqual(lines.slice(1, 8), [
    'flush table ip enid',
    'flush map ip enid verdicts',
    'flush set ip enid ports',
    'flush set ip enid gone',
    'delete chain ip enid left',
    'delete set ip enid gone',
    'delete counter ip enid old',
  ]);
  assert.ok(!lines.includes('delete counter ip enid drops'));
});

test('a table over itself deletes nothing', () => {
  assert.doesNotMatch(transaction(TABLE, contentsOf(TABLE)), /^delete/m);
});
