/** The address map of a pool that works, and what an operator does by hand. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { addressAt, parseIpv4, parseIpv4Cidr } from '@enid/ip';
import { addSlots, dropEni, type Pool, prefixSlotOf } from '@enid/ipam';
import { pino } from 'pino';
import { type AddressMap, addressMap } from './address-map.ts';
import { mapOf } from './address-map-source.ts';
import { readConfig } from './config.ts';
import { serveControl } from './control.ts';
import { FakeCloud, IDENTITY } from './pool/fake-cloud.ts';
import { WarmPool } from './pool/warm-pool.ts';
import type { Assignment, SandboxKey } from './seams.ts';
import { controlSocket } from './socket-paths.ts';
import { TestClock } from './test-clock.ts';

const log = pino({ level: 'silent' });
const keyOf = (id: string): SandboxKey => ({ network: 'aws-cni', containerId: id, ifName: 'eth0' });

async function node(t: TestContext, env: NodeJS.ProcessEnv = {}) {
  const clock = new TestClock();
  const cloud = new FakeCloud(clock);
  await clock.advance(2000);
  const session = cloud.session();
  const start = () =>
    WarmPool.start({
      ...{ ec2: session, metadata: session, network: session, store: session, clock, log },
      ...{ random: () => 0.5, identity: IDENTITY, settings: readConfig(env).pool },
    });
  const pool = await start();
  await clock.advance(20_000);
  const gone = new Set<string>();
  const map = mapOf({ node: 'node-1', identity: IDENTITY, metadata: session, ec2: session, pool, clock });
  const folder = mkdtempSync(join(tmpdir(), 'control-'));
  const path = controlSocket({}, join(folder, 'enid.sock'));
  const forgotten: SandboxKey[] = [];
  const server = await serveControl(path, {
    ...{ pool, map, clock, log },
    plugin: {
      isBusy: ({ containerId }) => containerId === 'busy',
      forget: async (key) => {
        forgotten.push(key);
        await pool.release(key);
      },
    },
    runtime: async () => {
      if (gone.has('no runtime')) throw new Error('connection refused');
      return new Set(['known']);
    },
    kernel: (all: readonly Assignment[]) => all.filter(({ key }) => gone.has(key.containerId)),
  });
  t.after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });
  const post = async (what: string, body: object) => {
    const { status, answer } = await new Promise<{ status: number; answer: string }>((resolve, reject) => {
      const call = request({ socketPath: path, method: 'POST', path: `/v1/${what}` }, (response) =>
        text(response).then((answer) => resolve({ status: response.statusCode!, answer }), reject),
      );
      call.once('error', reject).end(JSON.stringify(body));
    });
    return { status, ...JSON.parse(answer) };
  };
  return { clock, cloud, session, pool, start, map, path, post, gone, forgotten };
}

const states = (map: AddressMap) =>
  map.enis.flatMap(({ slots }) =>
    slots.flatMap((slot) => (slot.kind === 'prefix' ? slot.addresses : [slot])).map(({ state }) => state),
  );

test('the map shows every ENI and address with its state', async (t) => {
  const { cloud, pool, map } = await node(t);
  await pool.assign(keyOf('a'), { k8sPodNamespace: 'shop', k8sPodName: 'web' });
  await pool.assign(keyOf('b'), {});
  await pool.release(keyOf('b'));
  const shown = await map();
  assert.deepEqual(
    [shown.node, shown.mode, shown.counts.assigned, shown.counts.cooling],
    ['node-1', 'address', 1, 1],
  );
  const [primary] = shown.enis;
  assert.deepEqual([primary!.id, primary!.device, primary!.state], ['eni-primary', 0, 'in use']);
  assert.equal(primary!.subnet!.free, cloud.subnets.get('subnet-a')!.free);
  assert.deepEqual(states(shown).slice(0, 5), ['assigned', 'cooling', 'warm', 'warm', 'warm']);
  const web = primary!.slots[0]!;
  assert.ok(web.kind === 'address' && web.namespace === 'shop' && web.pod === 'web');
});

test('what an ENI carries that pods get nothing of is shown as foreign, or as not in use', async (t) => {
  const { clock, cloud, pool, map } = await node(t);
  const no_manage = { 'node.k8s.amazonaws.com/no_manage': 'true' };
  const eni = { subnetId: 'subnet-a', description: '', addresses: [parseIpv4('10.0.9.4')] };
  const theirs = { ...eni, id: 'eni-theirs', tags: no_manage, device: 2 };
  cloud.add({ ...theirs, prefixes: [parseIpv4Cidr('10.0.9.16/28')] });
  cloud.add({ ...eni, id: 'eni-ours', addresses: [parseIpv4('10.0.9.5')], tags: {}, device: 3 });
  const of = async (eniId: string) => {
    const { enis } = await map();
    const { state, slots, primary } = enis.find(({ id }) => id === eniId)!;
    return {
      state,
      primary,
      slots: slots.map((slot) => (slot.kind === 'prefix' ? slot.cidr : slot.address)),
    };
  };
  // Metadata has them before EC2 was asked whose they are.
  await clock.advance(1_500);
  assert.deepEqual(await of('eni-ours'), { state: 'not in use', primary: false, slots: ['10.0.9.5'] });
  assert.equal((await of('eni-theirs')).state, 'not in use');
  const before = await map();
  assert.equal(states(before).filter((state) => state === 'not in use').length, 18);
  assert.equal(before.counts.total, pool.view.pool.enis.flatMap(({ slots }) => slots).length);

  await clock.advance(70_000);
  assert.equal((await of('eni-ours')).state, 'in use');
  assert.deepEqual(await of('eni-theirs'), {
    ...{ state: 'foreign', primary: false, slots: ['10.0.9.4', '10.0.9.16/28'] },
  });
  assert.equal(states(await map()).filter((state) => state === 'foreign').length, 17);
});

test('a pod whose ENI is attached but not up keeps its address in the map, and is cut off when it is attached no more', async (t) => {
  const { clock, cloud, pool } = await node(t);
  const { address } = await pool.assign(keyOf('a'), { k8sPodNamespace: 'shop', k8sPodName: 'web' });
  const view = { ...pool.view, pool: dropEni(pool.view.pool, 'eni-primary') };
  const rest = { node: 'n', instanceType: 't3.medium', view, subnets: [], now: clock.now() };
  const { enis, cutOff } = addressMap({ ...rest, shown: cloud.metadata() });
  const [primary] = enis;
  assert.deepEqual([primary!.id, primary!.state, primary!.primary], ['eni-primary', 'not in use', true]);
  const held = primary!.slots.find((slot) => slot.kind === 'address' && slot.address === address)!;
  assert.ok(held.kind === 'address' && held.state === 'assigned' && held.pod === 'web');
  assert.deepEqual(cutOff, []);
  const gone = addressMap({ ...rest, shown: [] });
  assert.deepEqual(
    gone.cutOff.map((each) => [each.address, each.state, each.pod]),
    [[address, 'cut off', 'web']],
  );
});

test('on a node that was switched to prefixes, addresses are warm until the first prefix is there', async (t) => {
  const { pool, map, clock } = await node(t);
  const { view } = pool;
  const shownOf = (switched: Pool) =>
    addressMap({
      ...{ node: 'n', instanceType: 't3.medium', shown: [], subnets: [], now: clock.now() },
      view: { ...view, pool: switched },
    });
  const before: Pool = { ...view.pool, mode: 'prefix' };
  assert.ok(states(shownOf(before)).every((state) => state === 'warm'));
  const after = shownOf(addSlots(before, 'eni-primary', [prefixSlotOf(parseIpv4Cidr('10.0.128.0/28'))]));
  assert.deepEqual([after.counts.warm, after.counts.draining], [16, (await map()).counts.warm]);
  assert.equal(states(after).filter((state) => state === 'warm').length, 16);
});

test('slots that EC2 is being asked for are shown while they are', async (t) => {
  const { clock, pool, map } = await node(t, { WARM_IP_TARGET: '3' });
  const seen = new Set<number>();
  const watch = async () => {
    const { enis, attaching } = await map();
    seen.add(attaching ?? 0);
    for (const eni of enis) seen.add(eni.beingAssigned);
  };
  for (let pod = 0; pod < 4; pod++) await pool.assign(keyOf(`p${pod}`), {});
  for (let turn = 0; turn < 40; turn++) {
    await watch();
    await clock.advance(100);
  }
  assert.ok(
    [...seen].some((count) => count > 0),
    'nothing was ever asked of EC2',
  );
  await clock.advance(20_000);
  assert.ok((await map()).enis.every(({ beingAssigned }) => beingAssigned === 0));
});

test('the socket is for root alone; what is cordoned outlives the agent, and is given out again afterwards', async (t) => {
  const { clock, pool, start, post, path, map } = await node(t);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const { address } = await pool.assign(keyOf('a'), {});
  const free = pool.view.pool.enis[0]!.slots.flatMap((slot) =>
    slot.kind === 'address' ? [slot.address] : [],
  );
  const next = free.find((each) => each !== address)!;
  assert.deepEqual(await post('cordon', { block: next }), {
    ...{ status: 200, block: `${next}/32`, addresses: 1, held: 0 },
  });
  const cordonsHeld = await post('cordon', { block: address });
  assert.deepEqual([cordonsHeld.status, cordonsHeld.held], [200, 1]);
  assert.equal(pool.lookup(keyOf('a'))?.address, address);
  const { address: other } = await pool.assign(keyOf('b'), {});
  assert.notEqual(other, next);
  assert.deepEqual(states(await map()).slice(0, 3), ['assigned', 'cordoned', 'assigned']);
  await pool.stop();
  const later = await start();
  await clock.advance(5000);
  assert.deepEqual(later.view.pool.cordoned, [`${next}/32`, `${address}/32`]);
  await later.stop();
  assert.deepEqual((await post('uncordon', { block: next })).uncordoned, [`${next}/32`]);
  assert.equal((await pool.assign(keyOf('c'), {})).address, next);
  const refused = await post('uncordon', { block: next });
  assert.deepEqual([refused.status, /is not cordoned/.test(refused.error)], [404, true]);
  assert.match((await post('cordon', { block: '192.0.2.0/24' })).error, /no pod address of this node/);
  assert.equal((await post('cordon', { block: 'x' })).status, 400);
});

test('an address is taken only from a sandbox that is gone, unless by force; it rests before the next pod', async (t) => {
  const { pool, post, gone, forgotten } = await node(t);
  const pods = { k8sPodNamespace: 'shop', k8sPodName: 'web' };
  const { address } = await pool.assign(keyOf('a'), pods);
  const { address: known } = await pool.assign(keyOf('known'), {});
  const { address: busy } = await pool.assign(keyOf('busy'), {});
  const refused = await post('release', { block: address });
  assert.equal(refused.status, 409);
  assert.match(
    refused.error,
    /held by shop\/web, and its sandbox is in the kernel: delete the pod; or use --force/,
  );
  for (const id of ['a', 'known', 'busy']) gone.add(id);
  assert.match((await post('release', { block: known })).error, /the container runtime has its sandbox/);
  assert.match((await post('release', { block: busy })).error, /at this moment/);
  gone.add('no runtime');
  assert.match((await post('release', { block: address })).error, /cannot be asked \(connection refused\)/);
  gone.delete('no runtime');
  assert.deepEqual(forgotten, []);
  assert.deepEqual((await post('release', { block: address })).released, [
    { address, namespace: 'shop', pod: 'web', containerId: 'a', wasAlive: false },
  ]);
  assert.deepEqual(forgotten, [keyOf('a')]);
  assert.notEqual((await pool.assign(keyOf('next'), {})).address, address);
  const { released } = await post('release', { block: known, force: true });
  assert.deepEqual([released[0].address, released[0].wasAlive], [known, true]);
  assert.equal(pool.lookup(keyOf('known')), undefined);
  assert.match(
    (await post('release', { block: parseIpv4('192.0.2.1') })).error,
    /no pod address of this node/,
  );
});

/** A node with prefixes, and its first, of which three pods hold addresses. */
async function nodeWithPrefix(t: TestContext) {
  const made = await node(t, { ENABLE_PREFIX_DELEGATION: 'true' });
  const { clock, pool, cloud, gone } = made;
  const pods = ['a', 'b', 'c'];
  for (const pod of pods) await pool.assign(keyOf(pod), { k8sPodNamespace: 'shop', k8sPodName: pod });
  await clock.advance(10_000);
  const prefixes = () => cloud.enis.get('eni-primary')!.prefixes;
  const asked = () => cloud.calls.filter((call) => call === 'AssignPrivateIpAddresses').length;
  const die = (...dead: string[]) => {
    for (const pod of dead) gone.add(pod);
  };
  return { ...made, prefix: prefixes()[0]!, prefixes, asked, die };
}

