/** What clients cost that open watches and do not read. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { after, before, test } from 'node:test';
import koffi from 'koffi';
import { type ServerProcess, startServerProcess, type Usage } from '../server-process.fixture.ts';
import { HISTORY_LIMITS } from '../storage/history.ts';

const CLONE_NEWNET = 0x40000000;
const WATCHES = 1000;
const OBJECTS = 100;
/** Of each, in bytes. */
const SIZE = 40_000;
const MAPS = '/api/v1/namespaces/default/configmaps';
const MIB = 1024 * 1024;

let server: ServerProcess;

before(async () => {
  // In a network of its own the kernel keeps little for a connection. Else it would keep megabytes for each, and the
  // server had nothing to keep.
  const unshare = koffi.load('libc.so.6').func('int unshare(int flags)');
  if (unshare(CLONE_NEWNET) !== 0) throw new Error('no network namespace could be made: are you root?');
  execFileSync('ip', ['link', 'set', 'lo', 'up', 'mtu', '1500']);
  for (const buffer of ['tcp_rmem', 'tcp_wmem'])
    writeFileSync(`/proc/sys/net/ipv4/${buffer}`, '4096 32768 65536');
  server = await startServerProcess();
});
after(() => server.stop());

let written = 0;

/** Replaces as many objects, which are there then, one after another. */
async function change(count: number): Promise<void> {
  const one = async () => {
    written += 1;
    const name = `object-${written % OBJECTS}`;
    const body = { metadata: { name }, data: { written: String(written), padding: 'x'.repeat(SIZE) } };
    await (written <= OBJECTS
      ? server.must(`POST ${MAPS}`, { body })
      : server.must(`PUT ${MAPS}/${name}`, { body }));
  };
  for (let left = count; left > 0; left -= 20)
    await Promise.all(Array.from({ length: Math.min(left, 20) }, one));
}

/** Opens a watch of all there is over a connection of its own. Nobody reads what is answered. */
function openWatch(): Promise<IncomingMessage> {
  const { url, ca, cert, key } = server;
  return new Promise((resolve, reject) => {
    const sending = request(`${url}${MAPS}?watch=true`, { agent: false, ca, cert, key });
    sending.once('error', reject);
    sending.once('response', resolve);
    sending.end();
  });
}

test('a thousand watches that nobody reads do not grow the memory of the server', async (t) => {
  const remembered = HISTORY_LIMITS.bytes / SIZE;
  await change(OBJECTS + remembered);
  const idle = await server.usage();

  const watches: IncomingMessage[] = [];
  // Each hundred begin with other objects.
  while (watches.length < WATCHES) {
    watches.push(...(await Promise.all(Array.from({ length: 100 }, openWatch))));
    await change(OBJECTS / 4);
  }
  const opened = await server.usage();
  await change(remembered / 2);
  const behind = await server.usage();
  await change(remembered);
  const lost = await server.usage();
  for (const watch of watches) watch.destroy();

  const inMiB = ({ memory, most }: Usage) =>
    `${Math.round(memory / MIB)} MiB (most ${Math.round(most / MIB)})`;
  t.diagnostic(
    `idle ${inMiB(idle)}, ${WATCHES} watches ${inMiB(opened)}, behind ${inMiB(behind)}, lost ${inMiB(lost)}`,
  );
  assert.ok(behind.connections >= WATCHES, 'none is cut off before the server forgets what it has to hear');
  assert.ok(lost.connections < WATCHES / 10, 'all are when it has');
  // Each has 4 MiB to hear when it begins, and 30 MiB until it is cut off.
  const each = (lost.most - idle.memory) / WATCHES;
  assert.ok(each < MIB, `${each} bytes for each watch`);
});
