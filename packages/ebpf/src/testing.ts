/** What the tests share. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** The object that clang makes of a file in testdata. */
export function compile(name: string): Uint8Array {
  const dir = mkdtempSync(join(tmpdir(), 'ebpf-test-'));
  try {
    const source = join(import.meta.dirname, '../testdata', name);
    const out = join(dir, 'out.o');
    execFileSync('clang', ['-target', 'bpfel', '-mcpu=v3', '-O2', '-g', '-c', source, '-o', out]);
    return Uint8Array.from(readFileSync(out));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** A file system of the test's own, mounted until the test ends. */
export function mounted(t: TestContext, type: 'bpf' | 'tracefs'): string {
  const dir = mkdtempSync(join(tmpdir(), 'ebpf-fs-'));
  execFileSync('mount', ['-t', type, type, dir]);
  t.after(() => {
    execFileSync('umount', [dir]);
    rmdirSync(dir);
  });
  return dir;
}
