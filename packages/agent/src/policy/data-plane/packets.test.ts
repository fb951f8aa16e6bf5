import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { BpfMap } from '@enid/ebpf';
import {
  essence,
  icmp,
  ipv4,
  OPEN,
  passes,
  policy,
  port,
  rules,
  sctp,
  TCP_FLAGS,
  Testbed,
  type TestPod,
  tcp,
  udp,
  udpPayload,
} from './testbed.ts';

const { SYN, ACK, RST } = TCP_FLAGS;
const to = (pod: TestPod) => `${pod.address}/32`;

test('a pod receives what a rule allows, by protocol and port, and the answers to what it asks', async (t) => {
  const bed = new Testbed(t);
  const [a, b, c] = [bed.pod(), bed.pod(), bed.pod()];
  const dataPlane = await bed.open();
  const server = policy({ cidr: to(a), ports: [port('TCP', 80), port('UDP', 53, 60), port('SCTP', 9)] });
  await dataPlane.guard([
    { ifindex: a.ifindex, rules: OPEN },
    { ifindex: b.ifindex, rules: rules({ ingress: [server] }) },
    { ifindex: c.ifindex, rules: OPEN },
  ]);
  const cases: [boolean, TestPod, TestPod, (ends: { from: TestPod; to: TestPod }) => Uint8Array][] = [
    [true, a, b, (ends) => tcp(ends, 4000, 80, SYN)],
    [true, b, a, (ends) => tcp(ends, 80, 4000, SYN | ACK)],
    [false, a, b, (ends) => tcp(ends, 4000, 81, SYN)],
    [false, c, b, (ends) => tcp(ends, 4000, 80, SYN)],
    [true, a, b, (ends) => udp(ends, 4000, 53)],
    [true, a, b, (ends) => udp(ends, 4000, 60)],
    [false, a, b, (ends) => udp(ends, 4000, 61)],
    [false, a, b, (ends) => udp(ends, 4000, 80)],
    [true, a, b, (ends) => sctp(ends, 4000, 9, 1)],
    [true, b, a, (ends) => sctp(ends, 9, 4000, 2)],
    [false, a, b, (ends) => sctp(ends, 4000, 10, 1)],
    // A rule with ports is about the protocols that have ports.
    [false, a, b, (ends) => icmp(ends, 8, 0, 7)],
    [false, a, b, (ends) => ipv4(ends, 47, new Uint8Array(8))],
    // What the pod begins is its egress, which is open; so are the answers.
    [true, b, c, (ends) => tcp(ends, 5000, 443, SYN)],
    [true, c, b, (ends) => tcp(ends, 443, 5000, SYN | ACK)],
    [true, b, c, (ends) => udp(ends, 5000, 53)],
    [true, c, b, (ends) => udp(ends, 53, 5000)],
    [false, c, b, (ends) => udp(ends, 53, 5001)],
    [true, b, c, (ends) => icmp(ends, 8, 0, 21)],
    [true, c, b, (ends) => icmp(ends, 0, 0, 21)],
    [false, c, b, (ends) => icmp(ends, 0, 0, 22)],
    // The same identifier asked from the other side is another question.
    [false, c, b, (ends) => icmp(ends, 8, 0, 21)],
    [true, b, c, (ends) => ipv4(ends, 47, new Uint8Array(8))],
    [true, c, b, (ends) => ipv4(ends, 47, new Uint8Array(8))],
    // The ports of a connection that the pod had begun do not let others begin one by them.
    [false, c, b, (ends) => tcp(ends, 443, 5000, SYN)],
    [true, c, b, (ends) => tcp(ends, 443, 5000, RST)],
    // With options of IP, ports are elsewhere.
    [true, a, b, (ends) => ipv4(ends, 17, udpPayload(4001, 53, 16), { options: 4 })],
    [false, a, b, (ends) => ipv4(ends, 17, udpPayload(53, 4001, 16), { options: 4 })],
    // Too short to be what it says.
    [false, b, c, (ends) => ipv4(ends, 6, new Uint8Array(8))],
  ];
  for (const [i, [expected, from, to, make]] of cases.entries()) {
    const packet = make({ from, to });
    assert.equal(await passes(dataPlane, from, to, packet), expected, `case ${i}: ${essence(packet)}`);
  }
  const flows = await dataPlane.flows(b.ifindex);
  const asked = flows.find(({ remotePort, protocol }) => remotePort === 4000 && protocol === 6);
  assert.deepEqual([asked?.direction, asked?.current, asked?.by?.rule], ['ingress', true, 0]);
});

