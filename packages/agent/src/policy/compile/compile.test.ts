import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cidr, cidrOf, contains, fromBytes, fromNumber, type Ip, parseCidr } from '@enid/ip';
import fc from 'fast-check';
import type { Action, Decision, DirectionRules, PeerRule, PolicyRules, PortRange } from '../rules.ts';
import { unbound } from '../rules.ts';
import {
  compile,
  difference,
  type Peers,
  type PortClass,
  PortClasses,
  type Prefix,
  prefixOf,
} from './index.ts';
import { portPrefixes } from './port-class.ts';
import { covers, lengthOf, writeAddress } from './prefix.ts';

// A few addresses and ports that meet each other often.
const v4 = fc.integer({ min: 0, max: 0xff }).map((low) => fromNumber(0x0a000000 + low));
const v6 = fc
  .integer({ min: 0, max: 0xff })
  .map((low) => fromBytes(Uint8Array.of(0x20, ...new Array(14).fill(1), low)));
const address: fc.Arbitrary<Ip> = fc.oneof({ weight: 3, arbitrary: v4 }, { weight: 1, arbitrary: v6 });
const cidr: fc.Arbitrary<Cidr> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(v4, fc.integer({ min: 22, max: 32 })).map(([a, n]) => cidrOf(a, n) as Cidr),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(v6, fc.integer({ min: 118, max: 128 })).map(([a, n]) => parseCidr(`${a}/${n}`)),
  },
  { weight: 1, arbitrary: fc.constantFrom(parseCidr('0.0.0.0/0'), parseCidr('::/0')) },
);
const somePort = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constantFrom(0, 80, 443, 65_534, 65_535));
const range: fc.Arbitrary<PortRange> = fc
  .tuple(fc.constantFrom('TCP' as const, 'UDP' as const, 'SCTP' as const), somePort, somePort)
  .map(([protocol, a, b]) => ({ protocol, from: Math.min(a, b), to: Math.max(a, b) }));
const peer = (actions: readonly Action[]): fc.Arbitrary<PeerRule> =>
  fc
    .record({
      rule: fc.nat(3),
      cidr,
      except: fc.option(fc.array(cidr, { maxLength: 3 })),
      ports: fc.option(fc.array(range, { maxLength: 4 })),
    })
    .map(({ rule, cidr, except, ports }) => ({
      rule,
      // The same rule of a policy has one action.
      action: actions[rule % actions.length]!,
      cidr,
      ...(except && { except }),
      ...(ports && { ports }),
    }));
const policies = (kind: 'NetworkPolicy' | 'ClusterNetworkPolicy', actions: readonly Action[]) =>
  fc.uniqueArray(
    fc.record({
      policy: fc
        .constantFrom('a', 'b', 'c', 'd')
        .map((name) => ({ kind, name, ...(kind === 'NetworkPolicy' && { namespace: 'n' }) })),
      priority: fc.nat(2),
      peers: fc.array(peer(actions), { maxLength: 5 }),
    }),
    { maxLength: 3, selector: ({ policy }) => policy.name },
  );
const rules: fc.Arbitrary<DirectionRules> = fc.record({
  always: fc.array(cidr, { maxLength: 1 }),
  admin: policies('ClusterNetworkPolicy', ['Accept', 'Deny', 'Pass']),
  networkPolicies: fc.oneof(fc.constant([]), policies('NetworkPolicy', ['Accept'])),
  baseline: policies('ClusterNetworkPolicy', ['Deny', 'Accept', 'Pass']),
  default: fc.constantFrom('allow', 'deny'),
});
type Probe = { readonly address: Ip; readonly protocol: number; readonly port: number };
const probe: fc.Arbitrary<Probe> = fc
  .record({ address, protocol: fc.constantFrom(1, 6, 17, 132), port: somePort })
  .map((probe) => (probe.protocol === 1 ? { ...probe, port: 0 } : probe));

/** As the documents say it, rule by rule. */
function evaluate(rules: DirectionRules, { address, protocol, port }: Probe): Decision {
  const number = { TCP: 6, UDP: 17, SCTP: 132 };
  const matches = ({ cidr, except = [], ports }: PeerRule) =>
    contains(cidr, address) &&
    !except.some((one) => contains(one, address)) &&
    (!ports || ports.some((p) => number[p.protocol] === protocol && p.from <= port && port <= p.to));
  const matching = (policies: readonly PolicyRules[]) =>
    policies
      .toSorted((a, b) => (a.priority ?? 0) - (b.priority ?? 0) || a.policy.name.localeCompare(b.policy.name))
      .flatMap(({ policy, peers }) =>
        peers
          .filter(matches)
          .toSorted((a, b) => a.rule - b.rule)
          .map(({ rule, action }) => ({ policy, rule, action })),
      );
  const direction = 'ingress';
  if (rules.always.some((one) => contains(one, address)))
    return { verdict: 'allow', by: { direction, tier: 'Always' } };
  const decided = (
    tier: 'Admin' | 'NetworkPolicy' | 'Baseline',
    first: ReturnType<typeof matching>[number],
  ): Decision => ({
    verdict: first.action === 'Accept' ? 'allow' : 'deny',
    by: { direction, tier, policy: first.policy, rule: first.rule },
  });
  const [admin] = matching(rules.admin);
  if (admin && admin.action !== 'Pass') return decided('Admin', admin);
  const byName = rules.networkPolicies.map(({ policy, peers }) => ({ policy, peers }));
  if (byName.length > 0) {
    const [first] = matching(byName);
    if (first) return decided('NetworkPolicy', first);
    const [policy] = byName.map((one) => one.policy).sort((a, b) => a.name.localeCompare(b.name));
    return { verdict: 'deny', by: { direction, tier: 'NetworkPolicy', policy: policy! } };
  }
  const [baseline] = matching(rules.baseline);
  if (baseline && baseline.action !== 'Pass') return decided('Baseline', baseline);
  return { verdict: rules.default, by: { direction, tier: 'Default' } };
}

