/**
 * What Kubernetes' own JavaScript client makes of the server's watches, while objects change, connections break, clients
 * fall behind further than the server remembers, and the server is started anew. ENID_CHURN_SECONDS=600 makes it last.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KubeConfig, type V1ConfigMap } from '@kubernetes/client-node';
import { startTestApiServer, type TestApiServer } from './apiserver.fixture.ts';
import { type Change, compare, type Follower, follow } from './informers.fixture.ts';
import { HISTORY_LIMITS } from './storage/history.ts';
import { openWire, type Wire } from './wire.fixture.ts';

const SECONDS = Number(process.env.ENID_CHURN_SECONDS ?? 6);
const OBJECTS = 500;
/** How long the client waits at most before it connects again (`ListWatch.MAX_RECONNECT_DELAY_MS`), and time to catch up. */
const PATIENCE = 30_000 + 10_000;
const MAPS = '/api/v1/namespaces/default/configmaps';
/** What is remembered at least: after a start the changes of one whole journal, which is this long. */
const KEPT = { events: HISTORY_LIMITS.events, bytes: 8 * 1024 * 1024 };
/** Of an object whose changes are more than a stalled connection and the server's memory hold, in characters. */
const LONG = 30_000;

let server: TestApiServer;
let wire: Wire;
let kubeConfig: KubeConfig;

before(async () => {
  server = await startTestApiServer();
  wire = await openWire(Number(new URL(server.url).port));
  kubeConfig = new KubeConfig();
  kubeConfig.loadFromString(server.kubeConfig.exportConfig());
  kubeConfig.clusters = kubeConfig.clusters.map((cluster) => ({
    ...cluster,
    server: `https://127.0.0.1:${wire.port}`,
  }));
});
after(async () => {
  wire.close();
  await server.stop();
});

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

/** Objects that are made, changed and deleted, with an account of it. */
class Churn {
  readonly changes = new Map<string, Change[]>();
  readonly count = { created: 0, updated: 0, deleted: 0 };
  readonly #below: (below: number) => number;

  constructor(below: (below: number) => number) {
    this.#below = below;
  }

  get total(): number {
    const { created, updated, deleted } = this.count;
    return created + updated + deleted;
  }

