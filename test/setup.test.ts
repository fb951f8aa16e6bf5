import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './enid.ts';
import { labOnly } from './given.ts';

const { test } = labOnly('no cluster: it is this machine that is set up');

const setup = fileURLToPath(new URL('../scripts/setup', import.meta.url));
const ready = fileURLToPath(new URL('../node_modules/.enid-ready', import.meta.url));

/** Runs set-up with programs put in front of those on PATH, as a machine that lacks things would answer. */
async function setupWith(programs: Record<string, string>): Promise<{ status: number; stderr: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'enid-setup-'));
  try {
    for (const [name, script] of Object.entries(programs)) {
      await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    return await new Promise((resolve) => {
      execFile(
        setup,
        { env: { ...process.env, PATH: `${folder}:${process.env.PATH}` } },
        (error, _stdout, stderr) =>
          resolve({ status: typeof error?.code === 'number' ? error.code : 0, stderr }),
      );
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('a machine that cannot work is told each thing that it lacks, in one list, and nothing is changed', async () => {
  const before = statSync(ready).mtimeMs;
  const { status, stderr } = await setupWith({
    uname: 'case $1 in -s) echo Darwin;; -m) echo riscv64;; *) echo 1.0;; esac',
    id: 'echo 1000',
    node: 'echo 18',
    // A kernel without these features shows none of their symbols.
    grep: 'case "$*" in *kallsyms*) exit 1;; *) exec /bin/grep "$@";; esac',
  });
  assert.equal(status, 1);
  for (const what of [
    /Linux: this is Darwin/,
    /this is riscv64/,
    /root: /,
    /Node\.js 20 or later: this is 18/,
    /CONFIG_VETH/,
    /CONFIG_NF_TABLES/,
  ]) {
    assert.match(stderr, what);
  }
  assert.match(stderr, /Nothing was changed/);
  assert.equal(statSync(ready).mtimeMs, before);
});

test('a machine that is set up reaches the command line in under half a second', async () => {
  await run('--version'); // Fills the compile cache, as the first run does.
  const times: number[] = [];
  for (let n = 0; n < 5; n++) {
    const started = performance.now();
    assert.equal((await run('--help')).status, 0);
    times.push(performance.now() - started);
  }
  const median = times.toSorted((a, b) => a - b)[2]!;
  assert.ok(median < 500, `it took ${median} ms`);
});
