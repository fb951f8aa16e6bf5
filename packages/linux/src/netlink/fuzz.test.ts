/** Decoders get bytes that the kernel would not send: they may refuse them by one typed error, and nothing else. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { parseCidr, parseIp } from '@enid/ip';
import fc from 'fast-check';
import { NetNamespace } from '../netns.ts';
import { addAddress, decodeAddress, dumpAddresses } from '../rtnetlink/address.ts';
import { addLink, decodeLink, dumpLinks } from '../rtnetlink/link.ts';
import { decodeEvent } from '../rtnetlink/monitor.ts';
import { addNeighbour, decodeNeighbour, dumpNeighbours } from '../rtnetlink/neighbour.ts';
import { addClsact, decodeQdisc, dumpQdiscs } from '../rtnetlink/qdisc.ts';
import { addRoute, decodeRoute, dumpRoutes } from '../rtnetlink/route.ts';
import { addRule, decodeRule, dumpRules } from '../rtnetlink/rule.ts';
import { uniqueName } from '../testing.ts';
import { Attributes, MalformedMessageError } from './attributes.ts';
import {
  type Message,
  messagesOf,
  NetlinkError,
  NLMSG_DONE,
  NLMSG_ERROR,
  type Request,
  readAnswer,
} from './message.ts';
import { NETLINK_ROUTE, NetlinkSocket } from './socket.ts';

type Decoder = (payload: Uint8Array) => unknown;

const decoders: [Request, Decoder][] = [
  [dumpLinks(), decodeLink],
  [dumpAddresses(), decodeAddress],
  [dumpRoutes(), decodeRoute],
  [dumpRules(), decodeRule],
  [dumpNeighbours(), decodeNeighbour],
  [dumpNeighbours({ proxy: true }), decodeNeighbour],
  [dumpQdiscs(), decodeQdisc],
];

/** Payloads of the kernel's own making, each with its decoder. */
const real: { payload: Uint8Array; decode: Decoder }[] = [];

before(() => {
  const name = uniqueName();
  using ns = NetNamespace.create(name);
  NetNamespace.delete(name);
  using socket = NetlinkSocket.open(NETLINK_ROUTE, ns);
  const address = parseIp('2001:db8::1');
  const requests = [
    addLink({ kind: 'veth', name: 'v0', index: 10, up: true, peer: { name: 'v1', index: 11 } }),
    addLink({ kind: 'vxlan', name: 'x0', id: 42, local: parseIp('192.0.2.1'), remote: parseIp('192.0.2.2') }),
    addLink({ kind: 'bridge', name: 'br0' }),
    addAddress({ index: 10, address: parseIp('10.0.0.1'), prefixLength: 24, label: 'v0:x' }),
    addAddress({ index: 10, address, prefixLength: 64, noDad: true }),
    addRoute({
      destination: parseCidr('10.1.0.0/16'),
      gateway: parseIp('10.0.0.2'),
      table: 1000,
      mtu: 1300,
      onlink: true,
      oif: 10,
    }),
    addRoute({ destination: parseCidr('10.2.0.0/16'), gateway: parseIp('2001:db8::9'), oif: 10 }),
    addRoute({
      destination: 'default',
      nexthops: [2, 3].map((i) => ({ gateway: parseIp(`10.0.0.${i}`), oif: 10, onlink: true })),
    }),
    addRule({
      priority: 1,
      family: 4,
      from: parseCidr('10.0.0.0/8'),
      fwmark: 1,
      fwmask: 1,
      iif: 'v0',
      table: 7,
    }),
    addRule({
      priority: 2,
      family: 6,
      to: parseCidr('2001:db8::/32'),
      ipProtocol: 6,
      sourcePorts: { start: 1, end: 2 },
      table: 7,
    }),
    addNeighbour({ index: 10, address: parseIp('10.0.0.9'), mac: '02:00:00:00:00:01' }),
    addNeighbour({ index: 10, address, proxy: true }),
    addClsact(10),
  ];
  assert.deepEqual(socket.batch(requests).filter(Boolean), []);
  for (const [request, decode] of decoders) {
    const payloads = socket.dump(request, (payload) => payload.slice());
    assert.ok(payloads.length > 0, request.description);
    for (const payload of payloads) real.push({ payload, decode });
  }
});

const runs = { numRuns: 3000 };

/** What a decoder makes of the bytes, or that it refused them. Any other error fails the test. */
function outcome(decode: Decoder, bytes: Uint8Array): unknown {
  try {
    return decode(bytes);
  } catch (error) {
    assert.ok(error instanceof MalformedMessageError, `${error}`);
    return 'refused';
  }
}

/** As {@link outcome}, twice with other bytes around: a reader out of bounds would tell the two apart. */
function check(decode: Decoder, bytes: Uint8Array): unknown {
  const [a, b] = [0x00, 0xff].map((around) => {
    const room = new Uint8Array(bytes.length + 64).fill(around);
    room.set(bytes, 32);
    return outcome(decode, room.subarray(32, 32 + bytes.length));
  });
  assert.deepEqual(a, b);
  return a;
}

