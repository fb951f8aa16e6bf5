import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  essence,
  ipv6,
  OPEN,
  passes,
  policy,
  port,
  rules,
  TCP_FLAGS,
  Testbed,
  type TestPod6,
  tcpHeader,
  udpPayload,
} from './testbed.ts';

const { SYN, ACK } = TCP_FLAGS;
const [HOP_BY_HOP, TCP, UDP, FRAGMENT, ICMPV6] = [0, 6, 17, 44, 58];
type Ends = { readonly from: TestPod6; readonly to: TestPod6 };

const tcp = (ends: Ends, source: number, destination: number, flags: number) =>
  ipv6(ends, TCP, tcpHeader(source, destination, flags), 16);
const udp = (ends: Ends, source: number, destination: number) =>
  ipv6(ends, UDP, udpPayload(source, destination, 16), 6);
const icmp = (ends: Ends, type: number, id: number, data: Uint8Array = new Uint8Array(8)) =>
  ipv6(ends, ICMPV6, Buffer.concat([Buffer.from([type, 0, 0, 0, id >> 8, id & 0xff, 0, 1]), data]), 2);
/** A header before another one: of eight bytes, the first of which is the number of the next. */
const behind = (next: number, bytes: Uint8Array) =>
  Buffer.concat([Buffer.from([next, 0, 1, 4, 0, 0, 0, 0]), bytes]);

test('packets of IPv6 are judged by address, protocol and port, and answers pass', async (t) => {
  const bed = new Testbed(t);
  const [a, b, c] = [bed.pod(), bed.pod(), bed.pod()].map((pod) => bed.ipv6(pod)) as [
    TestPod6,
    TestPod6,
    TestPod6,
  ];
  const dataPlane = await bed.open();
  const server = policy(
    { cidr: `${a.address}/128`, ports: [port('TCP', 80), port('UDP', 53, 60)] },
    // What is written as IPv4 is no address of IPv6.
    { cidr: '0.0.0.0/0' },
  );
  await dataPlane.guard([
    { ifindex: a.ifindex, rules: OPEN },
    { ifindex: b.ifindex, rules: rules({ ingress: [server] }) },
    {
      ifindex: c.ifindex,
      rules: rules({ egress: [policy({ cidr: 'fd00::/127', ports: [port('UDP', 53)] })] }),
    },
  ]);
  const cases: [boolean, TestPod6, TestPod6, (ends: Ends) => Uint8Array][] = [
    [true, a, b, (ends) => tcp(ends, 4000, 80, SYN)],
    [true, b, a, (ends) => tcp(ends, 80, 4000, SYN | ACK)],
    [true, a, b, (ends) => tcp(ends, 4000, 80, ACK)],
    [false, a, b, (ends) => tcp(ends, 4000, 81, SYN)],
    [false, c, b, (ends) => tcp(ends, 4000, 80, SYN)],
    [true, a, b, (ends) => udp(ends, 4000, 60)],
    [false, a, b, (ends) => udp(ends, 4000, 61)],
    // Neither from outside of what the sender may reach, nor at another port of it.
    [true, c, a, (ends) => udp(ends, 4000, 53)],
    [true, a, c, (ends) => udp(ends, 53, 4000)],
    [false, c, a, (ends) => udp(ends, 4000, 54)],
    [false, c, b, (ends) => udp(ends, 4000, 53)],
    // What the pod begins is its egress, which is open; so are the answers.
    [true, b, a, (ends) => icmp(ends, 128, 21)],
    [true, a, b, (ends) => icmp(ends, 129, 21)],
    [false, a, b, (ends) => icmp(ends, 129, 22)],
    [false, a, b, (ends) => icmp(ends, 128, 21)],
    // Behind the header for all hops ports are elsewhere; behind others, as that of fragments, there are none.
    [true, a, b, (ends) => ipv6(ends, HOP_BY_HOP, behind(UDP, udpPayload(4001, 53, 16)))],
    [false, a, b, (ends) => ipv6(ends, HOP_BY_HOP, behind(UDP, udpPayload(53, 4001, 16)))],
    [false, a, b, (ends) => ipv6(ends, FRAGMENT, behind(UDP, udpPayload(4001, 53, 16)))],
    // Neighbours find each other whatever binds them.
    [true, a, b, (ends) => icmp(ends, 135, 0, Buffer.alloc(16, 1))],
    // Too short to be what it says.
    [false, a, b, (ends) => ipv6(ends, TCP, new Uint8Array(8))],
  ];
  for (const [i, [expected, from, to, make]] of cases.entries()) {
    const packet = make({ from, to });
    assert.equal(await passes(dataPlane, from, to, packet), expected, `case ${i}: ${essence(packet)}`);
  }
  const flows = await dataPlane.flows(b.ifindex);
  const asked = flows.find(({ remotePort, protocol }) => remotePort === 4000 && protocol === TCP);
  assert.deepEqual([asked?.remoteAddress, asked?.direction, asked?.by?.rule], [a.address, 'ingress', 0]);
  const question = { ifindex: b.ifindex, direction: 'ingress', protocol: TCP, port: 80 } as const;
  const verdict = (address: TestPod6['address']) =>
    dataPlane.explain({ ...question, address }).decision?.verdict;
  assert.deepEqual([verdict(a.address), verdict(c.address)], ['allow', 'deny']);
});

test('errors of ICMPv6 about allowed flows come through, others do not', async (t) => {
  const bed = new Testbed(t);
  const [a, b, router] = [bed.pod(), bed.pod(), bed.pod()].map((pod) => bed.ipv6(pod)) as [
    TestPod6,
    TestPod6,
    TestPod6,
  ];
  const dataPlane = await bed.open();
  const dns = policy({ cidr: `${b.address}/128`, ports: [port('UDP', 53)] });
  await dataPlane.guard([
    { ifindex: a.ifindex, rules: rules({ ingress: [policy()], egress: [dns] }) },
    { ifindex: b.ifindex, rules: rules({ egress: [policy()] }) },
    { ifindex: router.ifindex, rules: OPEN },
  ]);
  const sent = udp({ from: a, to: b }, 4000, 53);
  assert.equal(await passes(dataPlane, a, b, sent), true);
  const told = (from: TestPod6, type: number, about: Uint8Array) =>
    passes(dataPlane, from, a, icmp({ from, to: a }, type, 0, about));
  // Unreachable, too big and out of hops, of a router on the way and of the peer itself, whose egress is closed.
  for (const type of [1, 2, 3]) assert.equal(await told(router, type, sent), true);
  assert.equal(await told(b, 1, sent), true);
  assert.equal(await told(router, 2, udp({ from: a, to: b }, 4001, 53)), false);
  assert.equal(await told(router, 2, udp({ from: b, to: a }, 53, 4000)), false);
});
