/**
 * What Kubernetes' own JavaScript client makes of the server's watches, while objects change, connections break and the
 * server is started anew. ENID_CHURN_SECONDS=600 makes it last.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTo, createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CoreV1Api, KubeConfig, makeInformer, type V1ConfigMap } from '@kubernetes/client-node';
import { startTestApiServer, type TestApiServer } from './apiserver.fixture.ts';

const SECONDS = Number(process.env.ENID_CHURN_SECONDS ?? 6);
const OBJECTS = 500;
/** How long the client waits at most before it connects again (`ListWatch.MAX_RECONNECT_DELAY_MS`), and time to catch up. */
const PATIENCE = 30_000 + 10_000;
const MAPS = '/api/v1/namespaces/default/configmaps';

let server: TestApiServer;
let wire: Wire;

before(async () => {
  server = await startTestApiServer({ history: { events: 100_000, bytes: 1e9 } });
  wire = await openWire(Number(new URL(server.url).port));
});
after(async () => {
  wire.close();
  await server.stop();
});

type Wire = { readonly port: number; cut(): number; close(): void };

/** A connection to a port that can be cut. */
async function openWire(port: number): Promise<Wire> {
  const sockets = new Set<Socket>();
  const listener = createServer((near) => {
    const far = connectTo(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.pipe(to);
      from.on('error', () => {});
      from.once('close', () => to.destroy());
    }
    sockets.add(near);
    near.once('close', () => sockets.delete(near));
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const cut = () => {
    const { size } = sockets;
    for (const socket of sockets) socket.destroy();
    return size;
  };
  const close = () => {
    listener.close();
    cut();
  };
  return { port: (listener.address() as { port: number }).port, cut, close };
}

/** Draws the same numbers each time (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** An informer that keeps account of what it was told. */
function follow(labelSelector?: string) {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromString(server.kubeConfig.exportConfig());
  kubeConfig.clusters = kubeConfig.clusters.map((cluster) => ({
    ...cluster,
    server: `https://127.0.0.1:${wire.port}`,
  }));
  const client = kubeConfig.makeApiClient(CoreV1Api);
  const list = () =>
    client.listNamespacedConfigMap({ namespace: 'default', ...(labelSelector && { labelSelector }) });
  const informer = makeInformer(kubeConfig, MAPS, list, labelSelector);
  /** By name, the versions in the order in which they were told. */
  const told = new Map<string, string[]>();
  const present = new Set<string>();
  const wrong: string[] = [];
  let heard = 0;
  let deleted = 0;
  let reconnected = 0;
  const note = ({ metadata }: V1ConfigMap, what: string) => {
    const { name, resourceVersion } = metadata as { name: string; resourceVersion: string };
    const versions = told.get(name) ?? [];
    told.set(name, versions);
    const last = versions.at(-1);
    if (last !== undefined && Number(resourceVersion) <= Number(last)) {
      wrong.push(`${name}: ${what} ${resourceVersion} after ${last}`);
    }
    versions.push(resourceVersion);
    heard += 1;
    return name;
  };
  informer.on('add', (object) => {
    const name = note(object, 'add');
    if (present.has(name)) wrong.push(`${name} was added twice`);
    present.add(name);
  });
  informer.on('update', (object) => {
    if (!present.has(note(object, 'update'))) wrong.push(`${object.metadata?.name} was unknown`);
  });
  informer.on('delete', (object) => {
    deleted += 1;
    if (!present.delete(note(object, 'delete'))) wrong.push(`${object.metadata?.name} was deleted twice`);
  });
  let stopped = false;
  informer.on('error', () => {
    reconnected += 1;
    if (!stopped) setTimeout(() => informer.start(), 20);
  });
  return {
    informer,
    told,
    wrong,
    heard: () => heard,
    deleted: () => deleted,
    reconnected: () => reconnected,
    stop: () => {
      stopped = true;
      return informer.stop();
    },
  };
}

test('an informer is told of each change once, whatever breaks meanwhile', async (t) => {
  const below = random(7);
  const versions: string[] = [];
  const red = new Set<string>();
  const exists = new Set<string>();
  const count = { created: 0, updated: 0, deleted: 0, cut: 0, restarted: 0 };

  const step = async (name: string) => {
    const color = below(2) === 0 ? 'red' : 'blue';
    const body = { metadata: { name, labels: { color } }, data: { n: String(below(1e9)) } };
    if (!exists.has(name)) {
      exists.add(name);
      versions.push((await server.must(`POST ${MAPS}`, body)).metadata.resourceVersion);
      count.created += 1;
    } else if (below(4) === 0) {
      exists.delete(name);
      red.delete(name);
      await server.must(`DELETE ${MAPS}/${name}`);
      count.deleted += 1;
      return;
    } else {
      versions.push((await server.must(`PUT ${MAPS}/${name}`, body)).metadata.resourceVersion);
      count.updated += 1;
    }
    if (color === 'red') red.add(name);
    else red.delete(name);
  };

  for (let i = 0; i < OBJECTS; i += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, j) => step(`object-${i + j}`)));
  }
  // What is there before they begin is told by their first list.
  versions.length = 0;
  count.deleted = 0;
  const all = follow();
  const some = follow('color=red');
  await Promise.all([all.informer.start(), some.informer.start()]);
  t.after(() => Promise.all([all.stop(), some.stop()]));

  const end = Date.now() + SECONDS * 1000;
  let next = Date.now() + 300 + below(500);
  // What has heard nothing since the last time waits ever longer before it connects again: it is not broken off once more.
  let before = [0, 0];
  const heard = () => [all.heard(), some.heard()];
  for (let breaks = 0; Date.now() < end || count.restarted === 0; ) {
    // Each object once, so that its changes have an order.
    const first = below(OBJECTS);
    const names = Array.from({ length: 40 }, (_, i) => `object-${(first + i * 7) % OBJECTS}`);
    const changes = Promise.all([...new Set(names)].map(step));
    if (Date.now() > next && heard().every((count, i) => count > before[i]!)) {
      next = Date.now() + 300 + below(500);
      breaks += 1;
      if (breaks % 3 > 0) count.cut += wire.cut();
      else {
        await changes;
        await server.restart();
        count.restarted += 1;
      }
      before = heard();
    }
    await changes;
  }

  const list: { items: V1ConfigMap[] } = await server.must(MAPS);
  const state = (items: readonly V1ConfigMap[]) =>
    items.map(({ metadata }) => `${metadata!.name} ${metadata!.resourceVersion}`).sort();
  const [expected, expectedRed] = [
    state(list.items),
    state(list.items.filter(({ metadata }) => metadata!.labels!.color === 'red')),
  ];
  const isThere = () =>
    state(all.informer.list()).join() === expected.join() &&
    state(some.informer.list()).join() === expectedRed.join();
  for (const limit = Date.now() + PATIENCE; !isThere() && Date.now() < limit; ) await sleep(20);
  assert.deepEqual(state(all.informer.list()), expected);
  assert.deepEqual(state(some.informer.list()), expectedRed);

  t.diagnostic(JSON.stringify({ ...count, reconnected: all.reconnected() + some.reconnected() }));
  assert.ok(count.cut > 0 && count.restarted > 0, 'something broke meanwhile');
  assert.deepEqual([...all.wrong, ...some.wrong], []);
  const known = new Set([...all.told.values()].flat());
  assert.deepEqual(
    versions.filter((version) => !known.has(version)),
    [],
    'each change was told',
  );
  assert.equal(all.deleted(), count.deleted, 'each deletion, too, and none twice');
});
