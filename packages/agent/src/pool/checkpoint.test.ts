import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Ipv4, parseIpv4 } from '@enid/ip';
import { type Allocation, emptyPool, restore } from '@enid/ipam';
import {
  CheckpointFile,
  CheckpointWriter,
  encodeCheckpoint,
  parseCheckpoint,
  readCheckpoint,
} from './checkpoint.ts';

const allocation: Allocation = {
  key: { network: 'aws-cni', containerId: 'c1', ifName: 'eth0' },
  address: parseIpv4('10.0.0.10'),
  since: 1_767_268_800_000,
  metadata: { k8sPodNamespace: 'default', k8sPodName: 'web' },
};
const released: [Ipv4, number] = [parseIpv4('10.0.0.11'), 1_767_268_801_000];
const pool = restore(emptyPool(30_000), [allocation], [released]);

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'enid-checkpoint-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

test("what is written is Amazon's format and is read again", async (t) => {
  const file = new CheckpointFile(join(await directory(t), 'aws-node', 'ipam.json'));
  assert.deepEqual(await readCheckpoint(file), { allocations: [], released: [] });
  await file.write(encodeCheckpoint(pool));
  const written = JSON.parse(await readFile(file.name, 'utf8'));
  assert.equal(written.version, 'vpc-cni-ipam/1');
  assert.deepEqual(written.allocations, [
    {
      networkName: 'aws-cni',
      containerID: 'c1',
      ifName: 'eth0',
      ipv4: '10.0.0.10',
      allocationTimestamp: 1_767_268_800_000_000_000,
      metadata: { k8sPodNamespace: 'default', k8sPodName: 'web' },
    },
  ]);
  assert.deepEqual(await readCheckpoint(file), { allocations: [allocation], released: [released] });
});

test("Amazon's numbers stay numbers, so that its agent can take the file up again", async () => {
  const metadata = { k8sPodNamespace: 'default', k8sPodName: 'web', interfacesCount: 1 };
  const entry = {
    networkName: 'aws-cni',
    containerID: 'c1',
    ifName: 'eth0',
    ipv4: '10.0.0.10',
    allocationTimestamp: 1_767_268_800_000_000_000,
    metadata,
  };
  const text = JSON.stringify({ version: 'vpc-cni-ipam/1', allocations: [entry] });
  const { allocations } = parseCheckpoint('test', { text, writtenAt: 0 });
  const again = encodeCheckpoint(restore(emptyPool(0), allocations, []));
  assert.equal(again, text.replace(/}$/, ',"released":[]}'));
});

test('a write replaces the file whole and leaves nothing beside it', async (t) => {
  const folder = await directory(t);
  const file = new CheckpointFile(join(folder, 'ipam.json'));
  await writeFile(`${file.name}.tmp`, 'what a killed agent left');
  await file.write(encodeCheckpoint(pool));
  await file.write(encodeCheckpoint(emptyPool(0)));
  assert.deepEqual(await readdir(folder), ['ipam.json']);
  assert.deepEqual((await readCheckpoint(file)).allocations, []);
});

test('calls during a write share the next, which has what was true when they came', async () => {
  const writes: string[] = [];
  let value = 0;
  let finish = () => {};
  const store = {
    name: 'test',
    read: async () => undefined,
    write: (text: string) =>
      new Promise<void>((resolve) => {
        writes.push(text);
        finish = resolve;
      }),
  };
  // A write waits a turn of the event loop for others to share it.
  const settle = async () => {
    for (let turns = 0; turns < 2; turns++) await new Promise(setImmediate);
  };
  const writer = new CheckpointWriter(store, () => String(value));
  value = 1;
  const first = writer.commit();
  await settle();
  value = 2;
  const second = writer.commit();
  value = 3;
  const third = writer.commit();
  assert.deepEqual(writes, ['1']);
  finish();
  await first;
  await settle();
  assert.deepEqual(writes, ['1', '3']);
  finish();
  await Promise.all([second, third]);
  assert.deepEqual(writes, ['1', '3']);
});

test('a failed write names the file and the way out, and does not fail the next', async () => {
  let broken = true;
  const store = {
    name: '/run/ipam.json',
    read: async () => undefined,
    write: async () => {
      if (broken) throw new Error('ENOSPC');
    },
  };
  const writer = new CheckpointWriter(store, () => '');
  await assert.rejects(
    writer.commit(),
    /^CheckpointError: \/run\/ipam\.json cannot be written \(ENOSPC\): free space/,
  );
  broken = false;
  await writer.commit();
});
