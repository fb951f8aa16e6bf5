import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { fromNumber } from '@enid/ip';
import { connectTcp, listenTcp } from '@enid/linux';
import fc from 'fast-check';
import type { PolicyRules, Verdict } from '../rules.ts';
import { PolicyNotHeldError, UnsupportedKernelError } from './index.ts';
import {
  icmp,
  NODE,
  OPEN,
  passes,
  policy,
  port,
  rules,
  TCP_FLAGS,
  Testbed,
  type TestPod,
  tcp,
  udp,
} from './testbed.ts';

const { SYN, ACK } = TCP_FLAGS;
const to = (pod: TestPod) => `${pod.address}/32`;

for (const hook of ['clsact', 'tcx'] as const)
  test(`rules come, change and go on a link (${hook}), and the programs with them`, async (t) => {
    const bed = new Testbed(t);
    const [a, b] = [bed.pod(), bed.pod()];
    const dataPlane = await bed.open({ hook });
    const attempt = (port: number) => passes(dataPlane, a, b, udp({ from: a, to: b }, 4000, port));
    // An open pod is watched, so that packets of it are counted.
    const [nothing, dns] = [policy(), policy({ cidr: '10.0.1.0/24', ports: [port('UDP', 53)] })];
    await dataPlane.guard([
      { ifindex: a.ifindex, rules: OPEN },
      { ifindex: b.ifindex, rules: rules({ ingress: [nothing] }) },
    ]);
    assert.equal(await attempt(53), false);
    await dataPlane.guard([{ ifindex: b.ifindex, rules: rules({ ingress: [nothing, dns] }) }]);
    assert.deepEqual([await attempt(53), await attempt(54)], [true, false]);
    await dataPlane.guard([{ ifindex: b.ifindex, rules: OPEN }]);
    assert.deepEqual([await attempt(53), await attempt(54)], [true, true]);
    assert.equal(bed.filters(b).includes('to_pod'), hook === 'clsact');
    await dataPlane.guard([{ ifindex: b.ifindex, rules: rules({ ingress: [nothing] }) }]);
    assert.equal(await attempt(55), false);
    await dataPlane.release(b.ifindex);
    assert.equal(bed.filters(b), '');
    b.wire.received();
    a.wire.send(udp({ from: a, to: b }, 4000, 56));
    while (b.wire.received().length === 0) await setImmediate();
    assert.deepEqual(dataPlane.guarded(), [a.ifindex]);
    // A link that is gone needs nothing else.
    bed.deleteLink(a);
    await dataPlane.release(a.ifindex);
    await assert.rejects(dataPlane.guard([{ ifindex: a.ifindex, rules: OPEN }]), { code: /ENODEV|EINVAL/ });
    assert.deepEqual(dataPlane.guarded(), []);
  });

test('the node reaches its pods whatever they are bound by, and is answered; nobody else is', async (t) => {
  const bed = new Testbed(t);
  const [a, b] = [bed.pod(), bed.pod()];
  const dataPlane = await bed.open();
  const closed = rules({ ingress: [policy()], egress: [policy()] });
  await dataPlane.guard([
    { ifindex: a.ifindex, rules: closed },
    { ifindex: b.ifindex, rules: OPEN },
  ]);
  const server = createServer((socket) => socket.end('hello'));
  server.listen({ fd: listenTcp(a.ns, a.address, 80) });
  t.after(() => server.close());
  const socket = connectTcp(bed.node, a.address, 80);
  t.after(() => socket.destroy());
  assert.equal(String((await once(socket, 'data'))[0]), 'hello');
  assert.ok((await dataPlane.flows(a.ifindex)).some(({ exempt, protocol }) => exempt && protocol === 6));
  // A packet from elsewhere with the node's address and ports is not the node's.
  const { localPort } = socket as Socket & { localPort: number };
  assert.equal(await passes(dataPlane, b, a, tcp({ from: b, to: a }, localPort, 80, ACK)), false);
  assert.equal(await passes(dataPlane, b, a, tcp({ from: NODE, to: a }, localPort, 80, ACK)), false);
  // What the pod begins towards the node is judged.
  const denied = dataPlane.counters().packets.egress.deny;
  a.wire.send(tcp({ from: a, to: NODE }, 4000, 10_250, SYN));
  while (dataPlane.counters().packets.egress.deny === denied) await setImmediate();
});

