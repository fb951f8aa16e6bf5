/** `enid ebpf` as it is called, on programs and maps that this test has loaded. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { attachClsact, loadObject } from '@enid/ebpf';
import { addLink, NetNamespace, Rtnetlink } from '@enid/linux';

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const ebpf = (...args: string[]) =>
  promisify(execFile)(process.execPath, [file('../main.ts'), 'ebpf', ...args]).then(({ stdout }) => stdout);
const lines = async (...args: string[]) =>
  (await ebpf(...args))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

test('what is loaded is shown, by whom, what it holds, what it does and how often it ran', async (t) => {
  const pinDirectory = mkdtempSync(join(tmpdir(), 'enid-ebpf-'));
  execFileSync('mount', ['-t', 'bpf', 'bpf', pinDirectory]);
  t.after(() => {
    execFileSync('umount', [pinDirectory]);
    rmdirSync(pinDirectory);
  });
  const built = Uint8Array.from(readFileSync(file('../../../../bpf/build/policy.o')));
  using object = loadObject(built, { pinDirectory });
  const [places, flows, program] = [object.map('places'), object.map('flows'), object.program('to_pod')];

  const programs = await lines('progs');
  const mine = programs.find(({ id }) => id === program.id);
  assert.deepEqual([mine.name, mine.type], ['to_pod', 'sched_cls']);
  assert.ok(mine.mapIds.includes(places.info.id));
  assert.deepEqual(
    mine.owners.map(({ pid }: { pid: number }) => pid),
    [process.pid],
  );
  const maps = await lines('maps');
  const ofMap = (id: number) => maps.find((one) => one.id === id);
  assert.equal(ofMap(places.info.id).maxEntries, 4096);
  assert.equal(ofMap(flows.info.id).owners.at(-1).path, join(pinDirectory, 'flows'));

  const ns = NetNamespace.create(`ebc${process.pid}`);
  t.after(() => {
    ns.close();
    NetNamespace.delete(`ebc${process.pid}`);
  });
  using rtnetlink = Rtnetlink.open(ns);
  rtnetlink.execute([addLink({ kind: 'veth', name: 'pod', peer: { name: 'eth0' } })]);
  const ifindex = rtnetlink.link('pod')!.index;
  attachClsact(program, { ifindex, ns, direction: 'egress', priority: 69, handle: 1 });
  const there = (command: string) =>
    ns
      .run(() => execFileSync(process.execPath, [file('../main.ts'), 'ebpf', command], { encoding: 'utf8' }))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  const [attached] = there('links').filter(({ type }) => type === 'clsact');
  assert.deepEqual(
    [attached.interface, attached.direction, attached.name, attached.programId],
    ['pod', 'egress', 'to_pod', program.id],
  );
  const { owners } = there('progs').find(({ id }) => id === program.id);
  assert.deepEqual(owners.at(-1), { interface: 'pod', direction: 'egress' });

  places.update(7, 3);
  assert.deepEqual(await lines('dump', String(places.info.id)), [{ key: 7, value: 3 }]);
  const flow = { remote_address: new Uint8Array(16).fill(9), ifindex: 7, remote_port: 443, protocol: 6 };
  flows.update(flow, { binding: 2n ** 63n + 1n, rule: 5, direction: 1 });
  const [{ key, value }] = await lines('dump', String(flows.info.id));
  assert.deepEqual([key.ifindex, key.remote_port, key.local_port, key.protocol], [7, 443, 0, 6]);
  assert.deepEqual([value.binding, value.rule, value.direction], [String(2n ** 63n + 1n), 5, 1]);

  const code = await ebpf('disasm', String(program.id));
  assert.match(code, new RegExp(`= map places\\[${places.info.id}\\]`));
  assert.match(code, /^\d+: exit$/m);

  let isOver = false;
  const counted = lines('stats', '--seconds', '1').finally(() => {
    isOver = true;
  });
  let ran = 0;
  const packet = new Uint8Array(64);
  for (; !isOver; ran++, await setImmediate()) program.testRun({ data: packet });
  const { runs, nanosecondsPerRun } = (await counted).find(({ id }) => id === program.id);
  assert.ok(runs > 0 && runs <= ran && nanosecondsPerRun > 0, `${runs} of ${ran}, ${nanosecondsPerRun} ns`);

  await assert.rejects(ebpf('dump', 'nothing-like-it'), /there is no map "nothing-like-it": enid ebpf maps/);
  await assert.rejects(ebpf('dump', '0'), /there is no map "0"/);
});
