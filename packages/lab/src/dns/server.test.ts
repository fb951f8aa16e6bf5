import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { Resolver as DnsClient } from 'node:dns/promises';
import { connect } from 'node:net';
import { suite, type TestContext, test } from 'node:test';
import { type Answer, decode, encode, type Packet, TRUNCATED_RESPONSE } from 'dns-packet';
import { until } from '../base/until.ts';
import { endpointSlice, namespace, service, TestApi } from './cluster.fixture.ts';
import { ClusterWatch } from './cluster.ts';
import { Forwarder, MessageReader, withLength } from './forward.ts';
import { DnsMetrics } from './metrics.ts';
import { Resolver } from './resolver.ts';
import { DnsServer } from './server.ts';

const SERVICES = '/api/v1/services';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
const NAMESPACES = '/api/v1/namespaces';
const HOST = '127.0.0.1';

/** Another DNS server, which counts what it is asked; `big.example` has more than UDP can carry. */
async function upstream(t: TestContext): Promise<{ port: number; asked: string[] }> {
  const asked: string[] = [];
  const reply = (query: Buffer, proto: string): Buffer => {
    const { id, questions } = decode(query);
    const { name, type } = questions![0]!;
    asked.push(`${proto} ${name} ${type}`);
    const addresses = name.toLowerCase() === 'big.example' ? 100 : 1;
    const answers: Answer[] = Array.from({ length: addresses }, (_, index) => ({
      type: 'A',
      name,
      ttl: 60,
      data: `192.0.2.${index + 1}`,
    }));
    const known = type === 'A' && name !== 'none.example';
    const full = encode({
      type: 'response',
      id,
      flags: known ? 0 : 3,
      questions,
      answers: known ? answers : [],
    });
    if (proto === 'tcp' || full.length <= 512) return full;
    return encode({ type: 'response', id, flags: TRUNCATED_RESPONSE, questions });
  };
  const server = new DnsServer({
    respond: async (query: Buffer, proto: string) => reply(query, proto),
  } as unknown as Resolver);
  t.after(() => server[Symbol.asyncDispose]());
  return { port: await server.listen(0, HOST), asked };
}

/** The whole server on loopback, between an API server and another DNS server. */
async function start(t: TestContext) {
  const api = new TestApi();
  api.put(NAMESPACES, namespace('shop'));
  api.put(SERVICES, service('web', '10.100.0.7'));
  api.put(SERVICES, service('elsewhere', '', { type: 'ExternalName', externalName: 'www.example' }));
  const cluster = new ClusterWatch({ server: await api.listen() });
  const other = await upstream(t);
  const metrics = new DnsMetrics();
  const forwarder = new Forwarder(
    [
      { address: HOST, port: 1 },
      { address: HOST, port: other.port },
    ],
    1_000,
  );
  const resolver = new Resolver({
    zone: { name: 'cluster.local', ttl: 5 },
    records: cluster.records,
    forwarder,
    metrics,
  });
  const server = new DnsServer(resolver);
  const port = await server.listen(0, HOST);
  const ended = new AbortController();
  const watching = cluster.run(ended.signal);
  t.after(async () => {
    ended.abort();
    await watching;
    await server[Symbol.asyncDispose]();
    await api[Symbol.asyncDispose]();
  });
  const client = new DnsClient({ timeout: 2_000, tries: 1 });
  client.setServers([`${HOST}:${port}`]);
  const synced = () => until(() => cluster.records(), Boolean, 'the cluster to be known');
  return { api, cluster, other, metrics, port, client, synced };
}

async function askUdp(port: number, packet: Packet): Promise<Packet> {
  const socket = createSocket('udp4');
  try {
    return await new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('message', (message) => resolve(decode(message)));
      socket.send(encode({ type: 'query', id: 7, flags: 0x100, ...packet }), port, HOST);
    });
  } finally {
    socket.close();
  }
}

const manyPods = Array.from({ length: 60 }, (_, index) => ({ addresses: [`10.0.2.${index + 1}`] }));
const edns = (udpPayloadSize: number): Answer => ({
  type: 'OPT',
  name: '.',
  udpPayloadSize,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
});
const db = [{ type: 'A', name: 'db.shop.svc.cluster.local', class: 'IN' }] as const;

