import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { addLink, NetNamespace, Rtnetlink, setLink } from '@enid/linux';
import {
  attachClsact,
  attachKprobe,
  attachTcx,
  attachTracepoint,
  attachXdp,
  BpfError,
  BpfMap,
  type BpfObject,
  detachClsact,
  dumpMap,
  enableStats,
  hasFeature,
  Link,
  listLinks,
  listMaps,
  listPrograms,
  loadObject,
  Program,
  parseObject,
  possibleCpus,
  programInfo,
  RingBuffer,
  requireFeature,
  VerifierError,
} from './index.ts';
import { compile, mounted } from './testing.ts';

const kit = parseObject(compile('kit.c'));
const all = [...kit.programs.keys()];
const packet = new Uint8Array(64);

/** The kit, with what is pinned in a file system of the test's own. */
function load(t: TestContext, options: Parameters<typeof loadObject>[1] = {}) {
  const object = loadObject(kit, { pinDirectory: mounted(t, 'bpf'), ...options });
  t.after(() => object.close());
  return object;
}

test('functions are linked, constants and variables set, tail calls and inner maps reached', (t) => {
  const object = load(t, { variables: { limit: 9, seen: 100n } });
  assert.deepEqual([...object.programs.keys()], all);
  const mix = (a: number, b: number) => a * 3 + b + 9;
  assert.equal(object.program('calls').testRun({ data: packet }).returned, mix(64, 64) * 2 + mix(1, 64));
  assert.deepEqual([object.read('seen'), object.read('zero')], [101n, 2]);
  object.write('zero', 40);
  object.program('calls').testRun({ data: packet, repeat: 3 });
  assert.deepEqual([object.read('seen'), object.read('zero')], [104n, 46]);
  assert.throws(() => object.write('limit', 1), { code: 'EPERM' });
  assert.equal(object.program('jump').testRun({ data: packet }).returned, 77);

  object.map('routes').updateAll([
    [{ length: 8, address: [10] }, 8],
    [{ length: 24, address: [10, 1, 2] }, 24],
    [{ length: 24, address: [10, 1, 3] }, 1],
  ]);
  object.map('first').update(0, 1000);
  assert.equal(object.program('route').testRun({ data: packet }).returned, 1024);
  using other = BpfMap.create({ name: 'other', type: 'array', keySize: 4, valueSize: 4, maxEntries: 4 });
  object.map('nested').update(1, other);
  assert.equal(object.map('nested').lookup(1), other.info.id);
  assert.equal(object.program('route').testRun({ data: packet }).returned, 24);

  const run = object.program('mark').testRun({ data: packet });
  assert.deepEqual([run.returned, run.data[0], run.data.length], [2, 0xee, 64]);
});

test('signals end neither a run nor a verification', async (t) => {
  /** Does it again and again, while children end: 60 ms apart, so that what takes less gets to its end. */
  async function whileChildrenEnd(work: () => void): Promise<void> {
    const seconds = [0.1, 0.16, 0.22, 0.28, 0.34];
    const ended = seconds.map((after) => once(spawn('sleep', [String(after)]), 'exit'));
    for (const until = performance.now() + 400; performance.now() < until; ) work();
    await Promise.all(ended);
  }
  const object = load(t);
  const program = object.program('calls');
  const repeat = Math.ceil(10e6 / program.testRun({ data: packet, repeat: 100_000 }).duration);
  const before = object.read('seen') as bigint;
  let asked = 0;
  await whileChildrenEnd(() => {
    program.testRun({ data: packet, repeat });
    asked += repeat;
  });
  assert.ok((object.read('seen') as bigint) - before > asked, 'none was interrupted');

  // r0 = 0; do r0 += 1; while (r0 < 10,000); exit: the verifier follows every round.
  const slots = ['b700000000000000', '0700000001000000', 'a500feff10270000', '9500000000000000'];
  const instructions = Buffer.from(slots.join(''), 'hex');
  await whileChildrenEnd(() =>
    Program.load({ name: 'count', type: 'socket_filter', instructions, license: 'GPL' }).close(),
  );
});

