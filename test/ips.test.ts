/** The address map of a node as an operator sees it, follows it, and takes it in hand. */
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import type { AddressMap } from '@enid/agent';
import { cidrOf, contains, type Ipv4, parseIpv4Cidr } from '@enid/ip';
import { KubeClient, kubeconfigAccess, type Pod } from '@enid/kube';
import type { LabStatus } from '@enid/lab/status';
import { until } from '../packages/lab/src/base/until.ts';
import { run, start, tracesOf } from './enid.ts';
import { labOnly } from './given.ts';

const { after, before, test } = labOnly('a shell on nodes, and pods that are cut off at will');

const NAME = 'ipstest';
const PODS = '/api/v1/namespaces/default/pods';

let client: KubeClient;
let node: string;

before(async () => {
  await run('lab', 'down', '--name', NAME);
  const prefixes = ['--set', 'ENABLE_PREFIX_DELEGATION=true'];
  const up = await run('lab', 'up', '--name', NAME, '--nodes', '1', ...prefixes);
  assert.equal(up.status, 0, up.stderr);
  const status: LabStatus = JSON.parse((await run('lab', 'status', '--name', NAME, '--json')).stdout);
  process.env.KUBECONFIG = status.kubernetes!.kubeconfig;
  client = new KubeClient(kubeconfigAccess(process.env.KUBECONFIG));
  ({ node } = await mapOf());
});
after(async () => {
  client?.close();
  await run('lab', 'down', '--name', NAME);
  assert.deepEqual(tracesOf(NAME), []);
});

/** `enid ips` on the node itself. */
const ips = (...args: string[]) => run('lab', 'exec', '--name', NAME, 'node-1', '--', 'enid', 'ips', ...args);
const mapOf = async (): Promise<AddressMap> => JSON.parse((await ips('--json')).stdout);
const addressesOf = ({ enis }: AddressMap) =>
  enis.flatMap(({ slots }) =>
    slots.flatMap((slot) => (slot.kind === 'prefix' ? slot.addresses : [slot])).map((one) => ({ ...one })),
  );
const stateOf = (map: AddressMap, address: string) =>
  addressesOf(map).find((one) => one.address === address)!.state;
const blockOf = (address: Ipv4): string => `${cidrOf(address, 28)}`;

async function runPod(name: string): Promise<Ipv4> {
  await client.create<object>(PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [{ name, image: 'nicolaka/netshoot', command: ['sleep', 'infinity'] }],
    },
  });
  const pod = await until(
    () => client.get<Pod>(`${PODS}/${name}`),
    ({ status }) => status?.phase === 'Running',
    `${name} to run`,
  );
  return pod.status!.podIP as Ipv4;
}

test('a pod is found by its name, from the node and from outside, in the map of its node alone', async () => {
  const address = await runPod('web');
  for (const args of [['--node', node], ['--all-nodes'], ['--all-nodes', '--pod', 'default/web']]) {
    const { stdout, status, stderr } = await run('ips', ...args);
    assert.equal(status, 0, stderr);
    assert.match(stdout, new RegExp(`^${address}\\s+assigned\\s+default/web\\s+since`, 'm'));
    assert.equal(/coredns/.test(stdout), !args.includes('--pod'), stdout);
  }
  const outside: AddressMap = JSON.parse((await run('ips', '--node', node, '--json')).stdout);
  const { at: _, ...rest } = await mapOf();
  assert.deepEqual({ ...outside, at: undefined }, { ...rest, at: undefined });
  assert.equal(rest.node, node);
  assert.equal(rest.mode, 'prefix');
  assert.equal(stateOf(outside, address), 'assigned');
  for (const [args, says] of [
    [['--node', 'elsewhere'], `no agent runs on a node "elsewhere"; nodes with one: ${node}`],
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
  await client.delete(`${PODS}/short`);
  const map = await shows('its address at rest', (map) => stateOf(map, address) === 'cooling');
  const cooling = addressesOf(map).find((one) => one.address === address)! as { until?: string };
  const left = Date.parse(cooling.until!) - Date.parse(map.at);
  assert.ok(left > 20_000 && left <= 30_000, `it rests for ${left} ms more`);
  child.kill('SIGINT');
  assert.equal((await result).status, 0);
});

test('a prefix that is cordoned is given to nobody and keeps whom it has', async () => {
  const before = await runPod('old');
  const block = blockOf(before);
  const cordon = await ips('cordon', block);
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
  assert.equal((await ips('cordon', next)).status, 0);
  assert.notEqual(await runPod('newer'), next);
  assert.equal(stateOf(await mapOf(), next), 'cordoned');
  const uncordon = await ips('uncordon', block);
  assert.equal(uncordon.stdout.trim(), `uncordoned ${block}`);
  await ips('uncordon', next);
  assert.equal((await mapOf()).counts.cordoned, 0);
  const elsewhere = await ips('cordon', '192.0.2.0/28');
  assert.deepEqual([elsewhere.status, elsewhere.stdout], [1, '']);
  assert.match(elsewhere.stderr, /no pod address of this node is in 192\.0\.2\.0\/28/);
});

test('an address is taken from a pod that lives only by force, and then cuts it off', async () => {
  const address = await runPod('victim');
  const pings = () => run('lab', 'exec', '--name', NAME, 'node-1', '--', 'ping', '-c1', '-W1', address);
  assert.equal((await pings()).status, 0);
  const refused = await ips('release', address);
  assert.equal(refused.status, 1);
  assert.match(
    refused.stderr,
    /is held by default\/victim, and its sandbox is in the kernel: delete the pod/,
  );
  assert.equal((await pings()).status, 0);
  const forced = await ips('release', address, '--force');
  assert.equal(forced.status, 0, forced.stderr);
  assert.match(forced.stderr, /default\/victim may still run, and has no network now/);
  assert.equal(stateOf(await mapOf(), address), 'cooling');
  assert.notEqual((await pings()).status, 0);
  // Its end is as of any other pod.
  await client.delete(`${PODS}/victim`);
  await until(
    () => client.get<{ items: Pod[] }>(PODS),
    ({ items }) => items.every(({ metadata }) => metadata!.name !== 'victim'),
    'the pod to be gone',
  );
  const again = await ips('release', address);
  assert.equal(again.status, 1);
});
