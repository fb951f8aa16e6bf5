/** Amazon's protocol, spoken by a real gRPC client over the socket. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Ipv4Cidr } from '@enid/ip';
import { type Client, credentials, type Metadata, makeClientConstructor, status } from '@grpc/grpc-js';
import { loadProto } from '../../grpc/grpc.ts';
import type { Pods } from '../../network/pods.ts';
import { PolicyUnknownError } from '../../policy/guard.ts';
import { backendSocket, policySocket } from '../../socket-paths.ts';
import { MemoryPool } from '../memory-pool.fixture.ts';
import type { PodIdentity } from '../observer.ts';
import { CniPlugin } from '../plugin.ts';
import { CniBackend } from './backend.ts';
import { CniBackendServer, REFUSAL_TRAILER } from './server.ts';

// biome-ignore lint/suspicious/noExplicitAny: whatever was answered
type Outcome = { reply: any; trailers: Metadata };

async function clientOf(path: string, name: string, file: string): Promise<Client> {
  const service = (await loadProto(import.meta.dirname, file))[name]!;
  return new (makeClientConstructor(service, name))(`unix:${path}`, credentials.createInsecure());
}

function call(client: Client, method: string, request: object): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let trailers: Metadata;
    const options = { deadline: Date.now() + 10_000 };
    // biome-ignore lint/suspicious/noExplicitAny: methods are made from the definition
    const sent = (client as any)[method](request, options, (error: Error | null, reply: object) =>
      error ? reject(error) : setImmediate(() => resolve({ reply, trailers })),
    );
    sent.on('status', (end: { metadata: Metadata }) => {
      trailers = end.metadata;
    });
  });
}

async function start(
  t: TestContext,
  pool = new MemoryPool(),
  policies?: ConstructorParameters<typeof CniBackend>[0]['policies'],
) {
  const directory = mkdtempSync(join(tmpdir(), 'backend-'));
  const told: string[] = [];
  const refused: PodIdentity[] = [];
  const observer = {
    added: ({ address }: { address: string }) => told.push(`+${address}`),
    removed: ({ address }: { address: string }) => told.push(`-${address}`),
    refused: (pod: PodIdentity) => refused.push(pod),
  };
  const warnings: string[] = [];
  const log = { debug() {}, info() {}, warn: (_: object, text: string) => warnings.push(text), error() {} };
  const plugin = new CniPlugin(pool, undefined as unknown as Pods, observer);
  const backend = new CniBackend({
    plugin,
    ready: () => pool.ready(),
    vpcCidrs: async () => ['10.0.0.0/16' as Ipv4Cidr, '100.64.0.0/16' as Ipv4Cidr],
    snat: { externalSnat: false, excludeSnatCidrs: ['192.168.0.0/16' as Ipv4Cidr] },
    networkPolicyMode: '',
    policies,
    log: log as never,
  });
  const path = backendSocket({}, join(directory, 'enid.sock'));
  const server = await CniBackendServer.listen(path, backend, log as never);
  const clients: Client[] = [];
  const open = async (name: string, file: string) => {
    const client = await clientOf(path, name, file);
    clients.push(client);
    return client;
  };
  t.after(async () => {
    for (const client of clients) client.close();
    await server.close();
    rmSync(directory, { recursive: true });
  });
  return { path, server, backend, pool, told, refused, warnings, log, open };
}

const pod = (ContainerID: string) => ({
  ClientVersion: 'v1.23.1',
  K8S_POD_NAME: 'web-0',
  K8S_POD_NAMESPACE: 'shop',
  K8S_POD_INFRA_CONTAINER_ID: ContainerID,
  ContainerID,
  IfName: 'eth0',
  NetworkName: 'aws-cni',
});

test('addresses are handed out and taken back as Amazon does it', async (t) => {
  const { open, pool, told, refused, path } = await start(t, new MemoryPool(6));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const client = await open('rpc.CNIBackend', 'rpc.proto');
  const one = { ...pod('one'), Netns: '/proc/self/ns/net' };
  const { reply } = await call(client, 'AddNetwork', one);
  assert.deepEqual(reply, {
    Success: true,
    IPAddress: [{ IPv4Addr: '10.0.1.5', IPv6Addr: '', DeviceNumber: 0, RouteTableId: 1 }],
    UseExternalSNAT: false,
    VPCv4CIDRs: ['10.0.0.0/16', '100.64.0.0/16', '192.168.0.0/16'],
    VPCv6CIDRs: [],
    PodVlanId: 0,
    PodENIMAC: '',
    PodENISubnetGW: '',
    ParentIfIndex: 0,
    NetworkPolicyMode: '',
  });
  const again = await call(client, 'AddNetwork', one);
  assert.deepEqual(again.reply.IPAddress, reply.IPAddress, 'the same container keeps its address');
  assert.deepEqual(pool.assignments()[0]!.metadata, {
    k8sPodNamespace: 'shop',
    k8sPodName: 'web-0',
    netns: '/proc/self/ns/net',
    netnsInode: `${statSync('/proc/self/ns/net').ino}`,
  });

  // 10.0.1.6 to 9 on the primary ENI, then one of the secondary: its table is 2.
  const rest = await Promise.all(
    ['two', 'three', 'four', 'five', 'six'].map((id) => call(client, 'AddNetwork', pod(id))),
  );
  const six = rest.find(({ reply }) => reply.IPAddress[0].DeviceNumber === 1)!.reply.IPAddress[0];
  assert.deepEqual([six.IPv4Addr, six.RouteTableId], ['10.0.1.51', 2]);
  assert.equal(new Set(pool.assignments().map(({ address }) => address)).size, 6);

  const full = await call(client, 'AddNetwork', pod('seven'));
  assert.deepEqual([full.reply.Success, full.reply.IPAddress], [false, []]);
  assert.deepEqual(full.trailers.get(REFUSAL_TRAILER), ['the subnet is full: add a subnet']);
  assert.deepEqual(
    refused.map(({ metadata }) => metadata),
    [{ k8sPodNamespace: 'shop', k8sPodName: 'web-0' }],
  );

  const del = { ...pod('one'), Reason: 'PodDeleted' };
  const released = await call(client, 'DelNetwork', del);
  assert.deepEqual([released.reply.Success, released.reply.IPAddress], [true, reply.IPAddress]);
  const twice = await call(client, 'DelNetwork', del);
  assert.deepEqual([twice.reply.Success, twice.reply.IPAddress], [true, []]);
  assert.equal((await call(client, 'AddNetwork', pod('seven'))).reply.IPAddress[0].IPv4Addr, '10.0.1.5');
  assert.deepEqual([told[0], told.at(-2), told.at(-1)], ['+10.0.1.5', '-10.0.1.5', '+10.0.1.5']);
});

test('other versions are served and noted once; what cannot be a key, and what fails, is refused', async (t) => {
  const { open, pool, warnings } = await start(t);
  const client = await open('rpc.CNIBackend', 'rpc.proto');
  for (const id of ['one', 'two']) {
    const { reply } = await call(client, 'AddNetwork', { ...pod(id), ClientVersion: 'v1.30.0' });
    assert.equal(reply.Success, true);
  }
  assert.deepEqual(warnings, ['the plugin executable is of v1.30.0; it is served as v1.23 is']);
  const nameless = await call(client, 'AddNetwork', { ...pod('three'), IfName: '' });
  assert.equal(nameless.reply.Success, false);
  pool.stuck.add('one');
  await assert.rejects(
    call(client, 'DelNetwork', pod('one')),
    (error: { code: number; details: string }) =>
      error.code === status.INTERNAL && error.details === 'disk full',
  );
  assert.equal(pool.assignments().length, 2);
});

test('health follows readiness, liveness does not', async (t) => {
  const { open, pool } = await start(t);
  const client = await open('grpc.health.v1.Health', 'health.proto');
  const check = async (service?: string) => (await call(client, 'Check', { service })).reply.status;
  assert.deepEqual([await check(), await check('grpc.health.v1.aws-node')], ['SERVING', 'SERVING']);
  pool.readiness = { ok: false, reason: 'the first ENI is still being attached' };
  assert.deepEqual([await check(), await check('liveness')], ['NOT_SERVING', 'SERVING']);
  await assert.rejects(check('other'), { code: status.NOT_FOUND });
  const config = await open('rpc.ConfigServerBackend', 'rpc.proto');
  assert.equal((await call(config, 'GetNetworkPolicyConfigs', {})).reply.NetworkPolicyMode, '');
});

test("a pod is fenced in when Amazon's plugin has wired it, and the plugin is told so only then", async (t) => {
  const refused = await start(t);
  const without = await refused.open('rpc.NPBackend', 'rpc.proto');
  const named = {
    K8S_POD_NAMESPACE: 'shop',
    K8S_POD_NAME: 'web-0',
    NETWORK_POLICY_MODE: 'strict',
    InterfaceCount: 1,
  };
  const nobody = await call(without, 'EnforceNpToPod', named);
  assert.equal(nobody.reply.Success, false);
  assert.match(String(nobody.trailers.get(REFUSAL_TRAILER)), /ENABLE_NETWORK_POLICY=true/);

  const guarded = Promise.withResolvers<boolean>();
  const asked: string[] = [];
  const guard = {
    guardNamed: (namespace: string, name: string) => {
      asked.push(`${namespace}/${name}`);
      if (name === 'late') throw new PolicyUnknownError('the API server did not tell');
      return name === 'web-0' ? guarded.promise : Promise.resolve(false);
    },
  };
  const { open, log, backend } = await start(t, new MemoryPool(), { mode: 'strict', guard });
  const client = await open('rpc.CNIBackend', 'rpc.proto');
  for (const [method, request] of [
    ['AddNetwork', pod('one')],
    ['DelNetwork', { ...pod('one'), Reason: 'PodDeleted' }],
  ] as const)
    assert.equal((await call(client, method, request)).reply.NetworkPolicyMode, 'strict');

  const directory = mkdtempSync(join(tmpdir(), 'backend-'));
  const path = policySocket({}, join(directory, 'enid.sock'));
  const server = await CniBackendServer.listen(path, backend, log as never, 'ENID_NPA_SOCKET');
  const agent = await clientOf(path, 'rpc.NPBackend', 'rpc.proto');
  t.after(async () => {
    agent.close();
    await server.close();
    rmSync(directory, { recursive: true });
  });
  let isAnswered = false;
  const answer = call(agent, 'EnforceNpToPod', named).finally(() => {
    isAnswered = true;
  });
  while (asked.length === 0) await new Promise(setImmediate);
  assert.equal(isAnswered, false);
  guarded.resolve(true);
  assert.equal((await answer).reply.Success, true);
  const missing = await call(agent, 'EnforceNpToPod', { ...named, K8S_POD_NAME: 'web-1' });
  assert.equal(missing.reply.Success, false);
  assert.deepEqual(missing.trailers.get(REFUSAL_TRAILER), ['the pod shop/web-1 has no link on this node']);
  const late = await call(agent, 'EnforceNpToPod', { ...named, K8S_POD_NAME: 'late' });
  assert.deepEqual(late.trailers.get(REFUSAL_TRAILER), ['the API server did not tell']);
  assert.equal((await call(agent, 'DeletePodNp', named)).reply.Success, true);
  assert.deepEqual(asked, ['shop/web-0', 'shop/web-1', 'shop/late']);
  const health = await open('grpc.health.v1.Health', 'health.proto');
  const { reply } = await call(health, 'Check', { service: 'grpc.health.v1.np-agent' });
  assert.equal(reply.status, 'SERVING');
});

test('two agents do not serve one node, and a stop does not wait for callers that only stay connected', async (t) => {
  const { path, server, backend, log, open } = await start(t);
  await assert.rejects(
    CniBackendServer.listen(path, backend, log as never),
    /another agent listens on .*ipamd.sock: stop it, or set ENID_IPAMD_SOCKET/,
  );
  const client = await open('grpc.health.v1.Health', 'health.proto');
  await call(client, 'Check', {});
  const silent = connect(path);
  await new Promise((resolve) => silent.once('connect', resolve));
  const began = performance.now();
  await server.close();
  assert.ok(performance.now() - began < 5_000);
  assert.equal(statSync(path, { throwIfNoEntry: false }), undefined);
  silent.destroy();
});
