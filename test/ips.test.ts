/** The address map of a node as an operator sees it, follows it, and takes it in hand. */
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { DescribeNetworkInterfacesCommand, type EC2Client } from '@aws-sdk/client-ec2';
import type { AddressMap } from '@enid/agent';
import { cidrOf, contains, type Ipv4, parseIpv4Cidr } from '@enid/ip';
import type { List, Pod } from '@enid/kube';
import { until } from '../packages/lab/src/base/until.ts';
import { ec2Client } from '../packages/lab/src/lab/ec2.ts';
import { labUp, run, start, tracesOf } from './enid.ts';
import { GIVEN } from './given.ts';
import { type Station, Stations } from './stations.ts';

const NAME = 'ipstest';
const NAMESPACE = NAME;
/** How often a pool is looked at, in milliseconds. */
const POOL_CHECK = 5_000;

let stations: Stations;
/** Of the lab. */
let ec2: EC2Client | undefined;
let nodes: string[];
let node: string;
/** The agent's pod there. */
let agent: Pod;
/** The node itself. */
let host: Station;

before(async () => {
  if (!GIVEN) {
    const lab = await labUp(NAME, '--nodes', '1', '--set', 'ENABLE_PREFIX_DELEGATION=true');
    process.env.KUBECONFIG = lab.kubernetes!.kubeconfig;
    ec2 = ec2Client({ ec2Endpoint: lab.ec2Endpoint!, region: 'us-east-1' });
  }
  stations = new Stations(process.env.KUBECONFIG!);
  [node] = (await stations.nodes(1)) as [string];
  const agents = await stations.client.get<List<Pod>>('/api/v1/namespaces/kube-system/pods', {
    labelSelector: 'k8s-app=aws-node',
  });
  nodes = agents.items.map(({ spec }) => spec!.nodeName!).sort();
  agent = agents.items.find(({ spec }) => spec!.nodeName === node)!;
  assert.ok(agent, `no pod k8s-app=aws-node runs on ${node}, but on ${nodes}`);
  await stations.remove(NAMESPACE);
  await stations.namespace(NAMESPACE);
  [host] = (await stations.start([{ name: 'host', namespace: NAMESPACE, node, ofNode: true }])) as [Station];
  await runPod('neighbour');
  const { status, stderr } = await ips();
  assert.equal(status, 0, `the agent of ${node} is not Enid's, or not at work: ${stderr}`);
});
after(async () => {
  if (GIVEN) await stations?.remove(NAMESPACE);
  stations?.[Symbol.dispose]();
  ec2?.destroy();
  if (GIVEN) return;
  await run('lab', 'down', '--name', NAME);
  assert.deepEqual(tracesOf(NAME), []);
});

/** `enid ips` on the node itself. */
async function ips(...args: string[]) {
  const command = ['enid', 'ips', ...args];
  if (!GIVEN) return run('lab', 'exec', '--name', NAME, 'node-1', '--', ...command);
  const target = { name: agent.metadata!.name!, namespace: 'kube-system' };
  const { exitCode: status, ...printed } = await stations.run(target, command, 'aws-node');
  return { status, ...printed };
}
const mapOf = async (): Promise<AddressMap> => JSON.parse((await ips('--json')).stdout);
const addressesOf = ({ enis }: AddressMap) =>
  enis.flatMap(({ slots }) =>
    slots.flatMap((slot) => (slot.kind === 'prefix' ? slot.addresses : [slot])).map((one) => ({ ...one })),
  );
const stateOf = (map: AddressMap, address: string) =>
  addressesOf(map).find((one) => one.address === address)!.state;
const blockOf = (address: Ipv4): string => `${cidrOf(address, 28)}`;

async function runPod(name: string): Promise<Ipv4> {
  const [pod] = await stations.start([{ name, namespace: NAMESPACE, node }]);
  return pod!.address as Ipv4;
}

/** Deletes a pod, and waits until it is gone. */
async function endPod(name: string): Promise<void> {
  const path = `/api/v1/namespaces/${NAMESPACE}/pods`;
  await stations.client.delete(`${path}/${name}`);
  await until(
    () => stations.client.get<List<Pod>>(path),
    ({ items }) => items.every(({ metadata }) => metadata!.name !== name),
    `the end of pod ${name}`,
  );
}

