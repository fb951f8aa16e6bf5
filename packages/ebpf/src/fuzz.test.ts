import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Btf, codecOf, MalformedObjectError, parseElf, parseObject } from './index.ts';
import { linkProgram } from './loader/link.ts';
import { compile } from './testing.ts';

const file = compile('kit.c');
const elf = parseElf(file);
const btfBytes = elf.sections.find(({ name }) => name === '.BTF')!.bytes;

const mutations = (length: number) =>
  fc.array(fc.tuple(fc.nat(length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 });

function mutated(bytes: Uint8Array, changes: [number, number][]): Uint8Array {
  const copy = Uint8Array.from(bytes);
  for (const [at, value] of changes) copy[at] = value;
  return copy;
}

/** Runs it; only the error for malformed objects is fine. */
function reads(read: () => void): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof MalformedObjectError)) throw error;
  }
}

test('an object is read: its sections, symbols, relocations, functions and types', () => {
  const spec = parseObject(file);
  assert.equal(spec.license, 'GPL');
  assert.deepEqual(spec.programs.get('on_exec')!.target, 'sched/sched_process_exec');
  assert.equal(spec.maps.get('flows')!.keySize, 8);
  assert.equal(spec.maps.get('nested')!.inner!.valueSize, 4);
  assert.deepEqual(spec.maps.get('jumps')!.contents, [{ index: 2, symbol: 'tail' }]);
  const linked = linkProgram(spec, spec.programs.get('calls')!);
  assert.deepEqual(
    linked.functions.map(({ name }) => name),
    ['calls', 'twice', 'mix'],
  );
  assert.deepEqual(new Set(linked.maps.map(({ map }) => map)), new Set(['.data', '.bss', '.rodata']));
  assert.ok(linked.lines.every(({ line }) => line.file.endsWith('kit.c') && line.line > 0));
});

test('mutated or cut objects are read or refused, never a crash', () => {
  fc.assert(
    fc.property(mutations(file.length), fc.nat(file.length), fc.boolean(), (changes, length, cut) => {
      reads(() => {
        const spec = parseObject(mutated(cut ? file.subarray(0, length) : file, changes));
        for (const program of spec.programs.values()) linkProgram(spec, program);
      });
    }),
    { numRuns: 300 },
  );
});

test('mutated headers and BTF are read or refused, never a crash', () => {
  fc.assert(
    fc.property(mutations(64), (changes) => reads(() => void parseObject(mutated(file, changes)))),
    { numRuns: 200 },
  );
  fc.assert(
    fc.property(mutations(btfBytes.length), (changes) => {
      reads(() => {
        const btf = new Btf(mutated(btfBytes, changes));
        for (let id = 1; id < btf.count; id++) reads(() => void codecOf(btf, id));
      });
    }),
    { numRuns: 200 },
  );
});
