import assert from 'node:assert/strict';
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { after, before, type TestContext, test } from 'node:test';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';
import type { StoredObject } from '../object.ts';
import { History } from '../storage/history.ts';
import { jsonOf } from '../storage/json.ts';
import { streamWatch } from './stream.ts';
import { openWatch } from './watch.fixture.ts';
import { Watch } from './watch.ts';

let server: TestApiServer;
const MAPS = '/api/v1/namespaces/default/configmaps';

before(async () => {
  server = await startTestApiServer({ history: { events: 100, bytes: 4 * 1024 * 1024 } });
});
after(() => server.stop());

const make = (name: string, labels: Record<string, string> = {}, data: Record<string, string> = {}) =>
  server.must(`POST ${MAPS}`, { metadata: { name, labels }, data });
const label = (name: string, labels: Record<string, string | null>) =>
  server.must(
    `PATCH ${MAPS}/${name}`,
    { metadata: { labels } },
    { 'content-type': 'application/merge-patch+json' },
  );

test('who watches a selection is told of what comes to match and ceases to', async (t) => {
  await make('in', { app: 'a' });
  await make('out', { app: 'b' });
  const watch = await openWatch(server, `${MAPS}?labelSelector=app=a`);
  t.after(() => watch.stop());
  assert.deepEqual(await watch.take(1), ['ADDED in']);
  await label('out', { app: 'a' });
  await label('out', { other: 'x' });
  const { metadata } = await label('out', { app: 'c' });
  await label('out', { app: 'd' });
  await server.must(`DELETE ${MAPS}/out`);
  await server.must(`DELETE ${MAPS}/in`);
  assert.deepEqual(await watch.take(2), ['ADDED out', 'MODIFIED out']);
  const left = await watch.next();
  assert.equal(left?.type, 'DELETED');
  assert.equal(left?.object.metadata.labels.app, 'a', 'as it was when it was seen last');
  assert.equal(left?.object.metadata.resourceVersion, metadata.resourceVersion, 'at the version of now');
  assert.deepEqual(await watch.take(1), ['DELETED in']);
});