const anyDecoder = fc.constantFrom(...new Set(decoders.map(([, decode]) => decode)));
const anyReal = fc.nat().map((n) => real[n % real.length]!);

/** Changes a few bytes, cuts the end off or adds to it. */
const mutation = fc.record({
  bytes: fc.array(fc.record({ at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) }), { maxLength: 8 }),
  cut: fc.option(fc.nat(), { freq: 2 }),
  more: fc.uint8Array({ maxLength: 12 }),
});

function mutate(
  payload: Uint8Array,
  { bytes, cut, more }: { bytes: { at: number; value: number }[]; cut: number | null; more: Uint8Array },
): Uint8Array {
  const mutated = payload.slice();
  for (const { at, value } of bytes) mutated[at % mutated.length] = value;
  return Buffer.concat([cut === null ? mutated : mutated.subarray(0, cut % mutated.length), more]);
}

test('random bytes', () => {
  fc.assert(
    fc.property(anyDecoder, fc.uint8Array({ maxLength: 300 }), (decode, bytes) => void check(decode, bytes)),
    runs,
  );
});

test('truncated and mutated messages', () => {
  fc.assert(
    fc.property(anyReal, mutation, ({ payload, decode }, how) => void check(decode, mutate(payload, how))),
    runs,
  );
});

test('every truncation of every real message', () => {
  for (const { payload, decode } of real) {
    for (let length = 0; length < payload.length; length++) check(decode, payload.subarray(0, length));
  }
});

test('attributes of unknown types change nothing', () => {
  fc.assert(
    fc.property(
      anyReal,
      fc.integer({ min: 200, max: 0x3fff }),
      fc.uint8Array({ maxLength: 20 }),
      ({ payload, decode }, type, value) => {
        const header = Buffer.alloc(4);
        header.writeUInt16LE(4 + value.length, 0);
        header.writeUInt16LE(type, 2);
        const padding = new Uint8Array(-payload.length & 3);
        assert.deepEqual(decode(Buffer.concat([payload, padding, header, value])), decode(payload));
      },
    ),
    { numRuns: 500 },
  );
});

test('datagrams: random bytes and mutated messages are walked to an end', () => {
  const walk: Decoder = (bytes) => [...messagesOf(bytes)].map((message) => decodeEvent(message));
  const datagram = fc
    .array(fc.tuple(anyReal, fc.integer({ min: 14, max: 40 })), { maxLength: 4 })
    .map((parts) =>
      Buffer.concat(
        parts.map(([{ payload }, type]) => {
          const header = Buffer.alloc(16);
          header.writeUInt32LE(16 + payload.length, 0);
          header.writeUInt16LE(type, 4);
          return Buffer.concat([header, payload, new Uint8Array(-payload.length & 3)]);
        }),
      ),
    );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void check(walk, bytes)),
    runs,
  );
  fc.assert(
    fc.property(
      datagram.filter((bytes) => bytes.length > 0),
      mutation,
      (bytes, how) => void check(walk, mutate(bytes, how)),
    ),
    runs,
  );
});

test('acknowledgements and attributes of random bytes', () => {
  const answer =
    (type: number, flags: number): Decoder =>
    (payload) => {
      const message: Message = { type, flags, sequence: 1, payload };
      const error = readAnswer(message, 'request');
      assert.ok(error === null || error instanceof NetlinkError);
      return error && [error.errno, error.extAck];
    };
  const anyAnswer = fc.tuple(
    fc.constantFrom(NLMSG_DONE, NLMSG_ERROR),
    fc.constantFrom(0, 0x100, 0x200, 0x300),
  );
  const small = fc.uint8Array({ maxLength: 60 });
  fc.assert(
    fc.property(anyAnswer, small, ([type, flags], bytes) => void check(answer(type, flags), bytes)),
    runs,
  );
  const readers = (
    ['u8', 'u16', 'u16be', 'u32', 'u32be', 's32', 'string', 'ip', 'mac', 'nested'] as const
  ).map(
    (reader): Decoder =>
      (bytes) => {
        const attributes = new Attributes(bytes);
        const values = Array.from({ length: 8 }, (_, type) => attributes[reader](type));
        return reader === 'nested' ? values.length : values;
      },
  );
  // Attributes whose header makes sense, so that the readers get to see values of every length.
  const sensible = fc
    .array(fc.tuple(fc.integer({ min: 0, max: 8 }), fc.uint8Array({ maxLength: 20 })), { maxLength: 5 })
    .map((list) =>
      Buffer.concat(
        list.map(([type, value]) =>
          Buffer.concat([
            Uint8Array.of(value.length + 4, 0, type, 0),
            value,
            new Uint8Array(-value.length & 3),
          ]),
        ),
      ),
    );
  fc.assert(
    fc.property(
      fc.constantFrom(...readers),
      fc.oneof(small, sensible),
      (reader, bytes) => void check(reader, bytes),
    ),
    runs,
  );
});