test('a pod sends what a rule allows, and only so', async (t) => {
  const bed = new Testbed(t);
  const [a, b] = [bed.pod({ silent: true }), bed.pod({ silent: true })];
  const dataPlane = await bed.open();
  const client = policy({ cidr: '10.0.0.0/16', except: ['10.0.1.128/25'], ports: [port('UDP', 53)] });
  await dataPlane.guard([
    { ifindex: a.ifindex, rules: rules({ egress: [client] }) },
    { ifindex: b.ifindex, rules: OPEN },
  ]);
  const ends = { from: a, to: b };
  assert.equal(await passes(dataPlane, a, b, udp(ends, 1, 53)), true);
  assert.equal(await passes(dataPlane, b, a, udp({ from: b, to: a }, 53, 1)), true);
  assert.equal(await passes(dataPlane, a, b, udp(ends, 1, 54)), false);
  assert.equal(await passes(dataPlane, b, a, tcp({ from: b, to: a }, 1, 8080, SYN)), true);
  assert.equal(await passes(dataPlane, a, b, tcp(ends, 8080, 1, SYN | ACK)), true);
  assert.equal(await passes(dataPlane, a, b, tcp(ends, 8080, 2, SYN | ACK)), false);
  const { packets, flows } = dataPlane.counters();
  assert.deepEqual(packets, { ingress: { allow: 4, deny: 0 }, egress: { allow: 4, deny: 2 } });
  assert.deepEqual(flows, { ingress: { allow: 2, deny: 0 }, egress: { allow: 2, deny: 2 } });
});

test('fragments share the fate of the first one, and without it they are dropped', async (t) => {
  const bed = new Testbed(t);
  const [a, b] = [bed.pod({ silent: true }), bed.pod({ silent: true })];
  const dataPlane = await bed.open();
  const client = policy({ cidr: to(b), ports: [port('UDP', 53)] });
  const server = policy({ cidr: to(a), ports: [port('UDP', 53, 54)] });
  await dataPlane.guard([
    { ifindex: a.ifindex, rules: rules({ egress: [client] }) },
    { ifindex: b.ifindex, rules: rules({ ingress: [server] }) },
  ]);
  const whole = (port: number) => udpPayload(4000, port, 1600);
  const pieces = (port: number, id: number) => {
    const bytes = whole(port);
    const piece = (offset: number, end: number) =>
      ipv4({ from: a, to: b }, 17, bytes.subarray(offset * 8, end * 8), { id, offset, more: end < 200 });
    return [piece(0, 70), piece(70, 140), piece(140, 200)] as const;
  };
  const counted = () => dataPlane.counters().packets;
  const send = async (packets: readonly Uint8Array[]) => {
    const { egress } = counted();
    b.wire.received();
    for (const packet of packets) a.wire.send(packet);
    while (counted().egress.allow + counted().egress.deny < egress.allow + egress.deny + packets.length)
      await new Promise(setImmediate);
    return {
      passed: counted().egress.allow - egress.allow,
      arrived: b.wire.received().reduce((sum, packet) => sum + packet.length / 2 - 20, 0),
    };
  };
  // The node puts them together, and takes the datagram apart again by its own links' sizes.
  assert.deepEqual(await send(pieces(53, 1)), { passed: 3, arrived: 1600 });
  assert.deepEqual(await send(pieces(54, 2)), { passed: 0, arrived: 0 });
  const [first, second, third] = pieces(53, 3);
  assert.deepEqual(await send([second, third]), { passed: 0, arrived: 0 });
  assert.deepEqual(await send([first, third, second]), { passed: 3, arrived: 1600 });
  // The same identifier again, for a datagram that is not allowed: what was allowed before does not count.
  assert.deepEqual(await send(pieces(54, 3)), { passed: 0, arrived: 0 });
  // A first one that is too short to have a port, or TCP's flags.
  const tiny = ipv4({ from: a, to: b }, 6, new Uint8Array(8), { id: 4, more: true });
  assert.deepEqual(await send([tiny, ipv4({ from: a, to: b }, 6, new Uint8Array(8), { id: 4, offset: 1 })]), {
    passed: 0,
    arrived: 0,
  });
  const [begins, ...rest] = pieces(53, 5);
  assert.equal((await send([begins])).passed, 1);
  // Another processor may have let the first one through, whose clock is ahead.
  using fragments = BpfMap.pinned<object, number>(join(bed.directory, 'policy/maps/fragments'));
  for (const [key, seen] of fragments) fragments.update(key, seen + 2);
  assert.equal((await send(rest)).passed, 2);
});