test('pods of a node, as a kubelet watches them', async (t) => {
  await server.must('POST /api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
  const watch = await openWatch(server, '/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&resourceVersion=0');
  t.after(() => watch.stop());
  const pods = '/api/v1/namespaces/default/pods';
  const spec = { containers: [{ name: 'c', image: 'i' }] };
  for (const [name, node] of [
    ['p1', 'n1'],
    ['p2', 'n2'],
  ]) {
    await server.must(`POST ${pods}`, { metadata: { name }, spec });
    await server.must(`POST ${pods}/${name}/binding`, { target: { kind: 'Node', name: node } });
    await server.must(`DELETE ${pods}/${name}`);
    await server.must(`DELETE ${pods}/${name}?gracePeriodSeconds=0`);
  }
  assert.deepEqual(await watch.take(3), ['ADDED p1', 'MODIFIED p1', 'DELETED p1']);
});

test('initial events end with a marked bookmark, and a bookmark says no more than what was told', async (t) => {
  await make('first');
  const watch = await openWatch(
    server,
    `${MAPS}?sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&fieldSelector=metadata.name=first`,
  );
  t.after(() => watch.stop());
  assert.deepEqual(await watch.take(1), ['ADDED first']);
  const mark = (await watch.next())!;
  assert.equal(mark.type, 'BOOKMARK');
  assert.equal(mark.object.kind, 'ConfigMap');
  assert.equal(mark.object.metadata.annotations['k8s.io/initial-events-end'], 'true');
  const { metadata } = await label('first', { a: 'b' });
  assert.ok(Number(mark.object.metadata.resourceVersion) < Number(metadata.resourceVersion));
  const resumed = await openWatch(server, `${MAPS}?resourceVersion=${mark.object.metadata.resourceVersion}`);
  t.after(() => resumed.stop());
  assert.deepEqual(await resumed.take(1), ['MODIFIED first']);

  const refused = await server.send(`${MAPS}?watch=true&sendInitialEvents=true`);
  assert.equal(refused.code, 422);
  assert.match(refused.body.message, /requires setting resourceVersionMatch to NotOlderThan/);
});

test('a watch ends when its time is over, with a bookmark to go on from', async () => {
  const watch = await openWatch(server, '/api/v1/nodes?timeoutSeconds=1&allowWatchBookmarks=true');
  const mark = await watch.next();
  assert.equal(mark?.type, 'BOOKMARK');
  assert.equal(await watch.next(), undefined);
});

test('what is forgotten is 410, what is to come 504', async () => {
  const { metadata } = await make('changing');
  for (let i = 0; i < 101; i += 1) await label('changing', { i: String(i) });
  const gone = await server.send(`${MAPS}?watch=true&resourceVersion=${metadata.resourceVersion}`);
  assert.equal(gone.code, 410);
  assert.equal(gone.body.reason, 'Expired');
  assert.match(gone.body.message, /^too old resource version: \d+ \(\d+\)$/);
  const list = await server.must(MAPS);
  const early = await server.send(
    `${MAPS}?watch=true&resourceVersion=${Number(list.metadata.resourceVersion) + 10}`,
  );
  assert.equal(early.code, 504);
  assert.equal(early.body.details.causes[0].reason, 'ResourceVersionTooLarge');
  assert.equal(early.headers['retry-after'], '1');
});

test('tables and metadata are watched as such', async (t) => {
  const table = await openWatch(server, `${MAPS}?fieldSelector=metadata.name=tabled`, {
    accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json',
  });
  const partial = await openWatch(server, `${MAPS}?fieldSelector=metadata.name=tabled`, {
    accept: 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io',
  });
  t.after(() => {
    for (const watch of [table, partial]) watch.stop();
  });
  await make('tabled', {}, { a: '1', b: '2' });
  const { object } = (await table.next())!;
  assert.equal(object.kind, 'Table');
  assert.deepEqual(object.rows[0].cells.slice(0, 2), ['tabled', 2]);
  assert.equal(object.rows[0].object.metadata.name, 'tabled');
  const seen = (await partial.next())!.object;
  assert.equal(seen.kind, 'PartialObjectMetadata');
  assert.equal(seen.data, undefined);
});

test('a thousand clients that stop reading are not written to, and are cut off when they have missed too much', async (t) => {
  const history = new History(0, { events: 100, bytes: 1e9 });
  const padding = 'x'.repeat(20_000);
  const change = (revision: number) => {
    const metadata = { name: 'big', uid: 'u', resourceVersion: String(revision) };
    const object: StoredObject = { apiVersion: 'v1', kind: 'Secret', metadata, data: { padding } };
    history.append({ revision, type: 'MODIFIED', key: '/big', object, previous: object, size: 20_000 });
    return new Promise(setImmediate);
  };
  const clients = Array.from({ length: 1000 }, () => {
    const client = stalled(t);
    streamWatch(client, {
      history,
      watch: new Watch(history, [], 0, () => true),
      show: ({ object }) => jsonOf(object),
      bookmark: undefined,
      markInitialEnd: false,
      timeout: 60_000,
    });
    return client;
  });
  for (let revision = 1; revision <= 100; revision += 1) await change(revision);
  const waiting = clients.map(({ writableLength }) => writableLength);
  t.diagnostic(`before each client wait ${Math.max(...waiting)} bytes of 2,000,000`);
  // Something is, as the first writes are not refused.
  assert.ok(Math.min(...waiting) > 0 && Math.max(...waiting) < 200_000);
  assert.ok(
    clients.every(({ destroyed }) => !destroyed),
    'nothing is forgotten yet',
  );
  for (let revision = 101; revision <= 200; revision += 1) await change(revision);
  // As many turns as it takes to tell all of them.
  for (let turns = 0; turns < 1000 && clients.some(({ destroyed }) => !destroyed); turns += 1) {
    await new Promise(setImmediate);
  }
  assert.ok(clients.every(({ destroyed }) => destroyed));
});

/** A response over a connection that takes nothing. */
function stalled(t: TestContext): ServerResponse {
  const response = new ServerResponse({
    method: 'GET',
    httpVersionMajor: 1,
    httpVersionMinor: 1,
  } as IncomingMessage);
  const socket = new Duplex({ read: () => {}, write: () => {} });
  response.assignSocket(socket as Socket);
  // As a server does it.
  socket.once('close', () => response.emit('close'));
  t.after(() => socket.destroy());
  return response;
}

test('a client that stops reading for too long is cut off, and hears why when it comes back', async (t) => {
  const padding = 'x'.repeat(400_000);
  const watch = await openWatch(server, '/api/v1/namespaces/default/secrets');
  t.after(() => watch.stop());
  watch.response.pause();
  const secrets = '/api/v1/namespaces/default/secrets';
  const { metadata } = await server.must(`POST ${secrets}`, { metadata: { name: 'big' } });
  for (let i = 0; i < 60; i += 1) {
    await server.must(`PUT ${secrets}/big`, {
      metadata: { name: 'big' },
      stringData: { padding, i: String(i) },
    });
  }
  const ended = new Promise((resolve) => watch.response.once('close', resolve));
  watch.response.resume();
  await ended;
  const again = await server.send(`${secrets}?watch=true&resourceVersion=${metadata.resourceVersion}`);
  assert.equal(again.code, 410);
});

test('a client that reads slowly misses nothing', async (t) => {
  const maps = '/api/v1/namespaces/kube-public/configmaps';
  const watch = await openWatch(server, maps);
  t.after(() => watch.stop());
  watch.response.pause();
  const names = Array.from({ length: 90 }, (_, i) => `slow-${i}`);
  for (const name of names) {
    await server.must(`POST ${maps}`, { metadata: { name }, data: { padding: 'x'.repeat(30_000) } });
  }
  watch.response.resume();
  assert.deepEqual(
    await watch.take(90),
    names.map((name) => `ADDED ${name}`),
  );
});
