import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BpfMap,
  disassemble,
  formatInstructions,
  hasFeature,
  loadObject,
  Program,
  VerifierError,
} from '../index.ts';
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

const code = (opcode: number, to = 0, from = 0, offset = 0, value = 0): number[] => [
  ...[opcode, (from << 4) | to],
  ...new Uint8Array(Int16Array.of(offset).buffer),
  ...new Uint8Array(Int32Array.of(value).buffer),
];

test('signed and atomic instructions are worded as the kernel words them', {
  skip: !hasFeature('tcx') && 'signed ones are known from kernel 6.6 on',
}, () => {
  const [ATOMIC64, ATOMIC32] = [0xdb, 0xc3];
  const instructions = [
    // r1 = 5, *(r10 - 8) = r1, *(r10 - 16) = r1
    ...[code(0xb7, 1, 0, 0, 5), code(0x7b, 10, 1, -8), code(0x7b, 10, 1, -16), code(0xb7, 0, 0, 0, 7)],
    // Extended by the sign: from registers, and from memory.
    ...[
      code(0xbf, 2, 1, 8),
      code(0xbf, 2, 1, 16),
      code(0xbf, 2, 1, 32),
      code(0xbc, 2, 1, 8),
      code(0xbc, 2, 1, 16),
    ],
    ...[code(0x91, 3, 10, -8), code(0x89, 3, 10, -8), code(0x81, 3, 10, -8), code(0x79, 3, 10, -8)],
    // Division: signed and not, of 64 and 32 bits, by a register and a number.
    ...[code(0x3f, 2, 1, 1), code(0x9f, 2, 1, 1), code(0x37, 2, 0, 1, 3), code(0x97, 2, 0, 1, 3)],
    ...[code(0x3c, 2, 1, 1), code(0x94, 2, 0, 1, 3), code(0x3f, 2, 1), code(0x97, 2, 0, 0, 3)],
    ...[code(0xd7, 2, 0, 0, 16), code(0xd7, 2, 0, 0, 32), code(0xd7, 2, 0, 0, 64)],
    ...[code(0xd4, 2, 0, 0, 16), code(0xdc, 2, 0, 0, 32)],
    // add, or, and, xor, with and without what was there before; exchange, and compare and exchange.
    ...[0x00, 0x40, 0x50, 0xa0].flatMap((kind) => [
      code(ATOMIC64, 10, 1, -16, kind),
      code(ATOMIC64, 10, 1, -16, kind | 1),
      code(ATOMIC32, 10, 1, -16, kind | 1),
    ]),
    ...[0xe1, 0xf1].flatMap((kind) => [code(ATOMIC64, 10, 1, -16, kind), code(ATOMIC32, 10, 1, -16, kind)]),
    // What the verifier does not let pass makes it tell of all before.
    code(0xbf, 0, 9),
    code(0x95),
  ];
  const bytes = Uint8Array.from(instructions.flat());
  let told = '';
  try {
    Program.load({ name: 'forms', type: 'socket_filter', license: 'GPL', instructions: bytes }).close();
  } catch (error) {
    if (!(error instanceof VerifierError)) throw error;
    told = error.log;
  }
  // It says w1 for the lower half of r1.
  const plain = (line: string) =>
    line
      .replaceAll(/\bw(\d)/g, 'r$1')
      .replaceAll(/ ([+-])(\d+)\)/g, ' $1 $2)')
      .trim();
  const kernels = [...told.matchAll(/^(\d+): \([0-9a-f]{2}\) ([^;\n]*)/gm)].map(
    ([, number, text]) => `${number}: ${plain(text!)}`,
  );
  const ours = formatInstructions(bytes, { map: String, helper: String }).map((line) =>
    line.replace(' (32 bits)', ''),
  );
  assert.equal(kernels.length, instructions.length - 1, told);
  assert.deepEqual(ours.slice(0, -1), kernels);
});