test('a flow lives on when another processor has seen it at a later time than this one has read', async (t) => {
  const bed = new Testbed(t);
  const [a, b] = [bed.pod({ silent: true }), bed.pod({ silent: true })];
  const dataPlane = await bed.open();
  const client = policy({ cidr: to(b), ports: [port('TCP', 80)] });
  await dataPlane.guard([
    { ifindex: a.ifindex, rules: rules({ ingress: [policy()], egress: [client] }) },
    { ifindex: b.ifindex, rules: OPEN },
  ]);
  assert.equal(await passes(dataPlane, a, b, tcp({ from: a, to: b }, 4000, 80, SYN)), true);
  using flows = BpfMap.pinned<object, { seen: number }>(join(bed.directory, 'policy/maps/flows'));
  for (const flags of [SYN | ACK, ACK]) {
    for (const [key, flow] of [...flows]) flows.update(key, { ...flow, seen: flow.seen + 2 });
    // Nothing but the flow lets the answer in.
    assert.equal(await passes(dataPlane, b, a, tcp({ from: b, to: a }, 80, 4000, flags)), true);
  }
});

test('ICMP errors about allowed flows come through, others do not', async (t) => {
  const bed = new Testbed(t);
  const [a, b, router] = [bed.pod(), bed.pod(), bed.pod()];
  const dataPlane = await bed.open();
  await dataPlane.guard([
    {
      ifindex: a.ifindex,
      rules: rules({ ingress: [policy()], egress: [policy({ cidr: to(b), ports: [port('UDP', 53)] })] }),
    },
    {
      ifindex: b.ifindex,
      rules: rules({
        ingress: [policy({ cidr: '0.0.0.0/0', ports: [port('UDP', 53)] })],
        egress: [policy()],
      }),
    },
    { ifindex: router.ifindex, rules: OPEN },
  ]);
  const sent = udp({ from: a, to: b }, 4000, 53);
  assert.equal(await passes(dataPlane, a, b, sent), true);
  const error = (about: Uint8Array, ends: { from: TestPod; to: TestPod }, type = 3) =>
    icmp(ends, type, type === 3 ? 4 : 0, 0, about.subarray(0, 28));
  // Of a router on the way ("fragmentation needed", "time exceeded"), and of the peer itself, whose egress is closed.
  assert.equal(await passes(dataPlane, router, a, error(sent, { from: router, to: a })), true);
  assert.equal(await passes(dataPlane, router, a, error(sent, { from: router, to: a }, 11)), true);
  assert.equal(await passes(dataPlane, b, a, error(sent, { from: b, to: a })), true);
  const other = udp({ from: a, to: b }, 4001, 53);
  const foreign = (about: Uint8Array) => passes(dataPlane, router, a, error(about, { from: router, to: a }));
  assert.equal(await foreign(other), false);
  assert.equal(await foreign(udp({ from: b, to: a }, 53, 4000)), false);
  // The flow is no longer allowed, and errors about it are not either.
  await dataPlane.guard([{ ifindex: a.ifindex, rules: rules({ ingress: [policy()], egress: [policy()] }) }]);
  assert.equal(await foreign(sent), false);
});
