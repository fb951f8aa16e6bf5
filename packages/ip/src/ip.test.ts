import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  AddressError,
  addressAt,
  addressesOf,
  cidrOf,
  contains,
  fromBytes,
  fromNumber,
  overlaps,
  parseCidr,
  parseIp,
  parseIpv4,
  parseIpv4Cidr,
  sizeOf,
  toBytes,
  toNumber,
} from './index.ts';

const anyNumber = fc.integer({ min: 0, max: 0xffffffff });

test('an IPv4 address survives number, bytes and text', () => {
  fc.assert(
    fc.property(anyNumber, (value) => {
      const address = fromNumber(value);
      assert.equal(toNumber(address), value);
      assert.equal(fromBytes(toBytes(address)), address);
      assert.equal(parseIp(address), address);
    }),
  );
});

test('a block holds exactly the addresses between its ends', () => {
  fc.assert(
    fc.property(anyNumber, anyNumber, fc.integer({ min: 0, max: 32 }), (base, other, length) => {
      const cidr = cidrOf(fromNumber(base), length);
      const first = toNumber(addressAt(cidr, 0));
      assert.equal(contains(cidr, fromNumber(other)), other >= first && other < first + sizeOf(cidr));
      assert.ok(overlaps(cidr, cidrOf(fromNumber(base), 32)));
    }),
  );
});

test('lists a block in order', () => {
  assert.deepEqual(
    [...addressesOf(parseIpv4Cidr('10.0.0.6/30'))],
    ['10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.7'],
  );
});

test('IPv6 is canonical', () => {
  assert.equal(parseIp('2001:DB8:0::0001'), '2001:db8::1');
  assert.equal(parseCidr('2001:db8::1/64'), '2001:db8::/64');
  assert.equal(fromBytes(toBytes(parseIp('fe80::1'))), 'fe80::1');
});

for (const text of [
  '',
  '1',
  '10.0.0',
  '010.0.0.1',
  '10.0.0.256',
  '0x0a000001',
  '10.0.0.1 ',
  'fe80::1%eth0',
]) {
  test(`refuses ${JSON.stringify(text)} as an address`, () =>
    assert.throws(() => parseIp(text), AddressError));
}
for (const text of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', '/8', '10.0.0/8']) {
  test(`refuses ${JSON.stringify(text)} as a block`, () =>
    assert.throws(() => parseIpv4Cidr(text), AddressError));
}
test('names what it refused', () => {
  assert.throws(() => parseIpv4('host'), { message: '"host" is not an IPv4 address' });
});
