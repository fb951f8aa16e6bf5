/** What is told of the kernel's objects, beside what bpftool tells of the same. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { addLink, NetNamespace, Rtnetlink } from '@enid/linux';
import { debianProgram } from '../../../../test/debian-program.ts';
import {
  attachClsact,
  attachTcx,
  attachTracepoint,
  attachXdp,
  disassemble,
  dumpMap,
  listFilters,
  listLinks,
  listMaps,
  listPrograms,
  loadObject,
  Owners,
} from '../index.ts';
import { compile, mounted } from '../testing.ts';

test('bpftool agrees on programs, maps, entries, instructions and links', async (t) => {
  const bpftool = await debianProgram('bpftool', 'bpftool', 'usr/sbin/bpftool');
  // biome-ignore lint/suspicious/noExplicitAny: whatever bpftool prints
  const ask = (...args: (string | number)[]): any =>
    JSON.parse(execFileSync(bpftool, ['-j', ...args.map(String)], { encoding: 'utf8', stdio: 'pipe' }));
  const object = loadObject(compile('kit.c'), { pinDirectory: mounted(t, 'bpf') });
  t.after(() => object.close());

  const programs = new Map(listPrograms().map((one) => [one.id, one]));
  for (const mine of object.programs.values()) {
    const told = ask('prog', 'show', 'id', mine.id);
    const { type, name, tag, uid, mapIds, translatedLength, jitedLength, btfId } = programs.get(mine.id)!;
    assert.deepEqual(
      { type, name, tag, uid, btfId, translatedLength, jitedLength, mapIds: mapIds.toSorted() },
      {
        ...{ type: told.type, name: told.name, tag: told.tag, uid: told.uid, btfId: told.btf_id },
        ...{ translatedLength: told.bytes_xlated, jitedLength: told.bytes_jited },
        mapIds: (told.map_ids ?? []).toSorted(),
      },
    );
    // One that takes two slots, the load of a 64-bit constant, is counted twice by both.
    const lines = disassemble(mine.id).map((line) => Number(line.split(':')[0]));
    const xlated = execFileSync(bpftool, ['prog', 'dump', 'xlated', 'id', String(mine.id)], {
      encoding: 'utf8',
    });
    assert.deepEqual(
      lines,
      [...xlated.matchAll(/^ *(\d+): \(/gm)].map(([, number]) => Number(number)),
    );
  }

  const maps = new Map(listMaps().map((one) => [one.id, one]));
  for (const mine of object.maps.values()) {
    const told = ask('map', 'show', 'id', mine.info.id);
    const { type, name, flags, keySize, valueSize, maxEntries } = maps.get(mine.info.id)!;
    assert.deepEqual(
      { type, name, flags, keySize, valueSize, maxEntries },
      {
        ...{ type: told.type, name: told.name, flags: told.flags, keySize: told.bytes_key },
        ...{ valueSize: told.bytes_value, maxEntries: told.max_entries },
      },
    );
  }

  const flows = object.map('flows');
  const value = {
    packets: 7n,
    sums: { bytes: 9, change: -5n },
    verdict: 'DROP',
    note: 'yes',
    low: 5,
    high: 17,
  };
  flows.update({ source: 0x0a000001, port: 80, protocol: 6, pad: 0 }, value);
  const [ours] = dumpMap(flows.info.id) as { key: object; value: typeof value }[];
  const [theirs] = ask('map', 'dump', 'id', flows.info.id).map((one: { formatted: object }) => one.formatted);
  assert.deepEqual(ours!.key, theirs.key);
  assert.deepEqual(
    {
      ...ours!.value,
      packets: Number(ours!.value.packets),
      sums: theirs.value.sums,
      note: theirs.value.note,
    },
    { ...theirs.value, low: Number(theirs.value.low), high: Number(theirs.value.high) },
  );
  assert.equal(Number(ours!.value.sums.change), theirs.value.sums.change);

  const ns = NetNamespace.create(`ebi${process.pid}`);
  t.after(() => {
    ns.close();
    NetNamespace.delete(`ebi${process.pid}`);
  });
  using route = Rtnetlink.open(ns);
  route.execute([addLink({ kind: 'veth', name: 'a', peer: { name: 'b' } })]);
  const on = { ifindex: route.link('a')!.index, ns };
  using tcx = attachTcx(object.program('count'), on, 'ingress');
  using xdp = attachXdp(object.program('mark'), on, 'generic');
  const links = new Map(listLinks().map((one) => [one.id, one.programId]));
  for (const { info } of [tcx, xdp]) {
    assert.equal(links.get(info.id), ask('link', 'show', 'id', info.id).prog_id);
  }
});

test('what interfaces run by clsact is told as tc and bpftool tell it, also when whoever attached it has ended', async (t) => {
  const bpftool = await debianProgram('bpftool', 'bpftool', 'usr/sbin/bpftool');
  const ns = NetNamespace.create(`ebf${process.pid}`);
  t.after(() => {
    ns.close();
    NetNamespace.delete(`ebf${process.pid}`);
  });
  using route = Rtnetlink.open(ns);
  for (const name of ['a', 'b']) route.execute([addLink({ kind: 'veth', name, peer: { name: `${name}p` } })]);
  const ifindex = route.link('a')!.index;
  let id: number;
  {
    using object = loadObject(compile('kit.c'), {
      programs: ['count', 'drop'],
      pinDirectory: mounted(t, 'bpf'),
    });
    const at = { ifindex, ns, priority: 69, handle: 1 };
    attachClsact(object.program('count'), { ...at, direction: 'ingress' });
    attachClsact(object.program('drop'), { ...at, direction: 'egress', priority: 7, handle: 3 });
    id = object.program('count').id;
  }
  const filters = listFilters(ns);
  assert.deepEqual(
    filters.map(({ direction, priority, handle, name }) => [direction, priority, handle, name]),
    [
      ['ingress', 69, 1, 'count'],
      ['egress', 7, 3, 'drop'],
    ],
  );
  assert.deepEqual([filters[0]!.programId, filters[0]!.ifindex, filters[0]!.interface], [id, ifindex, 'a']);
  // biome-ignore lint/suspicious/noExplicitAny: whatever they print
  const ask = (command: string, ...args: string[]): any =>
    JSON.parse(ns.run(() => execFileSync(command, args, { encoding: 'utf8' })));
  for (const { direction, priority, handle, programId } of filters) {
    const shown = ask('tc', '-j', 'filter', 'show', 'dev', 'a', direction);
    const [told] = shown.filter(({ options }: { options?: object }) => options && 'prog' in options);
    assert.deepEqual([told.pref, told.kind, told.options.prog.id], [priority, 'bpf', programId]);
    assert.equal(Number(told.options.handle), handle);
  }
  const [{ tc }] = ask(bpftool, '-j', 'net', 'show');
  assert.deepEqual(
    new Set(tc.map((one: { id: number }) => one.id)),
    new Set(filters.map((one) => one.programId)),
  );
  const owners = ns.run(() => Owners.read().of('program', id));
  assert.deepEqual(owners, [{ interface: 'a', direction: 'ingress' }]);
});

test('whoever keeps an object is told: processes that have it open, and files', (t) => {
  const directory = mounted(t, 'bpf');
  const object = loadObject(compile('kit.c'), { pinDirectory: directory });
  t.after(() => object.close());
  const link = attachTracepoint(object.program('on_exec'), undefined, { tracefs: mounted(t, 'tracefs') });
  link.pin(join(directory, 'exec'));
  const { id } = link.info;
  const seen = () => {
    const { pid } = process;
    return Owners.read()
      .of('link', id)
      .map((one) => ('pid' in one ? one.pid === pid : 'path' in one && one.path));
  };
  assert.deepEqual(seen(), [true, join(directory, 'exec')]);
  link.close();
  assert.deepEqual(seen(), [join(directory, 'exec')]);
  const owners = Owners.read();
  const kept = object.map('kept').info.id;
  assert.deepEqual(
    owners.of('map', kept).map((one) => 'path' in one && one.path),
    [false, join(directory, 'kept')],
  );
  const [holder] = owners.of('program', object.program('calls').id);
  assert.equal(holder && 'pid' in holder && holder.pid, process.pid);
});