test('pods whose links have numbers of one remainder are told apart, whoever comes and goes', async (t) => {
  const bed = new Testbed(t);
  const client = bed.pod();
  const [a, b] = [bed.pod({ index: 5000 }), bed.pod({ index: 5000 + 4096 })];
  const dataPlane = await bed.open();
  const open = async (pod: TestPod) => {
    const seen = await passes(dataPlane, client, pod, udp({ from: client, to: pod }, 4000, 53));
    const question = { ifindex: pod.ifindex, direction: 'ingress', address: client.address } as const;
    const { decision } = dataPlane.explain({ ...question, protocol: 17, port: 53 });
    assert.equal(decision?.verdict === 'allow', seen);
    return seen;
  };
  const closed = rules({ ingress: [policy()] });
  await dataPlane.guard([
    { ifindex: client.ifindex, rules: OPEN },
    { ifindex: a.ifindex, rules: closed },
    { ifindex: b.ifindex, rules: OPEN },
  ]);
  assert.deepEqual([await open(a), await open(b)], [false, true]);
  await dataPlane.guard([
    { ifindex: a.ifindex, rules: OPEN },
    { ifindex: b.ifindex, rules: closed },
  ]);
  assert.deepEqual([await open(a), await open(b)], [true, false]);
  await dataPlane.release(a.ifindex);
  assert.equal(await open(b), false);
  await dataPlane.guard([{ ifindex: a.ifindex, rules: closed }]);
  await dataPlane.guard([{ ifindex: b.ifindex, rules: OPEN }]);
  assert.deepEqual([await open(a), await open(b)], [false, true]);
});

/** A connection that stays open, and an echo at its other end. */
async function connection(
  t: TestContext,
  from: TestPod,
  to: TestPod,
): Promise<{ echo: (text: string) => Promise<string> }> {
  const accepted: Socket[] = [];
  const server = createServer((socket) => {
    accepted.push(socket);
    socket.on('error', () => {}).pipe(socket);
  });
  server.listen({ fd: listenTcp(to.ns, to.address, 0) });
  const { port } = server.address() as { port: number };
  const socket = connectTcp(from.ns, to.address, port);
  t.after(() => {
    // The other end may not hear of it any more.
    for (const one of [socket, ...accepted]) one.destroy();
    server.close();
  });
  await once(socket, 'connect');
  socket.setNoDelay(true);
  return {
    async echo(text) {
      socket.write(text);
      return String((await once(socket, 'data'))[0]);
    },
  };
}

test('a live flow is judged anew with its next packet when its policy changes, and by no other change', async (t) => {
  const bed = new Testbed(t);
  const [a, b, other] = [bed.pod(), bed.pod(), bed.pod()];
  const dataPlane = await bed.open();
  const fromA = policy({ cidr: to(a) });
  const guard = (ingress: readonly PolicyRules[] | undefined) =>
    dataPlane.guard([{ ifindex: b.ifindex, rules: rules(ingress ? { ingress } : {}) }]);
  await dataPlane.guard([a, other].map(({ ifindex }) => ({ ifindex, rules: OPEN })));
  await guard([fromA]);
  const { echo } = await connection(t, a, b);
  assert.equal(await echo('one'), 'one');
  const revision = () =>
    dataPlane.explain({ ifindex: b.ifindex, direction: 'ingress', address: a.address, protocol: 6, port: 80 })
      .revision;
  const before = revision();
  await dataPlane.guard([{ ifindex: other.ifindex, rules: rules({ ingress: [policy({ cidr: to(b) })] }) }]);
  await guard([fromA]);
  // The same content in other objects is no change either.
  await guard([{ ...fromA, peers: [...fromA.peers] }]);
  assert.equal(revision(), before);

  const denied = dataPlane.counters().packets.ingress.deny;
  await guard([policy()]);
  const answer = echo('two');
  while (dataPlane.counters().packets.ingress.deny === denied) await setImmediate();
  const [flow] = (await dataPlane.flows(b.ifindex)).filter(({ protocol }) => protocol === 6);
  assert.equal(flow?.current, false);
  // Allowed again, by another rule: TCP sends once more what got lost.
  await guard([policy({ cidr: to(other) }, { cidr: to(a) })]);
  assert.equal(await answer, 'two');
  const [again] = (await dataPlane.flows(b.ifindex)).filter(({ protocol }) => protocol === 6);
  assert.deepEqual([again?.current, again?.by?.rule], [true, 1]);

  // A pod that was open has flows of its own. A policy against others leaves them alone.
  const { echo: outwards } = await connection(t, other, b);
  assert.equal(await outwards('three'), 'three');
  await dataPlane.guard([{ ifindex: other.ifindex, rules: rules({ ingress: [policy()] }) }]);
  assert.equal(await outwards('four'), 'four');
});

