import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BpfMap, disassemble, loadObject } from '../index.ts';
import { compile } from '../testing.ts';

test('a program in the kernel is shown with its maps, helpers and functions', () => {
  using kept = BpfMap.create({ name: 'kept', type: 'array', keySize: 4, valueSize: 4, maxEntries: 4 });
  using object = loadObject(compile('kit.c'), { programs: ['emit', 'calls', 'tail'], maps: { kept } });
  const emit = disassemble(object.program('emit').id).join('\n');
  assert.match(emit, new RegExp(`r1 = map events\\[${object.map('events').info.id}\\]`));
  assert.match(emit, /call bpf_ringbuf_reserve/);
  assert.match(emit, /\d+: exit$/);
  const calls = disassemble(object.program('calls').id);
  const target = /call function at (\d+)/.exec(calls.join('\n'))?.[1];
  assert.ok(target && calls.some((line) => line.startsWith(`${target}: `)));
});