test('a prefix is released from all of its pods or from none, and goes back to EC2 when it is cordoned and has rested', async (t) => {
  const { clock, pool, map, post, prefix, prefixes, asked, die } = await nodeWithPrefix(t);
  die('b');
  const refused = await post('release', { block: prefix });
  assert.equal(refused.status, 409);
  assert.match(
    refused.error,
    /^\S+ is held by shop\/a, and its sandbox is in the kernel; \S+ is held by shop\/c, and its sandbox is in the kernel: delete the pods; or use --force/,
  );
  assert.equal(pool.assignments().length, 3);

  die('a', 'c');
  await post('cordon', { block: prefix });
  await clock.advance(10_000);
  const taken = await post('release', { block: prefix });
  const names = taken.released.map(({ pod, wasAlive }: { pod: string; wasAlive: boolean }) => [
    pod,
    wasAlive,
  ]);
  assert.deepEqual(names.sort(), [
    ['a', false],
    ['b', false],
    ['c', false],
  ]);
  assert.deepEqual([taken.givenBack, pool.assignments()], [[], []]);
  assert.equal(Date.parse(taken.restsUntil), clock.now() + 30_000);
  const resting = await post('release', { block: prefix });
  assert.equal(resting.status, 409);
  assert.match(resting.error, new RegExp(`rests until ${taken.restsUntil}: release it again then`));

  await clock.advance(30_000);
  assert.ok(prefixes().includes(prefix), 'the pool gave it back by itself');
  const before = asked();
  const { status, givenBack, restsUntil } = await post('release', { block: prefix });
  assert.deepEqual([status, givenBack, restsUntil], [200, [prefix], undefined]);
  assert.ok(!prefixes().includes(prefix));
  // Neither does the pool fetch another in its place, nor what metadata still shows bring it back.
  await clock.advance(200_000);
  assert.equal(asked(), before);
  const { counts, enis } = await map();
  assert.deepEqual([counts.cordoned, counts.warm], [0, 16]);
  assert.ok(enis.every(({ slots }) => slots.every((slot) => slot.kind === 'prefix' && slot.cidr !== prefix)));
});

