import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { addLink, NetNamespace, Rtnetlink, setLink } from '@enid/linux';
import {
  attachClsact,
  attachKprobe,
  attachTcx,
  attachTracepoint,
  attachXdp,
  BpfMap,
  detachClsact,
  dumpMap,
  enableStats,
  features,
  Link,
  listLinks,
  listMaps,
  listPrograms,
  loadObject,
  parseObject,
  possibleCpus,
  programInfo,
  RingBuffer,
  VerifierError,
} from './index.ts';
import { compile, mounted } from './testing.ts';

const kit = parseObject(compile('kit.c'));
const all = [...kit.programs.keys()];
const packet = new Uint8Array(64);

/** The kit, with what is pinned in a file system of the test's own. */
function load(t: Parameters<typeof mounted>[0], options: Parameters<typeof loadObject>[1] = {}) {
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
  assert.deepEqual(flows.take(key), value);
  assert.equal(flows.delete(key), false);
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

test('packets meet programs by TCX, in order, and none gets past a replacement', async (t) => {
  const object = load(t);
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
  for (const args of [
    ['-n', name, 'addr', 'add', '10.9.0.1/24', 'dev', 'a'],
    ['-n', `${name}p`, 'addr', 'add', '10.9.0.2/24', 'dev', 'b'],
  ])
    execFileSync('ip', args);
  const ping = (...more: string[]) =>
    spawnSync('ip', ['netns', 'exec', `${name}p`, 'ping', '-q', '-W', '1', '-c', '1', ...more, '10.9.0.1'], {
      encoding: 'utf8',
    });
  const ifindex = here.link('a')!.index;
  const on = { ifindex, ns };
  const sum = () =>
    object
      .map('counts')
      .lookup(0)
      .reduce((a: bigint, b: bigint) => a + b) as bigint;

  using link = attachTcx(object.program('count'), on, 'ingress');
  assert.equal(ping().status, 0);
  assert.ok(sum() > 0n);
  assert.deepEqual(link.info, {
    type: 'tcx',
    id: link.info.id,
    programId: object.program('count').id,
    ifindex,
    direction: 'ingress',
  });
  assert.ok(listLinks().some(({ id }) => id === link.info.id));
  {
    using before = attachTcx(object.program('drop'), on, 'ingress', { before: link });
    const counted = sum();
    assert.notEqual(ping().status, 0);
    assert.equal(sum(), counted, 'dropped before it was counted');
    before.detach();
  }
  assert.equal(ping().status, 0);
  link.update(object.program('drop'), object.program('count'));
  assert.throws(() => link.update(object.program('drop'), object.program('count')), { code: 'EPERM' });

  // Both programs drop: a packet that comes through has met neither.
  using second = loadObject(kit, { pinDirectory: mounted(t, 'bpf'), programs: ['drop'] });
  const flood = new Promise<string>((resolve) => {
    import('node:child_process').then(({ execFile }) =>
      execFile(
        'ip',
        ['netns', 'exec', `${name}p`, 'ping', '-q', '-i', '0.001', '-c', '400', '-W', '1', '10.9.0.1'],
        (_, stdout) => resolve(stdout),
      ),
    );
  });
  let done = false;
  flood.finally(() => {
    done = true;
  });
  while (!done) {
    for (let k = 0; k < 20; k++) link.update((k % 2 ? object : second).program('drop'));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.match(await flood, /\b0 received/);
  link.detach();

  const filter = { ...on, direction: 'ingress', priority: 1, handle: 1 } as const;
  attachClsact(object.program('drop'), filter);
  assert.notEqual(ping().status, 0);
  attachClsact(object.program('tail'), filter);
  detachClsact(filter);
  assert.equal(ping().status, 0);
  using _xdp = attachXdp(object.program('mark'), on, 'generic');
  assert.notEqual(ping().status, 0, 'its Ethernet address is not ours any more');
});

test('a link that is pinned outlives its file descriptor; tracepoints run programs', (t) => {
  const object = load(t, { variables: { seen: 0n } });
  const directory = mounted(t, 'bpf');
  const tracefs = mounted(t, 'tracefs');
  {
    using link = attachTracepoint(object.program('on_exec'), undefined, { tracefs });
    link.pin(join(directory, 'exec'));
  }
  execFileSync('true');
  assert.ok(object.read('seen') >= 1n);
  using link = Link.pinned(join(directory, 'exec'));
  assert.equal(link.info.type, 'perf_event');
  if (!features().find(({ name }) => name === 'kprobes')!.supported)
    assert.throws(() => attachKprobe(object.program('on_sleep')), { hint: /CONFIG_KPROBES/ });
  else attachKprobe(object.program('on_sleep')).close();
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
