/** The CNI executable run as a container runtime runs it, against a server, an address pool and a real node. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import type { Ipv4 } from '@enid/ip';
import type { NetNamespace } from '@enid/linux';
import { LinuxNodeNetwork } from '../network/node-network.ts';
import {
  exchange,
  ip,
  makeTestbed,
  networkOptions,
  primaryEni,
  secondaryEni,
  type Testbed,
  udp,
  VPC_CIDR,
  VPC_HOST,
} from '../network/testbed.ts';
import { MemoryPool } from './memory-pool.fixture.ts';
import { CniPlugin } from './plugin.ts';
import { CniServer } from './server.ts';

let directory: string;
let executable: string;

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'cni-'));
  executable = join(directory, 'aws-cni');
  execFileSync(join(import.meta.dirname, '../../../../scripts/build-cni'), [executable]);
});
after(() => rmSync(directory, { recursive: true }));

// biome-ignore lint/suspicious/noExplicitAny: whatever was printed
type Outcome = { status: number | null; stdout: string; json: any };

/** Runs the executable. */
async function run(socket: string, env: Record<string, string>, stdin: unknown = ''): Promise<Outcome> {
  const child = spawn(executable, {
    env: { ...env, ENID_CNI_SOCKET: socket },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stdin.on('error', () => {}); // it may end without reading
  child.stdin.end(typeof stdin === 'string' ? stdin : JSON.stringify(stdin));
  const [status] = await once(child, 'close');
  return { status, stdout, json: stdout === '' ? undefined : JSON.parse(stdout) };
}

const configuration = { cniVersion: '1.1.0', name: 'aws-cni', type: 'aws-cni' };

type Call = { id: string; pod?: { path: string }; args?: string; ifName?: string; config?: object };

/** A node with a running server. */
async function start(t: TestContext, pool = new MemoryPool()) {
  const bed = makeTestbed(t);
  bed.attach(secondaryEni);
  const network = new LinuxNodeNetwork(networkOptions(), bed.node);
  await network.setup({ primaryEni, vpcCidrs: [VPC_CIDR] });
  await network.setEnis([primaryEni, secondaryEni]);
  const plugin = new CniPlugin(pool, network.pods);
  const socket = join(directory, bed.name, 'enid.sock');
  const server = await CniServer.listen(socket, (request) => plugin.handle(request));
  t.after(async () => {
    await server.close();
    await network.close();
  });
  const call = (command: string, { id, pod, args = '', ifName = 'eth0', config = {} }: Call) =>
    run(
      socket,
      {
        CNI_COMMAND: command,
        CNI_CONTAINERID: id,
        CNI_NETNS: pod?.path ?? '',
        CNI_IFNAME: ifName,
        CNI_ARGS: args,
        CNI_PATH: '/opt/cni/bin',
      },
      { ...configuration, ...config },
    );
  return { bed, network, pool, socket, server, call, clean: snapshot(bed.node) };
}

/** Links, rules and routes of a node, to compare. */
function snapshot(node: NetNamespace): string[] {
  const links = ip(node, 'link').map(({ ifname }: { ifname: string }) => ifname);
  const entries = [...ip(node, 'rule'), ...ip(node, '-4', 'route', 'show', 'table', 'all')];
  return [...links, ...entries.map((entry) => JSON.stringify(entry))].sort();
}

/** The node is as it was, once the links that are being deleted are gone. */
async function assertClean({
  bed,
  network,
  clean,
}: {
  bed: Testbed;
  network: LinuxNodeNetwork;
  clean: string[];
}) {
  await network.pods.settled();
  assert.deepEqual(snapshot(bed.node), clean);
}

test('ADD, CHECK and DEL of a pod', async (t) => {
  const node = await start(t);
  const { bed, pool, call } = node;
  const pod = bed.makePod();
  const args = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0';
  const added = await call('ADD', { id: 'one', pod, args });
  assert.equal(added.status, 0, added.stdout);
  const [host, inside] = added.json.interfaces;
  assert.equal(host.name, 'eni0d7763386da');
  assert.equal(inside.sandbox, pod.path);
  assert.equal(inside.mac, ip(pod.ns, 'link', 'show', 'dev', 'eth0')[0].address);
  assert.deepEqual(added.json.ips, [{ address: '10.0.1.5/32', gateway: '169.254.1.1', interface: 1 }]);
  assert.deepEqual(pool.assignments()[0]?.metadata, {
    k8sPodNamespace: 'default',
    k8sPodName: 'web-0',
    netns: pod.path,
    netnsInode: `${pod.ns.inode}`,
  });

  const client = udp(t, pod.ns, '10.0.1.5' as Ipv4);
  const server = udp(t, bed.vpc, VPC_HOST);
  assert.equal((await exchange(client, server, VPC_HOST, server.address().port))?.seenBy, '10.0.1.5');

  const prevResult = added.json;
  const checked = await call('CHECK', { id: 'one', pod, args, config: { prevResult } });
  assert.deepEqual([checked.status, checked.stdout], [0, '']);

  for (const again of ['', 'and again']) {
    const deleted = await call('DEL', { id: 'one', pod, args, config: { prevResult } });
    assert.deepEqual([deleted.status, deleted.stdout], [0, ''], again);
  }
  assert.deepEqual(pool.assignments(), []);
  await assertClean(node);
  assert.deepEqual(
    ip(pod.ns, 'link').map(({ ifname }: { ifname: string }) => ifname),
    ['lo'],
  );
});

test('DEL succeeds when the sandbox, the link or both are gone, and without a namespace', async (t) => {
  const node = await start(t);
  const { bed, pool, call } = node;
  for (const id of ['netns-gone', 'link-gone', 'unnamed']) {
    const pod = bed.makePod();
    const { json } = await call('ADD', { id, pod });
    if (id === 'link-gone') ip(bed.node, 'link', 'del', json.interfaces[0].name);
    const path = id === 'netns-gone' ? { path: '/run/netns/gone' } : undefined;
    const deleted = await call('DEL', { id, ...(path && { pod: path }) });
    assert.equal(deleted.status, 0, deleted.stdout);
  }
  assert.equal((await call('DEL', { id: 'never-seen' })).status, 0);
  assert.deepEqual(pool.assignments(), []);
  await assertClean(node);
});

test('a sandbox can be used again right after DEL', async (t) => {
  const { bed, call } = await start(t);
  const pod = bed.makePod();
  for (const id of ['first', 'second', 'third']) {
    assert.equal((await call('ADD', { id, pod })).status, 0);
    assert.equal((await call('DEL', { id, pod })).status, 0);
  }
});

test('a pod that gets a new sandbox keeps its name, and DEL of the old one does not touch the new', async (t) => {
  const { bed, pool, call } = await start(t);
  const args = 'K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0';
  const old = bed.makePod();
  const next = bed.makePod();
  await call('ADD', { id: 'old', pod: old, args });
  const added = await call('ADD', { id: 'next', pod: next, args });
  assert.equal(added.status, 0, added.stdout);
  assert.equal((await call('DEL', { id: 'old', pod: old, args })).status, 0);
  const checked = await call('CHECK', { id: 'next', pod: next, args, config: { prevResult: added.json } });
  assert.equal(checked.status, 0, checked.stdout);
  assert.equal(pool.assignments().length, 1);
});

test('each version of the specification gets its own shape', async (t) => {
  const { bed, call } = await start(t);
  for (const cniVersion of ['0.3.1', '0.4.0', '1.0.0', '1.1.0']) {
    const { json } = await call('ADD', { id: `v${cniVersion}`, pod: bed.makePod(), config: { cniVersion } });
    assert.equal(json.cniVersion, cniVersion);
    assert.equal(json.ips[0].version, cniVersion.startsWith('0') ? '4' : undefined);
    assert.equal(json.interfaces[1].mtu, cniVersion === '1.1.0' ? 9001 : undefined);
  }
});

test('VERSION is answered without the agent', async () => {
  const answer = await run('/nonexistent/enid.sock', { CNI_COMMAND: 'VERSION' }, { cniVersion: '1.0.0' });
  assert.equal(answer.status, 0);
  assert.deepEqual(answer.json, {
    cniVersion: '1.0.0',
    supportedVersions: ['0.3.1', '0.4.0', '1.0.0', '1.1.0'],
  });
});

test('STATUS tells whether a pod can be added', async (t) => {
  const { pool, call } = await start(t);
  assert.deepEqual((await call('STATUS', { id: '' })).stdout, '');
  pool.readiness = { ok: false, reason: 'the first ENI is still being attached' };
  const { status, json } = await call('STATUS', { id: '' });
  assert.deepEqual([status, json.code, json.msg], [1, 50, 'the first ENI is still being attached']);
});

test('GC takes away what the runtime does not know, in its own network only', async (t) => {
  const node = await start(t);
  const { bed, pool, call } = node;
  for (const id of ['keep', 'stale', 'staler']) await call('ADD', { id, pod: bed.makePod() });
  await call('ADD', { id: 'other', pod: bed.makePod(), config: { name: 'other-network' } });
  const valid = [{ containerID: 'keep', ifname: 'eth0' }];
  const collected = await call('GC', { id: '', config: { 'cni.dev/valid-attachments': valid } });
  assert.deepEqual([collected.status, collected.stdout], [0, '']);
  assert.deepEqual(
    pool
      .assignments()
      .map(({ key }) => key.containerId)
      .sort(),
    ['keep', 'other'],
  );
  const refused = await call('GC', { id: '' });
  assert.equal(refused.json.code, 7);
  assert.equal(pool.assignments().length, 2);
  // What cannot be taken away is told, and keeps nothing else from going.
  await call('ADD', { id: 'stuck', pod: bed.makePod() });
  await call('ADD', { id: 'loose', pod: bed.makePod() });
  pool.stuck.add('stuck');
  const partly = await call('GC', { id: '', config: { 'cni.dev/valid-attachments': valid } });
  assert.equal(partly.json.code, 999);
  assert.match(partly.json.msg, /^1 of 2 stale attachments could not be taken away: stuck: disk full/);
  pool.stuck.clear();
  // Both spellings are sent by libcni; older ones send the second alone.
  const everything = await call('GC', { id: '', config: { 'cni.dev/attachments': [] } });
  assert.equal(everything.status, 0);
  await call('DEL', { id: 'other', config: { name: 'other-network' } });
  await assertClean(node);
});

test('CHECK fails with the cause when something is missing or differs', async (t) => {
  const { bed, call } = await start(t);
  const pod = bed.makePod();
  const { json: prevResult } = await call('ADD', { id: 'one', pod });
  const check = (config: object, id = 'one') => call('CHECK', { id, pod, config });
  assert.match((await check({})).json.msg, /prevResult is missing/);
  assert.match((await check({ prevResult }, 'two')).json.msg, /two has no address in the network aws-cni/);
  const lying = { ...prevResult, ips: [{ address: '10.0.1.99/32', interface: 1 }] };
  assert.match(
    (await check({ prevResult: lying })).json.msg,
    /10\.0\.1\.99\/32, but it was assigned 10\.0\.1\.5\/32/,
  );
  ip(bed.node, 'route', 'del', '10.0.1.5');
  const { status, json } = await check({ prevResult });
  assert.deepEqual([status, json.code], [1, 100]);
  assert.match(json.msg, /route 10\.0\.1\.5 dev eni\w+ is missing on the node/);
});

test('a failing ADD gives the cause and leaves nothing behind', async (t) => {
  const node = await start(t, new MemoryPool(1));
  const { bed, pool, call } = node;
  const file = join(directory, 'file');
  writeFileSync(file, '');
  const fifo = join(directory, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const taken = bed.makePod();
  ip(taken.ns, 'link', 'add', 'eth0', 'type', 'bridge');
  const cases: [string, number, RegExp][] = [
    ['/run/netns/gone', 3, /no network namespace at \/run\/netns\/gone/],
    [join(file, 'x'), 3, /no network namespace at/],
    [file, 4, /CNI_NETNS: .*file is no network namespace/],
    [fifo, 4, /CNI_NETNS: .*fifo is no network namespace/],
    [directory, 4, /CNI_NETNS: .* is no network namespace/],
    ['/dev/null', 4, /is no network namespace/],
    ['/proc/self/ns/mnt', 4, /is no network namespace/],
    [`/run/netns/${bed.name}-node`, 4, /is the network namespace of the node itself/],
    [taken.path, 4, /CNI_IFNAME: the interface eth0 already exists/],
  ];
  for (const [path, code, message] of cases) {
    const { status, json } = await call('ADD', { id: 'one', pod: { path } });
    assert.deepEqual([status, json.code], [1, code], JSON.stringify(json));
    assert.match(json.msg, message);
    assert.ok(json.details, 'a way out');
    assert.deepEqual(pool.assignments(), []);
  }
  await assertClean(node);
});

test('wiring that fails halfway is taken back', async (t) => {
  const node = await start(t);
  const { bed, pool, call } = node;
  const pod = bed.makePod();
  const args = 'K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0';
  // The name of the pod's link is taken by something that is no pod's: nothing is made.
  ip(bed.node, 'link', 'add', 'eni0d7763386da', 'type', 'bridge');
  const foreign = await call('ADD', { id: 'one', pod, args });
  assert.equal(foreign.json.code, 999);
  assert.match(foreign.json.msg, /link eni0d7763386da that is no pod's/);
  ip(bed.node, 'link', 'del', 'eni0d7763386da');
  assert.deepEqual(pool.assignments(), []);
  // A route inside the pod that ours collides with: the pair is made by then.
  ip(pod.ns, 'link', 'add', 'br0', 'type', 'bridge');
  ip(pod.ns, 'link', 'set', 'br0', 'up');
  ip(pod.ns, 'route', 'add', 'default', 'dev', 'br0');
  const collided = await call('ADD', { id: 'one', pod, args });
  assert.match(collided.json.msg, /cannot wire the pod with 10\.0\.1\.\d+ of eni-primary: .*default/);
  assert.deepEqual(pool.assignments(), []);
  await assertClean(node);
  assert.deepEqual(
    ip(pod.ns, 'link').map(({ ifname }: { ifname: string }) => ifname),
    ['lo', 'br0'],
  );
});

test('an exhausted pool is told with its reason, and ADD works again after DEL', async (t) => {
  const node = await start(t, new MemoryPool(1));
  const { bed, call } = node;
  const [first, second] = [bed.makePod(), bed.makePod()];
  await call('ADD', { id: 'first', pod: first });
  const { status, json } = await call('ADD', { id: 'second', pod: second });
  assert.deepEqual([status, json.code, json.msg], [1, 11, 'the subnet is full: add a subnet']);
  assert.equal(ip(second.ns, 'link').length, 1, 'nothing is left in the pod');
  await call('DEL', { id: 'first', pod: first });
  assert.equal((await call('ADD', { id: 'second', pod: second })).status, 0);
  await call('DEL', { id: 'second', pod: second });
  await assertClean(node);
});

test('two sandboxes of one pod at the same time do not leave a link of either behind', async (t) => {
  const node = await start(t);
  const { bed, pool, call } = node;
  const args = 'K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0';
  for (let round = 0; round < 5; round++) {
    const sandboxes = ['a', 'b'].map((id) => ({ id: `${id}${round}`, pod: bed.makePod(), args }));
    const added = await Promise.all(sandboxes.map((sandbox) => call('ADD', sandbox)));
    assert.ok(
      added.some(({ status }) => status === 0),
      JSON.stringify(added),
    );
    await Promise.all(sandboxes.map((sandbox) => call('DEL', sandbox)));
  }
  assert.deepEqual(pool.assignments(), []);
  await assertClean(node);
});

test('a second ADD of one attachment is refused and does not hurt the first', async (t) => {
  const { bed, call } = await start(t);
  const pod = bed.makePod();
  const { json: prevResult } = await call('ADD', { id: 'one', pod });
  assert.equal((await call('ADD', { id: 'one', pod })).json.code, 4);
  assert.equal((await call('CHECK', { id: 'one', pod, config: { prevResult } })).status, 0);
});

test('fifty pods at once get fifty addresses, and go at once', async (t) => {
  const node = await start(t);
  const { bed, pool, call } = node;
  const pods = Array.from({ length: 50 }, (_, at) => ({ id: `c${at}`, pod: bed.makePod() }));
  const added = await Promise.all(pods.map((pod) => call('ADD', pod)));
  assert.deepEqual(
    added.map(({ status }) => status),
    pods.map(() => 0),
  );
  assert.equal(new Set(added.map(({ json }) => json.ips[0].address)).size, 50);
  const checked = await Promise.all(
    pods.map((pod, at) => call('CHECK', { ...pod, config: { prevResult: added[at]?.json } })),
  );
  assert.deepEqual(
    checked.map(({ stdout }) => stdout),
    pods.map(() => ''),
  );
  const deleted = await Promise.all(pods.map((pod) => call('DEL', pod)));
  assert.deepEqual(
    deleted.map(({ status }) => status),
    pods.map(() => 0),
  );
  assert.deepEqual(pool.assignments(), []);
  await assertClean(node);
});

test('ADD and DEL of one sandbox at the same time end as if one after the other', async (t) => {
  const node = await start(t);
  const { bed, pool, call } = node;
  const pod = bed.makePod();
  for (let round = 0; round < 5; round++) {
    const calls = ['ADD', 'DEL', 'DEL', 'ADD', 'DEL'].map((command) => call(command, { id: 'one', pod }));
    for (const [at, { status, json }] of (await Promise.all(calls)).entries()) {
      // The order in which five processes arrive is open; a second ADD without a DEL in between is refused.
      assert.ok(status === 0 || /already exists/.test(json.msg), `${at}: ${JSON.stringify(json)}`);
    }
    assert.equal((await call('DEL', { id: 'one', pod })).status, 0);
    assert.deepEqual(pool.assignments(), []);
  }
  await assertClean(node);
});

test('an agent that is not there gives code 11, for STATUS 50, with the cause', async () => {
  const missing = await run(join(directory, 'missing.sock'), { CNI_COMMAND: 'ADD' }, configuration);
  assert.deepEqual([missing.status, missing.json.code, missing.json.cniVersion], [1, 11, '1.1.0']);
  assert.match(missing.json.msg, /not running: its socket does not exist/);
  const status = await run(join(directory, 'missing.sock'), { CNI_COMMAND: 'STATUS' }, configuration);
  assert.equal(status.json.code, 50);
  const quoted = await run(`${directory}/"\\\n.sock`, { CNI_COMMAND: 'DEL' }, configuration);
  assert.match(quoted.json.details, /"\\\n\.sock$/);
  const long = await run(`/${'x'.repeat(200)}`, { CNI_COMMAND: 'DEL' }, configuration);
  assert.match(long.json.msg, /too long/);

  // An agent that dies in the middle of a call, before or within its answer.
  for (const answer of ['', '0', '0{"cniVersion":"1.1', 'x\n']) {
    const path = join(directory, 'dying.sock');
    const dying = createServer({ allowHalfOpen: true }, (socket) => {
      socket.resume().on('end', () => socket.end(answer));
    }).listen(path);
    await once(dying, 'listening');
    const cut = await run(path, { CNI_COMMAND: 'ADD' }, configuration);
    assert.equal(cut.json.code, 11, answer);
    assert.match(cut.json.msg, /ended before it had answered/);
    dying.close();
    await once(dying, 'close');
  }
});

test('errors carry the version asked with, and reach the runtime through the executable', async (t) => {
  const { socket } = await start(t);
  const env = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'one', CNI_NETNS: '/run/netns/x', CNI_IFNAME: 'eth0' };
  const broken = await run(socket, env, '{');
  assert.deepEqual([broken.status, broken.json.code, broken.json.cniVersion], [1, 6, '1.1.0']);
  const old = await run(socket, env, { ...configuration, cniVersion: '0.2.0' });
  assert.deepEqual([old.json.code, old.json.cniVersion], [1, '0.2.0']);
  const unknown = await run(
    socket,
    { ...env, CNI_COMMAND: 'MUL' },
    { ...configuration, cniVersion: '0.4.0' },
  );
  assert.deepEqual([unknown.json.code, unknown.json.cniVersion], [4, '0.4.0']);
  const huge = await run(socket, env, {
    ...configuration,
    name: 'x'.repeat(2 << 20),
    args: { a: 'y'.repeat(2 << 20) },
  });
  assert.equal(huge.json.code, 3);
});

test('the socket is for root alone, in a directory of its own that others may look into', async (t) => {
  const { socket } = await start(t);
  assert.equal(statSync(socket).mode & 0o777, 0o600);
  assert.equal(statSync(join(socket, '..')).mode & 0o777, 0o755);
});

test('a dead socket is replaced; a living one and a file are not', async () => {
  const path = join(directory, 'own', 'enid.sock');
  const handler = async () => undefined;
  const first = await CniServer.listen(path, handler);
  await assert.rejects(CniServer.listen(path, handler), /another agent listens on .*: stop it/);
  chmodSync(join(directory, 'own'), 0o700);
  await first.close();
  assert.ok(!existsSync(path));
  assert.deepEqual(execFileSync('ls', ['-A', join(directory, 'own')], { encoding: 'utf8' }), '');

  // As a killed agent leaves it: a socket file that nobody listens on.
  const program =
    'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))';
  await once(spawn(process.execPath, ['-e', program, path], { stdio: 'ignore' }), 'exit');
  assert.ok(statSync(path).isSocket());
  const second = await CniServer.listen(path, handler);
  assert.equal(
    statSync(join(directory, 'own')).mode & 0o777,
    0o700,
    'a directory that was there is left as it is',
  );
  await second.close();

  writeFileSync(path, 'precious');
  await assert.rejects(CniServer.listen(path, handler), /exists and is no socket: remove it/);
  assert.ok(existsSync(path));
});
