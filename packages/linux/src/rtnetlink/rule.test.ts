import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr } from '@enid/ip';
import { ip, testNamespace } from '../testing.ts';
import { Rtnetlink } from './rtnetlink.ts';
import { addRule, deleteRule, type RuleSpec } from './rule.ts';

const tables: Record<string, number> = { default: 253, main: 254, local: 255 };
const protocols: Record<string, number> = { kernel: 2, boot: 3, static: 4 };
const ipProtocols: Record<string, number> = { tcp: 6, udp: 17 };

/** A rule as `ip -d -j rule` prints it, in our words. */
// biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON
function printed(family: 4 | 6, json: any): object {
  const block = (address: string | undefined, length: number | undefined) =>
    address === undefined || address === 'all'
      ? undefined
      : parseCidr(`${address}/${length ?? (family === 4 ? 32 : 128)}`);
  const from = block(json.src, json.srclen);
  const to = block(json.dst, json.dstlen);
  const range = (one: number | undefined, start: number | undefined, end: number | undefined) =>
    one === undefined && start === undefined ? undefined : { start: start ?? one, end: end ?? one };
  const sourcePorts = range(json.sport, json.sport_start, json.sport_end);
  const destinationPorts = range(json.dport, json.dport_start, json.dport_end);
  const mark = json.fwmark !== undefined && {
    fwmark: Number(json.fwmark),
    fwmask: Number(json.fwmask ?? 0xffffffff),
  };
  const action = json.table !== undefined ? 'table' : json.goto !== undefined ? 'goto' : json.action;
  return {
    priority: json.priority,
    family,
    action,
    protocol: protocols[json.protocol] ?? Number(json.protocol),
    ...(from && { from }),
    ...(to && { to }),
    ...(json.iif && { iif: json.iif }),
    ...(json.oif && { oif: json.oif }),
    ...mark,
    ...(json.ipproto && { ipProtocol: ipProtocols[json.ipproto] }),
    ...(sourcePorts && { sourcePorts }),
    ...(destinationPorts && { destinationPorts }),
    ...('not' in json && { invert: true }),
    ...(json.table !== undefined && { table: tables[json.table] ?? Number(json.table) }),
    ...(json.goto !== undefined && { goto: json.goto }),
    ...(json.suppress_prefixlen !== undefined && { suppressPrefixLength: json.suppress_prefixlen }),
  };
}

const specs: RuleSpec[] = [
  { priority: 512, family: 4, to: parseCidr('10.0.0.5/32'), table: 254 },
  { priority: 1024, family: 4, fwmark: 0x80, fwmask: 0x80, table: 254 },
  { priority: 1025, family: 4, fwmark: 0xffffffff, table: 254, invert: true },
  { priority: 1536, family: 4, from: parseCidr('10.0.0.5/32'), table: 2, protocol: 4 },
  { priority: 1537, family: 4, from: parseCidr('10.0.0.0/8'), to: parseCidr('10.1.0.0/16'), table: 100_000 },
  { priority: 1538, family: 4, iif: 'lo', oif: 'eth7', action: 'prohibit' },
  {
    priority: 1539,
    family: 4,
    ipProtocol: 6,
    sourcePorts: { start: 1, end: 9 },
    destinationPorts: { start: 80, end: 80 },
    action: 'unreachable',
  },
  { priority: 1540, family: 4, table: 254, suppressPrefixLength: 0 },
  { priority: 1541, family: 4, action: 'goto', goto: 32766 },
  { priority: 1536, family: 6, from: parseCidr('2001:db8::/32'), table: 2 },
  { priority: 1537, family: 6, to: parseCidr('2001:db8::5/128'), action: 'blackhole' },
];

test('rules read as ip prints them, and what was read can be made again', (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  const before = rtnetlink.rules();
  rtnetlink.execute(specs.map((spec) => addRule(spec)));
  const rules = rtnetlink.rules();
  for (const family of [4, 6] as const) {
    // biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON
    const shown: any[] = ip(ns, '-d', `-${family}`, 'rule');
    assert.deepEqual(
      rules.filter((rule) => rule.family === family),
      shown.map((json) => printed(family, json)),
    );
    assert.deepEqual(
      rtnetlink.rules(family),
      rules.filter((rule) => rule.family === family),
    );
  }
  const made = rules.filter((rule) => !before.some((old) => JSON.stringify(old) === JSON.stringify(rule)));
  assert.equal(made.length, specs.length);
  rtnetlink.execute(made.map((rule) => deleteRule(rule)));
  assert.deepEqual(rtnetlink.rules(), before);
  rtnetlink.execute(made.map((rule) => addRule(rule)));
  assert.deepEqual(rtnetlink.rules(), rules);
});

test('a rule is made once', (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  const rule: RuleSpec = { priority: 512, family: 4, to: parseCidr('10.0.0.5/32'), table: 254 };
  const codes = rtnetlink
    .batch([addRule(rule), addRule(rule), deleteRule(rule), deleteRule(rule)])
    .map((error) => error?.code);
  assert.deepEqual(codes, [undefined, 'EEXIST', undefined, 'ENOENT']);
  assert.throws(() => addRule({ ...rule, family: 6 }), /10\.0\.0\.5\/32 is not of IPv6/);
});