test('a pod is found by its name, from the node and from outside, in the map of its node alone', async () => {
  const address = await runPod('web');
  for (const args of [['--node', node], ['--all-nodes'], ['--all-nodes', '--pod', `${NAMESPACE}/web`]]) {
    const { stdout, status, stderr } = await run('ips', ...args);
    assert.equal(status, 0, stderr);
    assert.match(
      stdout,
      new RegExp(`^${RegExp.escape(address)}\\s+assigned\\s+${NAMESPACE}/web\\s+since`, 'm'),
    );
    assert.equal(/neighbour/.test(stdout), !args.includes('--pod'), stdout);
  }
  // Between the two an address may have come to the end of its rest.
  const [inside, outside] = await until(
    async (): Promise<[AddressMap, AddressMap]> => {
      const { stdout } = await run('ips', '--node', node, '--json');
      return [await mapOf(), JSON.parse(stdout)];
    },
    ([inside, outside]) => isDeepStrictEqual({ ...inside, at: '' }, { ...outside, at: '' }),
    'the same map inside and outside',
  );
  assert.equal(inside.node, node);
  if (!GIVEN) assert.equal(inside.mode, 'prefix');
  assert.equal(stateOf(outside, address), 'assigned');
  for (const [args, says] of [
    [['--node', 'elsewhere'], `no agent runs on a node "elsewhere"; nodes with one: ${nodes.join(', ')}`],
    [['--all-nodes', '--pod', 'nobody'], 'default/nobody holds no address there'],
  ] as const) {
    const { status, stderr } = await run('ips', ...args);
    assert.equal(status, 1);
    assert.ok(stderr.includes(says), stderr);
  }
});

