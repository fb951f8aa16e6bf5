import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { NetNamespace, Rtnetlink } from '@enid/linux';
import { type Attachment, CniError, CniRuntime } from './cni-runtime.ts';

// Debian's reference plugins, so that what is tested is the runtime's side of the protocol.
const NODE = `enid-cniruntime-node-${process.pid}`;
const POD = `enid-cniruntime-pod-${process.pid}`;
let scratch: string;
let runtime: CniRuntime;
const pod: Attachment = {
  containerId: 'c1',
  netns: `/run/netns/${POD}`,
  ifName: 'eth0',
  args: { IgnoreUnknown: '1' },
};

const linksIn = (name: string) => {
  using namespace = NetNamespace.named(name);
  using rtnetlink = Rtnetlink.open(namespace);
  return rtnetlink.links().map((link) => link.name);
};

const configure = (...plugins: unknown[]) =>
  writeFileSync(
    join(scratch, '10-test.conflist'),
    JSON.stringify({ cniVersion: '1.0.0', name: 'test', plugins }),
  );

const ptp = () => ({
  type: 'ptp',
  ipam: { type: 'host-local', ranges: [[{ subnet: '10.77.0.0/24' }]], dataDir: join(scratch, 'ipam') },
});

before(() => {
  scratch = mkdtempSync(join(tmpdir(), 'enid-cniruntime-'));
  for (const name of [NODE, POD]) NetNamespace.create(name).close();
  runtime = new CniRuntime({
    binPath: ['/usr/lib/cni'],
    confDir: scratch,
    env: { PATH: process.env.PATH },
    namespace: NODE,
  });
});
after(() => {
  for (const name of [NODE, POD]) NetNamespace.delete(name);
  rmSync(scratch, { recursive: true });
});

test('says that no network is configured', async () => {
  assert.match((await runtime.status())!, /no network is configured in/);
});

test('a chain gets each result and is undone backwards', async () => {
  configure(ptp(), { type: 'tuning', mtu: 1234 });
  const result = await runtime.add(pod);
  assert.match(result.ips![0]!.address, /^10\.77\.0\.\d+\/24$/);
  assert.ok(linksIn(POD).includes('eth0'));
  await runtime.check(pod, result);
  await runtime.del(pod, result);
  assert.ok(!linksIn(POD).includes('eth0'));
  assert.deepEqual(linksIn(NODE), ['lo']);
});

test("what a failing chain has done by then is undone, and the error is the plugin's", async () => {
  configure(ptp(), { type: 'tuning', sysctl: { 'net.no.such.key': '1' } });
  await assert.rejects(
    runtime.add(pod),
    (error) => error instanceof CniError && /no.such.key|no\/such\/key/.test(error.message),
  );
  assert.deepEqual(linksIn(NODE), ['lo']);
});

test('a plugin that is not installed is named', async () => {
  configure({ type: 'no-such-plugin' });
  await assert.rejects(runtime.add(pod), /plugin no-such-plugin is in none of \/usr\/lib\/cni: install it/);
});
