import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { FlowLog } from './flow-log.ts';

const directory = (t: TestContext): string => {
  const made = mkdtempSync(join(tmpdir(), 'enid-flow-log-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
};

test('files take turns, the youngest lines are kept, and none is torn', async (t) => {
  const file = join(directory(t), 'deep', 'flows.log');
  const errors: Error[] = [];
  const line = (n: number) => JSON.stringify({ n, text: 'x'.repeat(80) });
  let next = 0;
  for (let life = 0; life < 2; life++) {
    await using log = new FlowLog({ file, maxBytes: 1000, keep: 2, onError: (error) => errors.push(error) });
    for (let batch = 0; batch < 10; batch++) {
      for (let i = 0; i < 5; i++) log.write(line(next++));
      await log.written();
    }
  }
  const files = [`${file}.2`, `${file}.1`, file];
  const numbers = files.flatMap((one) =>
    readFileSync(one, 'utf8')
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text).n as number),
  );
  assert.deepEqual(
    numbers,
    Array.from({ length: numbers.length }, (_, i) => next - numbers.length + i),
  );
  assert.ok(numbers.length >= 20, `${numbers.length} lines are left`);
  for (const one of files) assert.ok(statSync(one).size < 2000);
  assert.ok(!existsSync(`${file}.3`));
  assert.deepEqual(errors, []);
});

test('a file that cannot be written is told once, and written again when it can', async (t) => {
  const file = join(directory(t), 'flows.log');
  mkdirSync(file);
  const errors: Error[] = [];
  await using log = new FlowLog({ file, onError: (error) => errors.push(error) });
  for (let n = 0; n < 3; n++) {
    log.write(`${n}`);
    await log.written();
  }
  assert.equal(errors.length, 1);
  rmdirSync(file);
  log.write('again');
  await log.written();
  assert.equal(readFileSync(file, 'utf8'), 'again\n');
});

test('what is written faster than the disk takes it is dropped, not kept', async (t) => {
  const file = join(directory(t), 'flows.log');
  const log = new FlowLog({ file, onError: assert.ifError });
  for (let n = 0; n < 50_000; n++) log.write(`${n}`);
  await log[Symbol.asyncDispose]();
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  assert.ok(lines.length <= 20_000, `${lines.length} lines`);
  assert.equal(lines[0], '0');
});