test('a map that is watched shows a pod come and go, and its address rest', async (t) => {
  const { child, result } = start('ips', '--node', node, '--watch', '--json');
  t.after(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const shows = async (what: string, is: (map: AddressMap) => boolean) => {
    for (;;) {
      const { value, done } = await lines.next();
      assert.ok(!done, `it ended before it showed ${what}`);
      const map: AddressMap = JSON.parse(value);
      if (is(map)) return map;
    }
  };
  await shows('the beginning', () => true);
  const address = await runPod('short');
  await shows('the pod', (map) =>
    addressesOf(map).some((one) => one.address === address && 'pod' in one && one.pod === 'short'),
  );
  await endPod('short');
  const map = await shows('its address at rest', (map) => stateOf(map, address) === 'cooling');
  const cooling = addressesOf(map).find((one) => one.address === address)! as { until?: string };
  const left = Date.parse(cooling.until!) - Date.parse(map.at);
  const { env } = agent.spec!.containers.find(({ name }) => name === 'aws-node')!;
  const rest = Number(env?.find(({ name }) => name === 'IP_COOLDOWN_PERIOD')?.value ?? 30) * 1000;
  assert.ok(left > rest - 10_000 && left <= rest, `it rests for ${left} ms more of ${rest}`);
  child.kill('SIGINT');
  assert.equal((await result).status, 0);
});

test('a prefix that is cordoned is given to nobody and keeps whom it has', async (t) => {
  const { mode, counts } = await mapOf();
  if (mode !== 'prefix') return t.skip('needs agents in prefix mode');
  const before = await runPod('old');
  const block = blockOf(before);
  const cordon = await ips('cordon', block);
  t.after(() => ips('uncordon', block));
  assert.match(
    cordon.stdout,
    new RegExp(`^${block} is cordoned: 16 addresses .*pods hold \\d+ and keep them`),
  );
  const address = await runPod('new');
  assert.ok(!contains(parseIpv4Cidr(block), address), `${address} is in ${block}`);
  const map = await mapOf();
  assert.equal(stateOf(map, before), 'assigned');
  const inside = addressesOf(map).filter((one) => contains(parseIpv4Cidr(block), one.address as Ipv4));
  assert.equal(inside.filter(({ state }) => state === 'warm').length, 0);
  assert.ok(inside.some(({ state }) => state === 'cordoned'));
  // A single address too: the next that would be given.
  const next = addressesOf(map).find(({ state }) => state === 'warm')!.address;
  t.after(() => ips('uncordon', next));
  assert.equal((await ips('cordon', next)).status, 0);
  assert.notEqual(await runPod('newer'), next);
  assert.equal(stateOf(await mapOf(), next), 'cordoned');
  const uncordon = await ips('uncordon', block);
  assert.equal(uncordon.stdout.trim(), `uncordoned ${block}`);
  await ips('uncordon', next);
  assert.equal((await mapOf()).counts.cordoned, counts.cordoned);
  const elsewhere = await ips('cordon', '192.0.2.0/28');
  assert.deepEqual([elsewhere.status, elsewhere.stdout], [1, '']);
  assert.match(elsewhere.stderr, /no pod address of this node is in 192\.0\.2\.0\/28/);
});

test('a prefix goes back to EC2 by hand when no pod has a part of it, and is not missed', async (t) => {
  const { mode } = await mapOf();
  if (mode !== 'prefix') return t.skip('needs agents in prefix mode');
  const used = blockOf(await runPod('tenant'));
  const refused = await ips('release', used);
  assert.equal(refused.status, 1);
  assert.match(
    refused.stderr,
    /held by ipstest\/tenant, and its sandbox is in the kernel.*: delete the pods?;/,
  );
  const prefixes = ({ enis }: AddressMap) =>
    enis.flatMap(({ slots }) => slots.flatMap((slot) => (slot.kind === 'prefix' ? [slot] : [])));
  const isFree = ({ addresses }: { addresses: readonly { state: string }[] }) =>
    addresses.every(({ state }) => state === 'warm');
  const free = (map: AddressMap) => prefixes(map).filter(isFree);
  const cordon = (block: string) => {
    t.after(() => ips('uncordon', block));
    return ips('cordon', block);
  };
  for (const each of prefixes(await mapOf())) if (!isFree(each)) await cordon(each.cidr);
  // The pool has others: one in the lab, as WARM_PREFIX_TARGET says, and of a given cluster as many as do not change.
  let count = GIVEN ? 0 : 1;
  const isSettled = (map: AddressMap) => {
    const before = count;
    count = free(map).length;
    return count > 0 && count === before;
  };
  const pace = GIVEN ? 2 * POOL_CHECK : undefined;
  const { cidr } = free(await until(mapOf, isSettled, 'free prefixes', 60_000, pace))[0]!;
  assert.match((await ips('release', cidr)).stderr, /cordon it first/);
  await cordon(cidr);
  const replaced = await until(mapOf, (map) => free(map).length === count, 'another in its place');
  const released = await ips('release', cidr);
  assert.equal(released.stdout.trim(), `${cidr} is given back to EC2`, released.stderr);
  const left = prefixes(replaced)
    .map((each) => each.cidr)
    .filter((each) => each !== cidr);
  await sleep(2_000); // The pool has looked again since.
  assert.deepEqual(
    prefixes(await mapOf()).map((each) => each.cidr),
    left,
  );
  if (!ec2) return;
  const { NetworkInterfaces } = await ec2.send(new DescribeNetworkInterfacesCommand({}));
  const inEc2 = NetworkInterfaces!.flatMap(({ Ipv4Prefixes = [] }) =>
    Ipv4Prefixes.map(({ Ipv4Prefix }) => Ipv4Prefix!),
  );
  assert.deepEqual(inEc2.sort(), left.sort());
});

test('an address is taken from a pod that lives only by force, and then cuts it off', async () => {
  const address = await runPod('victim');
  const pings = async () => (await stations.run(host, ['ping', '-c1', '-W1', address])).exitCode === 0;
  assert.ok(await pings());
  const refused = await ips('release', address);
  assert.equal(refused.status, 1);
  assert.match(
    refused.stderr,
    /is held by ipstest\/victim, and its sandbox is in the kernel: delete the pod/,
  );
  assert.ok(await pings());
  const forced = await ips('release', address, '--force');
  assert.equal(forced.status, 0, forced.stderr);
  assert.match(forced.stderr, /ipstest\/victim may still run, and has no network now/);
  assert.equal(stateOf(await mapOf(), address), 'cooling');
  assert.ok(!(await pings()));
  // Its end is as of any other pod.
  await endPod('victim');
  const again = await ips('release', address);
  assert.equal(again.status, 1);
});