  async fill(): Promise<void> {
    for (let i = 0; i < OBJECTS; i += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, j) => this.#step(`object-${i + j}`, 0)));
    }
  }

  /** Some changes at once, of as many objects, so that those of each have an order. @param padding of each object. */
  async round(padding = 0): Promise<void> {
    const first = this.#below(OBJECTS);
    const names = Array.from({ length: 40 }, (_, i) => `object-${(first + i * 7) % OBJECTS}`);
    await Promise.all([...new Set(names)].map((name) => this.#step(name, padding)));
  }

  /** More changes than the server remembers. */
  async flood(padding = 0): Promise<void> {
    for (const end = this.total + HISTORY_LIMITS.events; this.total <= end; ) await this.round(padding);
  }

  async #step(name: string, padding: number): Promise<void> {
    const changes = this.changes.get(name) ?? [];
    this.changes.set(name, changes);
    const isThere = changes.at(-1)?.version !== undefined;
    const labels = { color: this.#below(2) === 0 ? 'red' : 'blue' };
    if (isThere && this.#below(4) === 0) {
      await server.must(`DELETE ${MAPS}/${name}`);
      changes.push({ version: undefined, labels: {}, size: 0 });
      this.count.deleted += 1;
      return;
    }
    const data = { n: String(this.#below(1e9)), padding: 'x'.repeat(padding) };
    const body = { metadata: { name, labels }, data };
    const stored: V1ConfigMap = await server.must(isThere ? `PUT ${MAPS}/${name}` : `POST ${MAPS}`, body);
    const version = Number(stored.metadata!.resourceVersion);
    changes.push({ version, labels, size: JSON.stringify(stored).length });
    this.count[isThere ? 'updated' : 'created'] += 1;
  }
}

test('the account of an informer finds what is missed, doubled, wrong, and forgotten too early', () => {
  const change = (version: number | undefined, color: string): Change => ({
    version,
    labels: { color },
    size: 1,
  });
  const changes = new Map([
    ['a', [change(1, 'red'), change(2, 'blue'), change(undefined, ''), change(5, 'red')]],
    ['b', [change(3, 'red'), change(9, 'red')]],
  ]);
  const told = (text: string) => {
    const [verb, name, version] = text.split(' ') as ['add' | 'update' | 'delete', string, string];
    return { verb, name, version: Number(version) };
  };
  const list = (revision: number, versions: Record<string, number>) => ({
    revision,
    versions: new Map(Object.entries(versions)),
  });
  const wrong = (
    log: (string | ReturnType<typeof list>)[],
    selects: (labels: Change['labels']) => boolean = () => true,
    kept = { events: 2, bytes: 1e9 },
  ) =>
    compare(
      { log: log.map((entry) => (typeof entry === 'string' ? told(entry) : entry)) },
      changes,
      selects,
      kept,
    );
  const begin = [list(2, { a: 2 }), 'add a 2'];
  const rest = ['add b 3', 'delete a 4', 'add a 5', 'update b 9'];
  assert.deepEqual(wrong([...begin, ...rest]), []);
  assert.deepEqual(wrong([...begin, list(5, { a: 5, b: 3 }), 'update a 5', 'add b 3', 'update b 9']), []);
  const isRed = ({ color }: Change['labels']) => color === 'red';
  const red = ['add a 1', 'delete a 2', 'add b 3', 'add a 5', 'update b 9'];
  assert.deepEqual(wrong([list(1, { a: 1 }), ...red], isRed), []);

  for (const i of rest.keys()) {
    assert.notDeepEqual(wrong([...begin, ...rest.toSpliced(i, 1)]), [], `missed ${rest[i]}`);
    assert.notDeepEqual(wrong([...begin, ...rest.toSpliced(i, 0, rest[i]!)]), [], `doubled ${rest[i]}`);
  }
  assert.notDeepEqual(wrong([...begin, ...rest.toSpliced(0, 1, 'add b 9')]), [], 'another version');
  assert.notDeepEqual(
    wrong([...begin, list(5, { a: 5, b: 3 }), 'update a 5', 'update b 9']),
    [],
    'untold by a list',
  );
  assert.notDeepEqual(wrong([...begin, list(5, { a: 5 }), 'update a 5', 'update b 9']), [], 'not in a list');
  const early = wrong([...begin, list(9, { a: 5, b: 9 }), 'update a 5', 'add b 9'], undefined, {
    events: 7,
    bytes: 4,
  });
  assert.deepEqual(early, ['7 changes of 3 bytes after 2 were forgotten already']);
});

test('an informer is told of each change once, whatever breaks meanwhile', async (t) => {
  const below = random(7);
  const churn = new Churn(below);
  await churn.fill();
  const all = follow(kubeConfig, MAPS);
  const red = follow(kubeConfig, MAPS, 'color=red');
  const followers = [all, red];
  await Promise.all(followers.map(({ informer }) => informer.start()));
  t.after(() => Promise.all(followers.map((follower) => follower.stop())));

  const breaks = { cut: 0, severed: 0, restarted: 0, stalled: 0 };
  const ways: (() => Promise<void>)[] = [
    async () => {
      breaks.cut += wire.cut();
    },
    async () => {
      wire.sever();
      await churn.flood();
      wire.mend();
      breaks.severed += 1;
    },
    async () => {
      await server.restart();
      breaks.restarted += 1;
    },
    async () => {
      wire.stall();
      await churn.flood(LONG);
      wire.mend();
      breaks.stalled += 1;
    },
  ];
  const end = Date.now() + SECONDS * 1000;
  // What has heard nothing since the last time waits ever longer before it connects again: it is not broken off once more.
  let heard = followers.map(() => 0);
  let next = Date.now() + 300 + below(500);
  for (let i = 0; Date.now() < end || i < ways.length; ) {
    const round = churn.round();
    if (Date.now() > next && followers.every((follower, j) => follower.heard() > heard[j]!)) {
      // Connections break in the middle of changes. The server is not stopped there: what it has not answered is unknown.
      if (i % ways.length > 0) await round;
      await ways[i % ways.length]!();
      i += 1;
      heard = followers.map((follower) => follower.heard());
      next = Date.now() + 300 + below(500);
    }
    await round;
  }

  const list: { items: V1ConfigMap[] } = await server.must(MAPS);
  const state = (items: readonly V1ConfigMap[]) =>
    items.map(({ metadata }) => `${metadata!.name} ${metadata!.resourceVersion}`).sort();
  const isRed = (labels: Readonly<Record<string, string>>) => labels.color === 'red';
  const expected = [
    state(list.items),
    state(list.items.filter(({ metadata }) => isRed(metadata!.labels ?? {}))),
  ];
  const isThere = () =>
    followers.every(({ informer }, i) => state(informer.list()).join() === expected[i]!.join());
  for (const limit = Date.now() + PATIENCE; !isThere() && Date.now() < limit; ) await sleep(20);
  for (const [i, { informer }] of followers.entries()) assert.deepEqual(state(informer.list()), expected[i]);

  const sum = (of: (follower: Follower) => number) => followers.reduce((total, each) => total + of(each), 0);
  const told = { told: sum(({ heard }) => heard()), begunAnew: sum(({ restarted }) => restarted()) };
  t.diagnostic(
    JSON.stringify({ ...churn.count, ...breaks, ...told, listedAnew: sum(({ listed }) => listed() - 1) }),
  );
  assert.ok(
    Object.values(breaks).every((times) => times > 0),
    'everything broke meanwhile',
  );
  assert.deepEqual(
    compare(all, churn.changes, () => true, KEPT),
    [],
  );
  assert.deepEqual(compare(red, churn.changes, isRed, KEPT), []);
  // How long a connection is stalled before its client gives it up by itself is not for the test to say.
  const relisted = followers.map(({ listed }) => listed() - 1);
  assert.ok(
    relisted.every((times) => times >= breaks.severed) && Math.max(...relisted) > breaks.severed,
    'who had missed what the server forgets has listed anew, by whichever way',
  );
});
