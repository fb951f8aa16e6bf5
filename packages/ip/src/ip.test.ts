import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  AddressError,
  addressAt,
  addressesOf,
  type Cidr,
  cidrOf,
  contains,
  covers,
  fromBytes,
  fromNumber,
  type Ipv6,
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

test('a block of IPv6 holds what is at its offsets, which lies in it, and no more', () => {
  const anyBytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
  fc.assert(
    fc.property(anyBytes, fc.integer({ min: 0, max: 128 }), fc.maxSafeNat(), (bytes, length, any) => {
      const address = fromBytes(bytes) as Ipv6;
      const cidr = cidrOf(address, length);
      assert.equal(cidr, parseCidr(`${address}/${length}`));
      assert.equal(sizeOf(cidr), 2 ** (128 - length));
      assert.ok(contains(cidr, address));
      const offset = any % sizeOf(cidr);
      const there = addressAt(cidr, offset);
      assert.equal(cidrOf(there, length), cidr);
      assert.equal(there === addressAt(cidr, 0), offset === 0);
      if (length > 75) assert.throws(() => addressAt(cidr, sizeOf(cidr)), AddressError);
    }),
  );
  const block = parseCidr('2001:db8::/80');
  assert.equal(addressAt(block, 2 ** 48 - 1), '2001:db8::ffff:ffff:ffff');
  assert.deepEqual(addressesOf(block).take(2).toArray(), ['2001:db8::', '2001:db8::1']);
});

test('a block covers those that lie within it, of its own family', () => {
  const [wide, inner, other] = ['2001:db8::/64', '2001:db8::/80', '2001:db8:1::/80'].map(parseCidr) as [
    Cidr,
    Cidr,
    Cidr,
  ];
  assert.deepEqual(
    [covers(wide, inner), covers(wide, wide), covers(inner, wide), covers(wide, other)],
    [true, true, false, false],
  );
  assert.ok(overlaps(inner, wide) && !overlaps(inner, other));
  assert.ok(!covers(parseCidr('::/0'), parseCidr('10.0.0.0/8')));
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