test('what the kernel cannot hold closes the pod, with a word why; less opens it again, and nothing stays behind', async (t) => {
  const bed = new Testbed(t);
  const [a, b, c] = [bed.pod(), bed.pod(), bed.pod()];
  const dataPlane = await bed.open({ sizes: { peers: 20, verdicts: 100 } });
  const many = policy(...Array.from({ length: 30 }, (_, i) => ({ cidr: `10.0.1.${i + 1}/32` })));
  const few = policy({ cidr: to(a) });
  await dataPlane.guard([
    { ifindex: a.ifindex, rules: OPEN },
    { ifindex: b.ifindex, rules: rules({ ingress: [few] }) },
    { ifindex: c.ifindex, rules: rules({ ingress: [few] }) },
  ]);
  const attempt = (pod: TestPod) => passes(dataPlane, a, pod, udp({ from: a, to: pod }, 4000, 53));
  assert.deepEqual([await attempt(b), await attempt(c)], [true, true]);
  await assert.rejects(
    dataPlane.guard([{ ifindex: b.ifindex, rules: rules({ ingress: [many] }) }]),
    (error: PolicyNotHeldError) => {
      assert.ok(error instanceof PolicyNotHeldError);
      assert.deepEqual(error.closed, [b.ifindex]);
      assert.match(error.message, /the map peers has room for 20 entries.*use fewer blocks or ports/);
      return true;
    },
  );
  // Also the flow that was there.
  assert.deepEqual([await attempt(b), await attempt(c)], [false, true]);
  const question = {
    ifindex: b.ifindex,
    direction: 'ingress',
    address: a.address,
    protocol: 17,
    port: 53,
  } as const;
  assert.equal(dataPlane.explain(question).decision?.by.tier, 'Closed');
  await dataPlane.guard([{ ifindex: b.ifindex, rules: rules({ ingress: [few] }) }]);
  assert.deepEqual([await attempt(b), await attempt(c)], [true, true]);
  // In place: what is there makes room for what comes.
  const exact = (last: number) =>
    policy(...Array.from({ length: 8 }, (_, i) => ({ cidr: `10.0.${last}.${i}/32` })));

  for (const same of [exact(2), exact(3)])
    await dataPlane.guard([b, c].map(({ ifindex }) => ({ ifindex, rules: rules({ ingress: [same] }) })));
  assert.equal(await attempt(b), false);
  // Ports, too.
  const ports = policy({ cidr: to(a), ports: Array.from({ length: 200 }, (_, i) => port('UDP', 2 * i)) });
  await assert.rejects(
    dataPlane.guard([{ ifindex: b.ifindex, rules: rules({ ingress: [ports] }) }]),
    /the map verdicts has room for 100/,
  );
  // What others need no longer is enough: it is not for the pod to ask again.
  const half = Array.from({ length: 10 }, (_, i) => ({ cidr: `10.0.3.${i}/32` }));
  await dataPlane.guard([
    { ifindex: b.ifindex, rules: OPEN },
    { ifindex: c.ifindex, rules: rules({ ingress: [policy(...half)] }) },
  ]);
  const waits = { ifindex: b.ifindex, rules: rules({ ingress: [policy(...half, { cidr: to(a) })] }) };
  await assert.rejects(dataPlane.guard([waits]), PolicyNotHeldError);
  assert.equal(await attempt(b), false);
  await dataPlane.release(c.ifindex);
  while (dataPlane.explain(question).decision?.by.tier === 'Closed') await setImmediate();
  assert.equal(await attempt(b), true);
  for (const { ifindex } of [a, b, c]) await dataPlane.release(ifindex);
  while (dataPlane.usage().peers.used + dataPlane.usage().verdicts.used > 0) await setImmediate();
});