suite('the DNS server', { timeout: 20_000 }, () => {
  test('follows the cluster, also over an interruption that no watch tells of', async (t) => {
    const { api, client, synced } = await start(t);
    await synced();
    assert.deepEqual(await client.resolve4('web.shop.svc.cluster.local', { ttl: true }), [
      { address: '10.100.0.7', ttl: 5 },
    ]);
    api.put(SERVICES, service('web', '10.100.0.70'));
    const resolve = () => client.resolve4('web.shop.svc.cluster.local').catch((error) => error.code);
    await until(resolve, (found) => `${found}` === '10.100.0.70', 'the change');
    api.interrupt();
    api.put(SERVICES, service('web', '10.100.0.71'));
    api.put(SERVICES, service('late', '10.100.0.99'));
    await until(resolve, (found) => `${found}` === '10.100.0.71', 'the change that was missed');
    api.delete(SERVICES, 'web');
    await until(resolve, (found) => found === 'ENOTFOUND', 'the name to be gone');
    assert.deepEqual(await client.resolve4('late.shop.svc.cluster.local'), ['10.100.0.99']);
  });

  test('cuts what UDP has no room for, and tells all of it by TCP or to who has room', async (t) => {
    const { api, client, port, synced } = await start(t);
    api.put(SERVICES, service('db', 'None'));
    api.put(SLICES, endpointSlice('db', manyPods));
    await synced();
    // c-ares asks again by TCP.
    assert.equal((await client.resolve4(db[0].name)).length, 60);
    const plain = await askUdp(port, { questions: [...db] });
    assert.equal(plain.flags! & TRUNCATED_RESPONSE, TRUNCATED_RESPONSE);
    assert.ok(plain.answers!.length > 0 && plain.answers!.length < 60);
    assert.deepEqual(plain.additionals, []);
    const roomy = await askUdp(port, { questions: [...db], additionals: [edns(4096)] });
    assert.equal(roomy.flags! & TRUNCATED_RESPONSE, 0);
    assert.equal(roomy.answers!.length, 60);
    assert.equal(roomy.additionals![0]?.type, 'OPT');
    const order = async () =>
      (await askUdp(port, { questions: [...db], additionals: [edns(4096)] })).answers![0];
    assert.notDeepEqual(await order(), await order());
  });

  test('asks others about other names, once while the answer holds, by TCP when it is long', async (t) => {
    const { client, other, port, metrics, synced } = await start(t);
    await synced();
    assert.deepEqual(await client.resolve4('www.example'), ['192.0.2.1']);
    const again = await askUdp(port, { questions: [{ type: 'A', name: 'WwW.Example', class: 'IN' }] });
    assert.equal(again.questions![0]!.name, 'WwW.Example');
    const ttl = again.answers![0]!.type === 'A' && again.answers![0]!.ttl;
    assert.ok(ttl === 60 || ttl === 59);
    assert.deepEqual(other.asked, ['udp www.example A']);
    assert.equal((await client.resolve4('big.example')).length, 100);
    assert.ok(other.asked.includes('tcp big.example A'));
    await assert.rejects(client.resolve4('none.example'), { code: 'ENOTFOUND' });
    assert.deepEqual(await client.resolve4('elsewhere.shop.svc.cluster.local'), ['192.0.2.1']);
    assert.match(metrics.render(), /coredns_dns_requests_total\{.*proto="udp".*type="A"\} \d/);
    assert.match(metrics.render(), /coredns_cache_hits_total\{.*\} 3\n/);
    assert.match(
      metrics.render(),
      new RegExp(`coredns_forward_requests_total\\{to="127.0.0.1:${other.port}"\\} 3`),
    );
  });

  test('does not know the cluster before it has read it, and says so', async (t) => {
    const forwarder = new Forwarder([], 100);
    const resolver = new Resolver({
      zone: { name: 'cluster.local', ttl: 5 },
      records: () => undefined,
      forwarder,
      metrics: new DnsMetrics(),
    });
    const server = new DnsServer(resolver);
    t.after(() => server[Symbol.asyncDispose]());
    const port = await server.listen(0, HOST);
    const SERVFAIL = 2;
    for (const name of ['web.shop.svc.cluster.local', 'www.example']) {
      const { flags } = await askUdp(port, { questions: [{ type: 'A', name, class: 'IN' }] });
      assert.equal(flags! & 0xf, SERVFAIL);
    }
  });

  test('answers nonsense with an error or not at all, and goes on', async (t) => {
    const { port, client, synced } = await start(t);
    await synced();
    const rcode = async (packet: Packet) => (await askUdp(port, packet)).flags! & 0xf;
    assert.equal(await rcode({ questions: [] }), 1);
    assert.equal(await rcode({ questions: [{ type: 'TXT', name: 'version.bind', class: 'CH' }] }), 5);
    assert.equal(await rcode({ flags: 0x2800, questions: [...db] }), 4);
    const socket = createSocket('udp4');
    t.after(() => socket.close());
    for (let length = 0; length < 40; length++)
      socket.send(Buffer.alloc(length, length % 3 === 0 ? 0xff : 0x01), port, HOST);
    const stream = connect(port, HOST);
    stream.on('error', () => {});
    stream.write(withLength(Buffer.alloc(30, 0x41)));
    assert.deepEqual(await client.resolve4('web.shop.svc.cluster.local'), ['10.100.0.7']);
    stream.destroy();
  });

  test('serves many questions of one connection', async (t) => {
    const { port, synced } = await start(t);
    await synced();
    const stream = connect(port, HOST);
    t.after(() => stream.destroy());
    const ids = new Set<number>();
    await new Promise<void>((resolve) => {
      const reader = new MessageReader((message) => {
        ids.add(decode(message).id!);
        if (ids.size === 50) resolve();
      });
      stream.on('data', (chunk) => reader.add(chunk));
      const question = { type: 'A', name: 'web.shop.svc.cluster.local', class: 'IN' } as const;
      const messages = Array.from({ length: 50 }, (_, id) =>
        withLength(encode({ type: 'query', id, flags: 0x100, questions: [question] })),
      );
      stream.write(Buffer.concat(messages));
    });
    assert.equal(ids.size, 50);
  });
});
