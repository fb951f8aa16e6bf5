import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { type LogQuery, sendLog } from './logs.ts';
import { execOptionsOf, logQueryOf, podAddressOf, portsOf } from './routes.ts';

const LINES = [
  '2026-01-02T03:04:05.000000001Z stdout F one',
  '2026-01-02T03:04:06.5Z stderr P tw',
  '2026-01-02T03:04:06.6Z stderr F o é',
  '2026-01-02T03:04:07Z stdout F ',
  '2026-01-02T03:04:08Z stdout F four words are here',
].map((line) => `${line}\n`);

function logFile(t: TestContext, content: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'enid-logs-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, '0.log');
  writeFileSync(path, content);
  return path;
}

async function read(path: string, query: Partial<LogQuery>): Promise<string> {
  const out = new PassThrough();
  const all = text(out);
  const wanted = { follow: false, timestamps: false, ...query };
  await sendLog(path, wanted, out, async () => false, new AbortController().signal);
  out.end();
  return all;
}

test('a log is told whole, from a time, its end, or its beginning', async (t) => {
  const path = logFile(t, LINES.join(''));
  assert.equal(await read(path, {}), 'one\ntwo é\n\nfour words are here\n');
  assert.equal(await read(path, { tailLines: 1 }), 'four words are here\n');
  assert.equal(await read(path, { tailLines: 0 }), '');
  assert.equal(await read(path, { tailLines: 99 }), 'one\ntwo é\n\nfour words are here\n');
  assert.equal(await read(path, { since: Date.parse('2026-01-02T03:04:07Z') }), '\nfour words are here\n');
  assert.equal(await read(path, { limitBytes: 5 }), 'one\nt');
  assert.equal(
    await read(path, { timestamps: true, tailLines: 4 }),
    '2026-01-02T03:04:06.5Z two é\n2026-01-02T03:04:07Z \n2026-01-02T03:04:08Z four words are here\n',
  );
});

test('the end of a log longer than a block is found', async (t) => {
  const many = Array.from({ length: 5000 }, (_, index) => `2026-01-02T03:04:05Z stdout F line ${index}\n`);
  const path = logFile(t, many.join(''));
  const tail = await read(path, { tailLines: 3000 });
  assert.equal(tail.split('\n').length, 3001);
  assert.ok(tail.startsWith('line 2000\n'));
});

test('a log is followed until its container has ended, and not a line is lost', async (t) => {
  const path = logFile(t, LINES[0]!.slice(0, 20));
  const out = new PassThrough();
  let running = true;
  const query = { follow: true, timestamps: false };
  const sent = sendLog(path, query, out, async () => running, new AbortController().signal);
  appendFileSync(path, LINES[0]!.slice(20));
  const [first] = await out[Symbol.asyncIterator]()
    .next()
    .then(({ value }) => [String(value)]);
  assert.equal(first, 'one\n');
  running = false;
  appendFileSync(path, LINES[4]!);
  await sent;
});

test('what is asked for is checked', () => {
  assert.deepEqual(podAddressOf('exec', ['ns', 'p', 'uid', 'c']), {
    namespace: 'ns',
    pod: 'p',
    uid: 'uid',
    container: 'c',
  });
  assert.deepEqual(podAddressOf('portForward', ['ns', 'p']), {
    namespace: 'ns',
    pod: 'p',
    uid: undefined,
    container: undefined,
  });
  assert.throws(() => podAddressOf('exec', ['ns', 'p']), /wants a namespace, a pod and a container/);
  const both = execOptionsOf(new URLSearchParams('input=1&output=1&error=1&tty=1'));
  assert.deepEqual(both, { tty: true, stdin: true, stdout: true, stderr: false });
  assert.throws(() => execOptionsOf(new URLSearchParams('tty=1')), /at least 1 of/);
  assert.deepEqual(portsOf(new URLSearchParams('port=80&port=443,8080')), [80, 443, 8080]);
  assert.throws(() => portsOf(new URLSearchParams('ports=0')), /"0" is no port/);
  assert.equal(logQueryOf(new URLSearchParams('sinceSeconds=10'), 60_000).since, 50_000);
  assert.throws(
    () => logQueryOf(new URLSearchParams('tailLines=-1'), 0),
    /tailLines is to be a whole number/,
  );
});