test('keys and values are typed by BTF, in batches too, and dumped by id with their names', (t) => {
  const flows = load(t).map('flows');
  const key = { source: 0x0a000001, port: 80, protocol: 6, pad: 0 };
  const value = {
    packets: 2n ** 63n,
    sums: { bytes: 7, change: -5n },
    verdict: 'LIMITED',
    note: 'yes',
    mac: [1, 2, 3, 4, 5, 6],
    low: 5,
    high: 17,
  };
  flows.update(key, value, 'create');
  assert.deepEqual(flows.lookup(key), value);
  assert.deepEqual(dumpMap(flows.info.id), [{ key, value }]);
  assert.throws(() => flows.update(key, value, 'create'), { code: 'EEXIST' });
  assert.throws(() => flows.update({ ...key, port: 65536 }, value), /\.port 65536 does not fit 16 bits/);
  assert.throws(() => flows.update({ ...key, prot: 1 }, value), /has no field "prot", but source/);
  assert.throws(() => flows.update(key, { verdict: 'MAYBE' }), /"MAYBE" is none of PASS, DROP/);
  const keys = Array.from({ length: 8191 }, (_, source) => ({ source, port: 1, protocol: 17, pad: 0 }));
  flows.updateAll(keys.map((key) => [key, { packets: BigInt(key.source) }]));
  assert.equal([...flows].length, 8192);
  assert.equal(
    [...flows].reduce((sum, [, { packets }]) => sum + packets, 0n),
    2n ** 63n + (8190n * 8191n) / 2n,
  );
  assert.throws(() => flows.update({ port: 2 }, {}), { code: 'E2BIG', hint: /full/ });
  flows.deleteAll([{ port: 9 }, ...keys, { port: 9 }]);
  assert.deepEqual([...flows.keys()], [key]);
  if (hasFeature('takeFromHash')) assert.deepEqual(flows.take(key), value);
  else assert.throws(() => flows.take(key), { code: 'ENOTSUPP' });
  assert.equal(flows.delete(key), !hasFeature('takeFromHash'));
  assert.equal(flows.lookup(key), undefined);
});

test('per-CPU maps hold a value a CPU; LRU maps make room', (t) => {
  const object = load(t);
  const counts = object.map('counts');
  object.program('count').testRun({ data: packet, repeat: 10 });
  assert.equal(counts.lookup(0).length, possibleCpus());
  assert.equal(
    counts.lookup(0).reduce((a: bigint, b: bigint) => a + b),
    10n,
  );
  const events = Array.from({ length: possibleCpus() }, (_, cpu) => ({
    sequence: BigInt(cpu),
    length: 3,
    text: `cpu ${cpu}`,
  }));
  object.map('spread').update(5, events);
  assert.deepEqual([...object.map('spread')], [[5, events]]);
  assert.throws(() => counts.update(0, 1n), /array of \d+ values, one a possible CPU/);
  const recent = object.map('recent');
  for (let key = 0; key < 500; key++) recent.update(key, 1n);
  assert.equal([...recent].length <= 64 && recent.lookup(499), 1n);
});

test('a ring buffer wakes its reader, keeps what is not read, and turns more away when full', async (t) => {
  const object = load(t, { variables: { seen: 0n } });
  using ring = new RingBuffer(object.map('events'));
  const emit = object.program('emit');
  const wakes = async () => {
    const before = process.resourceUsage().voluntaryContextSwitches;
    await sleep(500);
    return process.resourceUsage().voluntaryContextSwitches - before;
  };
  // Who waits does nothing: it is not even woken, but for what else a process does.
  const others = await wakes();
  const idle = ring.readable();
  const woken = await wakes();
  assert.ok(woken - others < 25, `woken ${woken} times for nothing, and ${others} times without`);
  emit.testRun({ data: packet });
  await idle;
  assert.equal(ring.read().length, 1);

  object.write('seen', 0n);
  let got = 0;
  const timer = setTimeout(() => ring.close(), 10_000);
  setTimeout(() => emit.testRun({ data: packet, repeat: 1 }), 20);
  for await (const event of ring) {
    assert.deepEqual(event, { sequence: BigInt(got), length: 64, text: 'hello' });
    got += 1;
    // Twice around the ring, whose records of 32 bytes begin anew after 128.
    if (got === 300) break;
    setImmediate(() => emit.testRun({ data: packet }));
  }
  clearTimeout(timer);
  assert.equal(got, 300);
  ring.read();
  emit.testRun({ data: packet, repeat: 128 });
  assert.equal(emit.testRun({ data: packet }).returned, 1, 'no room');
  assert.equal(ring.read(5).length, 5);
  assert.equal(emit.testRun({ data: packet }).returned, 0);
  assert.equal(ring.read().length, 128 - 5 - (128 - 127) + 1);
});

