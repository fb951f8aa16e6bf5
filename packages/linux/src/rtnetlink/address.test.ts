import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '@enid/ip';
import { ip, testNamespace } from '../testing.ts';
import { type Address, addAddress, deleteAddress } from './address.ts';
import { addLink } from './link.ts';
import { Rtnetlink } from './rtnetlink.ts';

/** An address as `ip -j address` prints it, in our words. */
// biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON
const printed = (index: number, json: any): Omit<Address, 'flags'> => ({
  index,
  family: json.family === 'inet' ? 4 : 6,
  address: json.local,
  prefixLength: json.prefixlen,
  scope: json.scope,
  noPrefixRoute: json.noprefixroute ?? false,
  noDad: json.nodad ?? false,
  permanent: !json.dynamic,
  secondary: json.secondary ?? false,
  tentative: json.tentative ?? false,
  dadFailed: json.dadfailed ?? false,
  ...(json.address && { peer: json.address }),
  ...(json.broadcast && { broadcast: json.broadcast }),
  ...(json.label && { label: json.label }),
  ...(json.metric && { metric: json.metric }),
});

const specs = (index: number) => [
  { index, address: parseIp('10.0.0.1'), prefixLength: 24 },
  { index, address: parseIp('10.0.0.2'), prefixLength: 24, noPrefixRoute: true },
  { index, address: parseIp('10.0.1.1'), prefixLength: 32, scope: 'link' as const },
  { index, address: parseIp('10.0.2.1'), prefixLength: 32, peer: parseIp('10.0.2.2'), metric: 7 },
  { index, address: parseIp('10.0.3.1'), prefixLength: 24, broadcast: parseIp('10.0.3.255'), label: 'br0:x' },
  { index, address: parseIp('2001:db8::1'), prefixLength: 64, noDad: true },
  {
    index,
    address: parseIp('2001:db8::2'),
    prefixLength: 128,
    peer: parseIp('2001:db8::3'),
    noPrefixRoute: true,
    noDad: true,
  },
];

test('addresses read as ip prints them, and what was read can be given again', (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  rtnetlink.execute([addLink({ kind: 'bridge', name: 'br0', up: true })]);
  const { index } = rtnetlink.link('br0')!;
  const given = specs(index);
  rtnetlink.execute(given.map((spec) => addAddress(spec)));
  const read = () => rtnetlink.addresses({ index }).filter(({ address }) => !address.startsWith('fe80:'));

  const addresses = read();
  // biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON
  const shown: any[] = ip(ns, 'address', 'show', 'dev', 'br0')[0].addr_info;
  assert.deepEqual(
    addresses.map(({ flags: _, ...rest }) => rest),
    shown.filter(({ local }) => !local.startsWith('fe80:')).map((json) => printed(index, json)),
  );
  for (const spec of given) {
    const found = addresses.find(({ address }) => address === spec.address)!;
    assert.deepEqual({ ...found, ...spec }, found, 'has all that it was given');
  }

  rtnetlink.execute(addresses.map((address) => deleteAddress(address)).reverse());
  assert.deepEqual(read(), []);
  rtnetlink.execute(addresses.map((address) => addAddress(address)));
  const order = ({ address }: Address) => address;
  assert.deepEqual(
    read().sort((x, y) => order(x).localeCompare(order(y))),
    addresses.sort((x, y) => order(x).localeCompare(order(y))),
  );
});

test('addresses are filtered by link and family', (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  rtnetlink.execute([
    addLink({ kind: 'bridge', name: 'br0', index: 10 }),
    addLink({ kind: 'bridge', name: 'br1', index: 11 }),
    addAddress({ index: 10, address: parseIp('10.0.0.1'), prefixLength: 32 }),
    addAddress({ index: 11, address: parseIp('10.0.0.2'), prefixLength: 32 }),
    addAddress({ index: 11, address: parseIp('2001:db8::2'), prefixLength: 128 }),
  ]);
  const found = (filter: Parameters<Rtnetlink['addresses']>[0]) =>
    rtnetlink.addresses(filter).map(({ address }) => address);
  assert.deepEqual(found({}), ['10.0.0.1', '10.0.0.2', '2001:db8::2']);
  assert.deepEqual(found({ index: 11 }), ['10.0.0.2', '2001:db8::2']);
  assert.deepEqual(found({ index: 11, family: 6 }), ['2001:db8::2']);
  assert.deepEqual(found({ family: 4 }), ['10.0.0.1', '10.0.0.2']);
  assert.deepEqual(found({ index: 99 }), []);
});

test('what the kernel refuses', (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  const spec = { index: 1, address: parseIp('10.0.0.1'), prefixLength: 32 };
  const codes = rtnetlink
    .batch([
      addAddress(spec),
      addAddress(spec),
      addAddress(spec, 'replace'),
      addAddress({ ...spec, index: 99 }),
      addAddress({ ...spec, prefixLength: 33 }),
      deleteAddress(spec),
      deleteAddress(spec),
    ])
    .map((error) => error?.code);
  assert.deepEqual(codes, [undefined, 'EEXIST', undefined, 'ENODEV', 'EINVAL', undefined, 'EADDRNOTAVAIL']);
});