/** As the kernel does it: the longest prefix, twice. */
function lookUp(peers: Peers, { address, protocol, port }: Probe): Decision {
  const bits = (protocol: number, port: number, bits: number) => ((protocol << 16) | port) >>> (24 - bits);
  const [best] = classOf(peers, address)
    .entries.filter((e) => e.bits === 0 || bits(e.protocol, e.port, e.bits) === bits(protocol, port, e.bits))
    .toSorted((a, b) => b.bits - a.bits);
  return best!.decision;
}

function classOf(peers: Peers, address: Ip): PortClass {
  const host = prefixOf(parseCidr(`${address}/${address.includes(':') ? 128 : 32}`));
  let longest: Prefix | undefined;
  for (const prefix of peers.keys())
    if (covers(prefix, host) && (longest === undefined || lengthOf(prefix) > lengthOf(longest)))
      longest = prefix;
  return peers.get(longest!)!;
}

test('two lookups by longest prefix say what all rules one by one say, and who said it', () => {
  fc.assert(
    fc.property(rules, fc.array(probe, { minLength: 20, maxLength: 20 }), (rules, probes) => {
      const peers = compile(rules, 'ingress', new PortClasses());
      for (const probe of probes) assert.deepEqual(lookUp(peers, probe), evaluate(rules, probe));
    }),
    { numRuns: 1_000 },
  );
});

test('after each step of an update, every packet has its old verdict or its new one, and keeps the new one', () => {
  fc.assert(
    fc.property(rules, rules, fc.array(probe, { minLength: 10, maxLength: 10 }), (before, after, probes) => {
      const classes = new PortClasses();
      const from = compile(before, 'ingress', classes);
      const to = compile(after, 'ingress', classes);
      const { set, remove } = difference(from, to);
      const kernel = new Map(from);
      const steps = [
        ...set.map(
          ([prefix, portClass]) =>
            () =>
              kernel.set(prefix, portClass),
        ),
        ...remove.map((prefix) => () => kernel.delete(prefix)),
      ];
      const changed = probes.map(() => false);
      for (const step of steps) {
        step();
        for (const [i, probe] of probes.entries()) {
          const now = classOf(kernel, probe.address);
          changed[i] ||= now !== classOf(from, probe.address);
          assert.ok(now === classOf(changed[i] ? to : from, probe.address));
        }
      }
      assert.deepEqual(kernel, to);
      assert.deepEqual(difference(to, compile(after, 'ingress', classes)), { set: [], remove: [] });
    }),
    { numRuns: 500 },
  );
});

test('ports are split into the fewest prefixes, without a gap', () => {
  fc.assert(
    fc.property(fc.nat(65_535), fc.nat(65_535), (a, b) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)];
      let next = from;
      for (const { port, bits } of portPrefixes(from, to)) {
        assert.equal(port, next);
        assert.equal(port % 2 ** (16 - bits), 0);
        next += 2 ** (16 - bits);
      }
      assert.equal(next, to + 1);
    }),
  );
  assert.equal(portPrefixes(1, 65_534).length, 30);
  assert.deepEqual(portPrefixes(0, 65_535), [{ port: 0, bits: 0 }]);
});

test('addresses are written as 16 bytes, IPv4 mapped', () => {
  const bytes = (text: string) => {
    const view = new DataView(new ArrayBuffer(16));
    writeAddress(prefixOf(parseCidr(text)), view, 0);
    return Buffer.from(view.buffer).toString('hex');
  };
  assert.equal(bytes('10.1.2.0/24'), '00000000000000000000ffff0a010200');
  assert.equal(bytes('2001:db8:0:1::/64'), '20010db8000000010000000000000000');
  assert.equal(prefixOf(parseCidr('::ffff:10.1.2.0/120')), prefixOf(parseCidr('10.1.2.0/24')));
});

const accept = (name: string, peers: Omit<PeerRule, 'rule' | 'action'>[]): PolicyRules => ({
  policy: { kind: 'NetworkPolicy', namespace: 'n', name },
  peers: peers.map((peer) => ({ rule: 0, action: 'Accept', ...peer })),
});

test('10,000 ports and 1,000 policies cost a class as many entries as they need', () => {
  const ports = Array.from(
    { length: 10_000 },
    (_, i): PortRange => ({ protocol: 'TCP', from: 2 * i, to: 2 * i }),
  );
  const everybody = parseCidr('0.0.0.0/0');
  const peers = compile(
    { ...unbound('allow'), networkPolicies: [accept('odd', [{ cidr: everybody, ports }])] },
    'ingress',
    new PortClasses(),
  );
  assert.equal(peers.size, 2);
  assert.ok(peers.get(prefixOf(everybody))!.entries.length <= 10_020);
  const many = Array.from({ length: 1_000 }, (_, i) =>
    accept(`p${i}`, [{ cidr: everybody, ports: [{ protocol: 'TCP', from: i, to: i }] }]),
  );
  const merged = compile({ ...unbound('allow'), networkPolicies: many }, 'ingress', new PortClasses());
  assert.equal(merged.get(prefixOf(everybody))!.entries.length, 1_001);
});