test('what the verifier refuses is told with its source line', () => {
  assert.throws(
    () => loadObject(compile('refused.c')),
    (error) =>
      error instanceof VerifierError &&
      /invalid mem access 'map_value_or_null'/.test(error.complaint) &&
      error.source?.line === 7 &&
      /return \*value/.test(error.source.text) &&
      error.message.length < 400,
  );
});

test('pinned maps are found again, and refused when they differ', (t) => {
  const pinDirectory = mounted(t, 'bpf');
  {
    using object = loadObject(kit, { pinDirectory });
    object.map('kept').update(2, 22);
  }
  using again = loadObject(kit, { pinDirectory });
  assert.equal(again.map('kept').lookup(2), 22);
  using typed = BpfMap.pinned(join(pinDirectory, 'kept'));
  assert.deepEqual(typed.lookup(2), 22);
  assert.throws(
    () => loadObject(kit, { pinDirectory, maxEntries: { kept: 5 } }),
    /its maxEntries is 4, not 5/,
  );
});

/** A link between two namespaces, and who asks from its other end for an answer of this one. */
function wire(t: TestContext) {
  const name = `eb${process.pid}`;
  const [ns, peer] = [NetNamespace.create(name), NetNamespace.create(`${name}p`)];
  t.after(() => {
    for (const [handle, its] of [
      [ns, name],
      [peer, `${name}p`],
    ] as const) {
      handle.close();
      NetNamespace.delete(its);
    }
  });
  using here = Rtnetlink.open(ns);
  here.execute([addLink({ kind: 'veth', name: 'a', up: true, peer: { name: 'b', netns: peer } })]);
  using there = Rtnetlink.open(peer);
  for (const link of there.links()) there.execute([setLink(link.index, { up: true })]);
  // Neighbours are told: they are not to be asked for through programs that drop the answer.
  const neighbour = ['nud', 'permanent', 'lladdr'];
  for (const args of [
    ['-n', name, 'addr', 'add', '10.9.0.1/24', 'dev', 'a'],
    ['-n', `${name}p`, 'addr', 'add', '10.9.0.2/24', 'dev', 'b'],
    ['-n', name, 'neigh', 'add', '10.9.0.2', 'dev', 'a', ...neighbour, there.link('b')!.mac!],
    ['-n', `${name}p`, 'neigh', 'add', '10.9.0.1', 'dev', 'b', ...neighbour, here.link('a')!.mac!],
  ])
    execFileSync('ip', args);
  const ping = ['netns', 'exec', `${name}p`, 'ping', '-q', '-W', '0.2'];
  return {
    on: { ifindex: here.link('a')!.index, ns },
    isAnswered: () => spawnSync('ip', [...ping, '-c', '1', '10.9.0.1']).status === 0,
    /** Puts one program in another's place over and over, while packets come: all of them drop, so what gets through met none. */
    async replaced(replace: (turn: number) => void): Promise<void> {
      const flood = promisify(execFile)('ip', [...ping, '-i', '0.001', '-c', '100', '10.9.0.1']);
      let isOver = false;
      const told = flood.then(
        ({ stdout }) => stdout,
        ({ stdout }) => stdout as string,
      );
      void told.then(() => {
        isOver = true;
      });
      let turns = 0;
      while (!isOver) {
        for (let k = 0; k < 20; k++) replace(turns++);
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.match(await told, /^100 packets transmitted, 0 received/m);
      assert.ok(turns > 50, `${turns} replacements`);
    },
  };
}

const sumOf = (object: BpfObject) =>
  object
    .map('counts')
    .lookup(0)
    .reduce((a: bigint, b: bigint) => a + b) as bigint;

test('packets meet programs by TCX, in order, and none gets past a replacement', async (t) => {
  const object = load(t);
  const { on, isAnswered, replaced } = wire(t);
  const attach = () => attachTcx(object.program('count'), on, 'ingress');
  if (!hasFeature('tcx')) {
    assert.throws(attach, { hint: /needs kernel 6\.6/ });
    assert.throws(() => requireFeature('tcx'), /needs kernel 6\.6/);
    return;
  }
  using link = attach();
  assert.equal(isAnswered(), true);
  assert.ok(sumOf(object) > 0n);
  assert.deepEqual(link.info, {
    type: 'tcx',
    id: link.info.id,
    programId: object.program('count').id,
    ifindex: on.ifindex,
    direction: 'ingress',
  });
  assert.ok(listLinks().some(({ id }) => id === link.info.id));
  {
    using before = attachTcx(object.program('drop'), on, 'ingress', { before: link });
    const counted = sumOf(object);
    assert.equal(isAnswered(), false);
    assert.equal(sumOf(object), counted, 'dropped before it was counted');
    before.detach();
  }
  assert.equal(isAnswered(), true);
  link.update(object.program('drop'), object.program('count'));
  assert.throws(() => link.update(object.program('drop'), object.program('count')), { code: 'EPERM' });
  using second = loadObject(kit, { pinDirectory: mounted(t, 'bpf'), programs: ['drop'] });
  await replaced((turn) => link.update((turn % 2 ? object : second).program('drop')));
});

test('packets meet programs by clsact in both directions, and none gets past a replacement', async (t) => {
  const object = load(t);
  const { on, isAnswered, replaced } = wire(t);
  for (const direction of ['ingress', 'egress'] as const) {
    const filter = { ...on, direction, priority: 1, handle: 1 };
    const counted = sumOf(object);
    attachClsact(object.program('count'), filter);
    assert.equal(isAnswered(), true);
    assert.ok(sumOf(object) > counted);
    attachClsact(object.program('drop'), filter);
    assert.equal(isAnswered(), false);
    using second = loadObject(kit, { pinDirectory: mounted(t, 'bpf'), programs: ['drop'] });
    await replaced((turn) => attachClsact((turn % 2 ? object : second).program('drop'), filter));
    detachClsact(filter);
    assert.equal(isAnswered(), true);
  }
});

test('packets meet programs by XDP, and none gets past a replacement', async (t) => {
  const object = load(t);
  const { on, isAnswered, replaced } = wire(t);
  assert.equal(hasFeature('xdpLinks'), true);
  using second = loadObject(kit, { pinDirectory: mounted(t, 'bpf'), programs: ['sink'] });
  using link = attachXdp(object.program('sink'), on, 'generic');
  assert.deepEqual([link.info.type, link.info.ifindex], ['xdp', on.ifindex]);
  assert.equal(isAnswered(), false);
  await replaced((turn) => link.update((turn % 2 ? object : second).program('sink')));
  link.detach();
  assert.equal(isAnswered(), true);
  // Of what does not fit the kernel's age is not to blame.
  const misfit = (error: Error) => error instanceof BpfError && !error.message.includes('needs kernel');
  assert.throws(() => attachXdp(object.program('count'), on, 'generic'), misfit);
  if (hasFeature('tcx')) assert.throws(() => attachTcx(object.program('mark'), on, 'ingress'), misfit);
});

test('tracepoints and functions of the kernel run programs; a link that is pinned outlives its file descriptor', (t) => {
  const object = load(t, { variables: { seen: 0n } });
  const directory = mounted(t, 'bpf');
  const tracefs = mounted(t, 'tracefs');
  const onExec = () => attachTracepoint(object.program('on_exec'), undefined, { tracefs });
  if (!hasFeature('perfEventLinks')) {
    assert.throws(onExec, { hint: /need kernel 5\.15/ });
    return;
  }
  {
    using link = onExec();
    link.pin(join(directory, 'exec'));
  }
  execFileSync('true');
  assert.ok(object.read('seen') >= 1n);
  using link = Link.pinned(join(directory, 'exec'));
  assert.equal(link.info.type, 'perf_event');

  const probe = (name: string) => attachKprobe(object.program(name));
  if (!hasFeature('kprobes')) {
    assert.throws(() => probe('on_sleep'), { hint: /CONFIG_KPROBES/ });
    return;
  }
  const slept = () => {
    execFileSync('sleep', ['0.01']);
    return [object.read('sleeps') > 0n, object.read('wakes') > 0n];
  };
  assert.deepEqual(slept(), [false, false]);
  using _sleep = probe('on_sleep');
  assert.deepEqual(slept(), [true, false]);
  using _wake = probe('on_wake');
  assert.deepEqual(slept(), [true, true]);
});

test('the system tells of programs and maps, with their runs', (t) => {
  const object = load(t);
  using _ = enableStats();
  const calls = object.program('calls');
  const info = listPrograms().find(({ id }) => id === calls.id)!;
  assert.deepEqual([info.name, info.type, info.uid], ['calls', 'sched_cls', 0]);
  assert.deepEqual(
    info.mapIds.toSorted((a, b) => a - b),
    ['.rodata', '.data', '.bss'].map((name) => object.map(name).info.id).toSorted((a, b) => a - b),
  );
  calls.testRun({ data: packet, repeat: 50 });
  assert.ok(programInfo(calls.fd).runs >= info.runs);
  assert.deepEqual(
    listMaps().find(({ id }) => id === object.map('flows').info.id),
    object.map('flows').info,
  );
});