test('what is free goes back to EC2 by hand only when it is cordoned, and a prefix only as a whole', async (t) => {
  const { pool, post, prefix, prefixes } = await nodeWithPrefix(t);
  const free = prefixes()[1]!;
  const uncordoned = await post('release', { block: free });
  assert.deepEqual([uncordoned.status, prefixes().length], [409, 2]);
  assert.match(uncordoned.error, /the pool counts on it: cordon it first/);
  const part = addressAt(prefix, 9);
  await post('cordon', { block: part });
  const refused = await post('release', { block: part });
  assert.equal(refused.status, 409);
  assert.match(refused.error, new RegExp(`only with all of ${prefix}: cordon and release that`));
  // Of a wide block, what is cordoned and free; what is held is not touched, but with force.
  await post('cordon', { block: free });
  assert.equal((await post('release', { block: '10.0.0.0/16' })).status, 409);
  assert.deepEqual((await post('release', { block: free })).givenBack, [free]);
  assert.equal(pool.assignments().length, 3);
});

test('a free secondary address goes back to EC2; what EC2 does not take is found again, and is cordoned still', async (t) => {
  const { clock, cloud, session, pool, post, map } = await node(t, { WARM_IP_TARGET: '2' });
  const carried = () => cloud.enis.get('eni-primary')!.addresses;
  const [first] = carried();
  await post('cordon', { block: first! });
  await clock.advance(10_000);
  assert.equal(carried().length, 3, 'another was fetched in its place');
  session.grant = () => 0;
  const failed = await post('release', { block: first! });
  assert.equal(failed.status, 500);
  await clock.advance(200_000);
  assert.ok(carried().includes(first!));
  assert.equal((await map()).counts.cordoned, 1);
  session.grant = (count) => count;
  assert.deepEqual((await post('release', { block: first! })).givenBack, [first]);
  await clock.advance(200_000);
  assert.deepEqual(
    [carried().length, carried().includes(first!), pool.view.pool.cordoned],
    [2, false, [`${first}/32`]],
  );
});

test('where others provide addresses, none is given back', async (t) => {
  const { post, pool } = await node(t, { DISABLE_NETWORK_RESOURCE_PROVISIONING: 'true' });
  assert.equal(pool.view.pool.enis[0]!.slots.length, 0);
  await assert.rejects(
    pool.giveBack([parseIpv4('10.0.0.9')]),
    /DISABLE_NETWORK_RESOURCE_PROVISIONING leaves/,
  );
  assert.equal((await post('release', { block: '10.0.0.9' })).status, 404);
});