test('whatever changes in whatever order, each pod ends with what was said last, and the maps with nothing else', async (t) => {
  const bed = new Testbed(t);
  const pods = [bed.pod(), bed.pod(), bed.pod()];
  const dataPlane = await bed.open();
  const pool = [
    policy(),
    policy({ cidr: '10.0.0.0/8', except: ['10.0.1.0/30'] }),
    policy(
      { cidr: '10.0.1.2/32', ports: [port('UDP', 53, 99)] },
      { cidr: '10.0.1.0/28', ports: [port('TCP', 80)] },
    ),
    policy({ cidr: '0.0.0.0/0', ports: [port('UDP', 60)] }),
  ];
  const choice = fc.option(fc.subarray(pool, { minLength: 1 }), { nil: undefined });
  const step = fc.array(fc.record({ pod: fc.nat(pods.length - 1), ingress: choice, egress: choice }), {
    minLength: 1,
    maxLength: 3,
  });
  const probes = ['10.0.1.2', '10.0.1.9', '10.9.9.9', '192.0.2.1'].flatMap((address) =>
    [53, 60, 80].flatMap((port) => [6, 17].map((protocol) => ({ address, port, protocol }))),
  );
  const allowed = (policies: readonly PolicyRules[] | undefined, probe: (typeof probes)[number]) => {
    const { address, port, protocol } = probe;
    const rulesOf: Record<number, boolean> = {
      0: false,
      1: address !== '192.0.2.1' && address !== '10.0.1.2',
      2:
        (address === '10.0.1.2' && protocol === 17 && port >= 53) ||
        (address.startsWith('10.0.1.') && protocol === 6 && port === 80),
      3: protocol === 17 && port === 60,
    };
    return !policies || policies.some((one) => rulesOf[pool.indexOf(one)]);
  };
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
      const last = new Map<
        number,
        { ingress?: PolicyRules[] | undefined; egress?: PolicyRules[] | undefined }
      >();
      await Promise.all(
        steps.map((step) => {
          for (const { pod, ...said } of step) last.set(pod, said);
          return dataPlane.guard(
            step.map(({ pod, ingress, egress }) => ({
              ifindex: pods[pod]!.ifindex,
              rules: rules({ ...(ingress && { ingress }), ...(egress && { egress }) }),
            })),
          );
        }),
      );
      for (const [pod, said] of last)
        for (const direction of ['ingress', 'egress'] as const)
          for (const probe of probes) {
            const { decision } = dataPlane.explain({
              ifindex: pods[pod]!.ifindex,
              direction,
              ...probe,
            } as never);
            const expected: Verdict = allowed(said[direction], probe) ? 'allow' : 'deny';
            assert.equal(decision?.verdict, expected, `${direction} ${JSON.stringify(probe)}`);
          }
    }),
    { numRuns: 60 },
  );
  for (const { ifindex } of pods) await dataPlane.release(ifindex);
  while (dataPlane.usage().peers.used + dataPlane.usage().verdicts.used > 0) await setImmediate();
});

test('100,000 blocks come and change while other pods are guarded and the process does other things', async (t) => {
  const bed = new Testbed(t);
  const [a, b, late] = [bed.pod(), bed.pod(), bed.pod()];
  const dataPlane = await bed.open();
  const cidr = (i: number) => `${fromNumber(0x20000000 + i * 1021)}/${24 + (i % 9)}`;
  const chunks = Array.from({ length: 500 }, (_, chunk) =>
    policy(
      ...Array.from({ length: 200 }, (_, i) => ({ cidr: cidr(chunk * 200 + i), ports: [port('TCP', 443)] })),
    ),
  );
  const guard = (policies: readonly PolicyRules[]) =>
    dataPlane.guard([a, b].map(({ ifindex }) => ({ ifindex, rules: rules({ egress: policies }) })));
  // By the thread's time on a processor: what else the machine does is not counted.
  let longest = 0;
  let isOver = false;
  const watch = (async () => {
    for (let from = process.threadCpuUsage(); !isOver; ) {
      await setImmediate();
      const turn = process.threadCpuUsage(from);
      longest = Math.max(longest, (turn.user + turn.system) / 1e3);
      from = process.threadCpuUsage();
    }
  })();
  const large = guard(chunks);
  // It does not wait for the others.
  let isLarge = false;
  void large.then(() => {
    isLarge = true;
  });
  await dataPlane.guard([{ ifindex: late.ifindex, rules: rules({ ingress: [policy()] }) }]);
  assert.equal(isLarge, false);
  await large;
  const says = (pod: TestPod, i: number) =>
    dataPlane.explain({
      ifindex: pod.ifindex,
      direction: 'egress',
      address: fromNumber(0x20000000 + i * 1021),
      protocol: 6,
      port: 443,
    }).decision;
  for (let i = 0; i < 100_000; i += 997) assert.equal(says(a, i)?.verdict, 'allow');
  const [changed, ...same] = chunks;
  await guard([policy({ cidr: cidr(0) }, { cidr: '192.0.2.0/24' }), ...same]);
  isOver = true;
  await watch;
  assert.deepEqual(
    [says(b, 0)?.verdict, says(b, 1)?.verdict, says(b, 200)?.verdict],
    ['allow', 'deny', 'allow'],
  );
  assert.equal(changed!.peers.length, 200);
  t.diagnostic(`the longest turn of the event loop took ${longest} ms of a processor`);
  assert.ok(longest < 150, `the event loop stood still for ${longest} ms`);
});

