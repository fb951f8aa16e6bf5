/** What a request says is what a decoder reads: builders and decoders share their messages' shape. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cidr, cidrOf, fromBytes, fromNumber, type Ip, parseCidr } from '@enid/ip';
import fc from 'fast-check';
import type { Request } from '../netlink/message.ts';
import { type AddressSpec, addAddress, decodeAddress } from './address.ts';
import { addNeighbour, decodeNeighbour, type NeighbourSpec } from './neighbour.ts';
import { addRoute, decodeRoute, type RouteSpec } from './route.ts';
import { addRule, decodeRule, type RuleSpec } from './rule.ts';

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const u8 = fc.integer({ min: 0, max: 255 });
const index = fc.integer({ min: 1, max: 0x7fffffff });
const ipv4: fc.Arbitrary<Ip> = u32.map(fromNumber);
const ipv6: fc.Arbitrary<Ip> = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(fromBytes);
const mac = fc
  .uint8Array({ minLength: 6, maxLength: 6 })
  .map((bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':'));
const block = (family: 4 | 6): fc.Arbitrary<Cidr> =>
  family === 4
    ? fc.tuple(u32, fc.integer({ min: 0, max: 32 })).map(([n, length]) => cidrOf(fromNumber(n), length))
    : fc.tuple(ipv6, fc.integer({ min: 0, max: 128 })).map(([ip, length]) => parseCidr(`${ip}/${length}`));
const family = fc.constantFrom(4, 6);
const ports = fc.record({ start: fc.nat(65535), end: fc.nat(65535) }, { noNullPrototype: true });
const optional = { noNullPrototype: true };

/** Checks that what is decoded of the request's payload has all that the object has. */
function check<T extends object>(
  object: T,
  request: Request,
  decode: (payload: Uint8Array) => object | undefined,
): void {
  const decoded = decode(request.message.subarray(16));
  assert.deepEqual({ ...decoded, ...object }, decoded);
}

test('addresses', () => {
  const spec: fc.Arbitrary<AddressSpec> = fc.oneof(ipv4, ipv6).chain((address) =>
    fc.record(
      {
        index: fc.constant(1),
        address: fc.constant(address),
        prefixLength: u8,
        scope: fc.constantFrom('global' as const, 'host' as const, 17),
        metric: u32,
        label: fc.constant('eth0:1'),
        noPrefixRoute: fc.boolean(),
        noDad: fc.boolean(),
      },
      { requiredKeys: ['index', 'address', 'prefixLength'], ...optional },
    ),
  );
  fc.assert(fc.property(spec, (object) => check(object, addAddress(object), decodeAddress)));
});

test('routes', () => {
  const spec: fc.Arbitrary<RouteSpec> = family.chain((family) => {
    const gateway = fc.oneof(ipv4, ipv6);
    const hop = fc.record(
      { oif: index, gateway, onlink: fc.constant(true), weight: fc.integer({ min: 1, max: 256 }) },
      { requiredKeys: ['oif', 'weight'], ...optional },
    );
    return fc.record(
      {
        destination: fc.oneof(fc.constant('default' as const), block(family)),
        family: fc.constant(family),
        oif: index,
        gateway,
        onlink: fc.constant(true),
        table: u32,
        type: fc.constantFrom('unicast' as const, 'blackhole' as const, 200),
        scope: fc.constantFrom('link' as const, 'global' as const),
        prefSource: family === 4 ? ipv4 : ipv6,
        metric: u32,
        protocol: u8,
        mtu: u32,
        advMss: u32,
        nexthopId: u32,
        nexthops: fc.array(hop, { minLength: 1, maxLength: 4 }),
      },
      { requiredKeys: ['destination', 'family'], ...optional },
    );
  });
  fc.assert(fc.property(spec, (object) => check(object, addRoute(object), decodeRoute)));
});

test('rules', () => {
  const name = fc.constantFrom('lo', 'eth0', 'fifteen-letters');
  const spec: fc.Arbitrary<RuleSpec> = family.chain((family) =>
    fc.record(
      {
        priority: u32,
        family: fc.constant(family),
        from: block(family),
        to: block(family),
        iif: name,
        oif: name,
        fwmark: u32,
        fwmask: u32,
        ipProtocol: u8,
        sourcePorts: ports,
        destinationPorts: ports,
        invert: fc.constant(true),
        table: u32,
        suppressPrefixLength: fc.integer({ min: 0, max: 128 }),
        protocol: u8,
      },
      { requiredKeys: ['priority', 'family'], ...optional },
    ),
  );
  fc.assert(fc.property(spec, (object) => check(object, addRule(object), decodeRule)));
});

test('neighbours', () => {
  const spec: fc.Arbitrary<NeighbourSpec> = fc.record(
    {
      index,
      address: fc.oneof(ipv4, ipv6),
      mac,
      state: fc.constantFrom('permanent' as const, 'stale' as const, 0x1234),
      proxy: fc.boolean(),
    },
    { requiredKeys: ['index', 'address'], ...optional },
  );
  fc.assert(fc.property(spec, (object) => check(object, addNeighbour(object), decodeNeighbour)));
});
