/** Addresses that an operator has put aside. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ipv6, type Ipv6Cidr, parseCidr, parseIpv4, parseIpv4Cidr } from '@enid/ip';
import { plan } from './plan.ts';
import {
  addAddresses,
  addSlots,
  assign,
  cordon,
  countsOf,
  emptyPool,
  isFree,
  isPutAside,
  type Pool,
  prefixSlotOf,
  putEni,
  release,
  uncordon,
  withdraw,
} from './pool.ts';
import { explainRefusal } from './refusal.ts';

const NOW = 1_000_000;
const at = (host: number) => parseIpv4(`10.0.0.${host}`);
const block = (text: string) => parseIpv4Cidr(text);
const keyOf = (pod: string) => ({ network: 'n', containerId: pod, ifName: 'eth0' });
const eni = { id: 'eni-0', deviceNumber: 0, primary: true, since: 0, leaving: false, slots: [] };
const four = addAddresses(putEni(emptyPool(30_000), eni), 'eni-0', [4, 5, 6, 7].map(at));
const targets = { warmEnis: 0, warmIps: 2, minimumIps: 0 };
const bounds = { enis: 1, slotsPerEni: 10 };
const planned = (pool: typeof four, now = NOW) => plan({ pool, targets, bounds, waiting: 0, now });

test('a cordoned address goes to no new pod, and stays with the one that has it', () => {
  const held = assign(four, keyOf('a'), {}, NOW)!;
  const pool = cordon(cordon(held.pool, block('10.0.0.4/31')), block('10.0.0.6/32'));
  assert.equal(pool.allocations.get(at(4)), held.allocation);
  const next = assign(pool, keyOf('b'), {}, NOW)!;
  assert.equal(next.allocation.address, at(7));
  assert.equal(assign(next.pool, keyOf('c'), {}, NOW), undefined);
  const gone = release(pool, keyOf('a'), NOW).pool;
  assert.equal(isFree(gone, at(4), NOW + 60_000), false);
});

test('cordoned addresses are counted for themselves, are replaced, and are not given back', () => {
  const pool = cordon(four, block('10.0.0.4/30'));
  const { total, cordoned, available, free } = countsOf(pool, NOW);
  assert.deepEqual([total, cordoned, available, free], [4, 4, 0, 0]);
  assert.deepEqual(planned(pool), [{ kind: 'assign-addresses', eniId: 'eni-0', count: 2 }]);
  const one = cordon(four, block('10.0.0.7/32'));
  assert.deepEqual(planned(one), [{ kind: 'unassign-addresses', eniId: 'eni-0', addresses: [at(6)] }]);
});

test('what is cordoned goes by hand alone, when nobody holds it and it does not rest, and nothing comes in its place', () => {
  const held = assign(four, keyOf('a'), {}, NOW)!;
  const pool = cordon(held.pool, block('10.0.0.4/31'));
  const byHand = (of: typeof four, now: number) => withdraw(of, 'eni-0', [4, 5, 6].map(at), now, isPutAside);
  assert.deepEqual(withdraw(pool, 'eni-0', [at(5)], NOW).withdrawn, [], 'by plan');
  assert.deepEqual(byHand(pool, NOW).withdrawn, [at(5)], 'held, and not cordoned');
  const resting = release(pool, keyOf('a'), NOW).pool;
  assert.deepEqual(byHand(resting, NOW + 29_999).withdrawn, [at(5)], 'rests');
  const gone = byHand(resting, NOW + 30_000);
  assert.deepEqual(gone.withdrawn, [at(4), at(5)]);
  assert.deepEqual([planned(resting, NOW + 30_000), planned(gone.pool, NOW + 30_000)], [[], []]);
});

test('uncordoning a block frees those within it, and none that reaches beyond', () => {
  const pool = ['10.0.0.4/32', '10.0.0.6/31', '10.0.0.0/24'].map(block).reduce(cordon, four);
  assert.deepEqual(uncordon(pool, block('10.0.0.4/30')).cordoned, ['10.0.0.0/24']);
  assert.equal(countsOf(uncordon(pool, block('10.0.0.0/16')), NOW).free, 4);
});

test('a prefix of IPv6 is counted and put aside in parts, without its addresses being listed', () => {
  const six = (text: string) => parseCidr(text) as Ipv6Cidr;
  const [slot, eniOfSix] = [prefixSlotOf(six('2001:db8::/80')), { ...eni, slots: [] }];
  const empty = putEni<Ipv6>(emptyPool(30_000, 'prefix', 6), eniOfSix);
  const all = 2 ** 48;
  const bounds = { enis: 1, slotsPerEni: 1 };
  const want = { ...targets, minimumIps: 40 };
  const next = (pool: Pool<Ipv6>) => plan({ pool, targets: want, bounds, waiting: 0, now: NOW });
  assert.deepEqual(next(empty), [{ kind: 'assign-prefixes', eniId: 'eni-0', count: 1 }]);
  const full = addSlots(empty, 'eni-0', [slot]);
  assert.deepEqual([next(full), countsOf(full, NOW).free], [[], all]);

  const parts = ['2001:db8::/81', '2001:db8::/120', '2001:db8::8000:0:0/112']
    .map(six)
    .reduce(cordon<Ipv6>, full);
  const { pool, allocation } = assign(parts, keyOf('a'), {}, NOW)!;
  assert.equal(allocation.address, '2001:db8::8000:1:0');
  const { total, assigned, cordoned, free } = countsOf(pool, NOW);
  assert.deepEqual([total, assigned, cordoned, free], [all, 1, all / 2 + 2 ** 16, all / 2 - 2 ** 16 - 1]);
  const aside = cordon(pool, six('2001:db8::8000:0:0/81'));
  assert.equal(assign(aside, keyOf('b'), {}, NOW), undefined);
  assert.equal(countsOf(aside, NOW).cordoned, all - 1);
  assert.ok(!isPutAside(aside, slot, NOW));
  const released = release(aside, keyOf('a'), NOW).pool;
  assert.ok(!isPutAside(released, slot, NOW) && isPutAside(released, slot, NOW + 30_000));
  assert.equal(countsOf(uncordon(released, six('2001:db8::/64')), NOW + 30_000).free, all);
});

test('a node that has nothing but cordoned addresses left says so', () => {
  const pool = cordon(four, block('10.0.0.4/30'));
  const context = { instanceId: 'i-1', instanceType: 't3.small', bounds: { enis: 1, slotsPerEni: 4 } };
  const rest = {
    typeEnis: 1,
    unmanagedEnis: 0,
    prefixesPossible: true,
    growth: { kind: 'possible' },
  } as const;
  const { sentence: text } = explainRefusal(pool, { ...context, ...rest }, NOW);
  assert.match(text, /0 of 4 addresses assigned, 0 cooling, 4 cordoned; .*"enid ips uncordon"/);
});