test('events say who decided, those of a flood are counted as lost, and nothing is said of pods that are not to be logged', async (t) => {
  const bed = new Testbed(t);
  const [a, b] = [bed.pod({ silent: true }), bed.pod({ silent: true })];
  const dataPlane = await bed.open({ eventsPerSecond: 20 });
  const server = policy({ cidr: '10.9.0.0/16' }, { cidr: to(a), ports: [port('UDP', 53)] });
  await dataPlane.guard([
    { ifindex: a.ifindex, rules: OPEN },
    { ifindex: b.ifindex, rules: rules({ ingress: [server] }), log: 'all' },
  ]);
  const events = dataPlane.events()[Symbol.asyncIterator]();
  const next = async () => (await events.next()).value!;
  const ends = { from: a, to: b };
  await passes(dataPlane, a, b, udp(ends, 4000, 53));
  await passes(dataPlane, a, b, udp(ends, 4000, 53));
  await passes(dataPlane, a, b, tcp(ends, 4000, 80, SYN));
  await passes(dataPlane, a, b, icmp(ends, 8, 0, 1));
  const [allowed, denied, echo] = [await next(), await next(), await next()];
  const { time, ...said } = allowed;
  assert.ok(Math.abs(time - Date.now()) < 2_000);
  const common = {
    ifindex: b.ifindex,
    direction: 'ingress',
    source: a.address,
    destination: b.address,
    reason: 'rule',
  };
  const by = { direction: 'ingress', tier: 'NetworkPolicy', policy: server.policy };
  assert.deepEqual(said, {
    ...common,
    verdict: 'allow',
    protocol: 17,
    sourcePort: 4000,
    destinationPort: 53,
    by: { ...by, rule: 1 },
  });
  assert.deepEqual(
    { ...denied, time },
    { time, ...common, verdict: 'deny', protocol: 6, sourcePort: 4000, destinationPort: 80, by },
  );
  assert.deepEqual([echo.protocol, echo.destinationPort, echo.verdict], [1, 0, 'deny']);
  for (let i = 0; i < 500; i++) a.wire.send(udp(ends, 4000, 1000 + i));
  while (dataPlane.counters().packets.ingress.deny < 502) await setImmediate();
  const { lostEvents } = dataPlane.counters();
  assert.ok(lostEvents > 450 && lostEvents < 490, `${lostEvents} lost`);
  // Those that are allowed have a pace of their own.
  await passes(dataPlane, a, b, udp(ends, 4001, 53));
  for (;;) {
    const event = await next();
    if (event.verdict === 'allow') break;
  }
  await dataPlane.guard([{ ifindex: b.ifindex, rules: rules({ ingress: [server] }), log: 'none' }]);
  await passes(dataPlane, a, b, udp(ends, 4000, 99));
  assert.equal(dataPlane.counters().lostEvents, lostEvents);
  await dataPlane.close();
  assert.equal((await events.next()).done, true);
});

test('what cannot work is told with the way out', async (t) => {
  const bed = new Testbed(t);
  await assert.rejects(bed.open({ directory: '/tmp/no-bpf-here/policy' }), (error: Error) => {
    assert.ok(error instanceof UnsupportedKernelError);
    assert.match(error.message, /not on a BPF file system.*mount -t bpf/);
    return true;
  });
});
