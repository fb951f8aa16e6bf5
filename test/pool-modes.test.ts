/**
 * One node through the modes of its pool, as an operator takes it there: subnets found by their tags, limits, ENIs that others
 * attach, a node that is cordoned, no provisioning, and no EC2 at all.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AssignPrivateIpAddressesCommand,
  AttachNetworkInterfaceCommand,
  CreateNetworkInterfaceCommand,
  CreateSubnetCommand,
  DeleteNetworkInterfaceCommand,
  DescribeNetworkInterfacesCommand,
  EC2Client,
} from '@aws-sdk/client-ec2';
import type { AddressMap, MappedSlot } from '@enid/agent';
import { contains, type Ipv4, parseIpv4Cidr } from '@enid/ip';
import {
  type DaemonSet,
  KubeClient,
  type KubeObject,
  kubeconfigAccess,
  type List,
  type Node,
  type Pod,
} from '@enid/kube';
import type { LabStatus } from '@enid/lab/status';
import { until } from '../packages/lab/src/base/until.ts';
import { ec2Client } from '../packages/lab/src/lab/ec2.ts';
import { labUp, run, tracesOf } from './enid.ts';
import { GIVEN, WITHOUT_AWS } from './given.ts';
import { placeOf } from './maps.ts';
import { Stations } from './stations.ts';

/** Why what follows is not done to a cluster that others use. */
const USED_UP =
  GIVEN && 'needs a node to itself: pods take all of its addresses, and others would wait with them';
const CHANGED = GIVEN && 'needs a cluster to itself: variables change what the agents of all nodes do';

const NAME = 'modes';
const PODS = '/api/v1/namespaces/default/pods';
const AWS_NODE = '/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node';
const INTERNET_HOST = '198.51.100.10';
const FOR_PODS = parseIpv4Cidr('10.0.64.0/20');
/** Of the primary ENI of a t3.xlarge, besides its own and those of CoreDNS. */
const ROOM = 12;

let client: KubeClient;
let ec2: EC2Client;
let status: LabStatus;
/** The node that is looked at. */
let node: string;
let instanceId: string;

before(async () => {
  if (WITHOUT_AWS) return;
  if (GIVEN) {
    const stations = new Stations(GIVEN);
    ({ client } = stations);
    [node] = (await stations.nodes(1)) as [string];
    ec2 = new EC2Client({});
  } else await openLab();
  const { spec } = await client.get<Node>(`/api/v1/nodes/${node}`);
  instanceId = spec!.providerID!.replace(/.*\//, '');
});

async function openLab(): Promise<void> {
  const settings = ['WARM_IP_TARGET=1', 'MAX_ENI=1', 'ADDITIONAL_ENI_TAGS={"team":"network"}'];
  const set = settings.flatMap((setting) => ['--set', setting]);
  status = await labUp(NAME, '--nodes', '1', '--instance-type', 't3.xlarge', ...set);
  client = new KubeClient(kubeconfigAccess(status.kubernetes!.kubeconfig));
  ec2 = ec2Client({ ec2Endpoint: status.ec2Endpoint!, region: 'us-east-1' });
  ({ node } = await mapOf());
}
after(async () => {
  client?.close();
  ec2?.destroy();
  if (GIVEN) return;
  await run('lab', 'down', '--name', NAME);
  assert.deepEqual(tracesOf(NAME), []);
});

const exec = async (target: string, ...command: string[]): Promise<string> =>
  (await run('lab', 'exec', '--name', NAME, target, '--', ...command)).stdout;
const mapOf = async (): Promise<AddressMap> => JSON.parse(await exec('node-1', 'enid', 'ips', '--json'));
const reaches = async (pod: string, target: string): Promise<boolean> =>
  / 0% packet loss/.test(await exec(`default/${pod}`, 'ping', '-c1', '-W2', target));

/** Makes pods without waiting for them. */
async function create(...names: string[]): Promise<void> {
  for (const name of names)
    await client.create<object>(PODS, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: {
        terminationGracePeriodSeconds: 0,
        tolerations: [{ operator: 'Exists' }],
        containers: [{ name, image: 'registry.k8s.io/pause:3.9' }],
      },
    });
}

async function runs(name: string): Promise<Ipv4> {
  const pod = await until(
    () => client.get<Pod>(`${PODS}/${name}`),
    ({ status }) => status?.phase === 'Running',
    `${name} to run`,
    60_000,
  );
  return pod.status!.podIP as Ipv4;
}

type Event = KubeObject & { involvedObject: { name: string }; reason: string; message: string };

const eventOf = async (object: string, reason: string): Promise<Event> => {
  const find = async () => {
    const { items } = await client.get<{ items: Event[] }>('/api/v1/events');
    return items.find((event) => event.involvedObject.name === object && event.reason === reason);
  };
  return (await until(find, (event) => event !== undefined, `${reason} on ${object}`))!;
};

/** Changes variables of the agent; `null` takes one away. Resolves when the new one is ready. */
async function configure(variables: Record<string, string | null>): Promise<void> {
  const env = Object.entries(variables).map(([name, value]) =>
    value === null ? { name, $patch: 'delete' } : { name, value },
  );
  const template = { spec: { containers: [{ name: 'aws-node', env }] } };
  const { metadata } = await client.patch<DaemonSet>(AWS_NODE, { spec: { template } }, 'strategic');
  await until(
    () => client.get<DaemonSet>(AWS_NODE),
    ({ status }) =>
      status!.observedGeneration! >= metadata!.generation! &&
      status!.updatedNumberScheduled === 1 &&
      status!.numberReady === 1,
    'the new agent',
    60_000,
  );
}

async function enis() {
  const Filters = [{ Name: 'attachment.instance-id', Values: [instanceId] }];
  const { NetworkInterfaces = [] } = await ec2.send(new DescribeNetworkInterfacesCommand({ Filters }));
  return NetworkInterfaces.sort((a, b) => a.Attachment!.DeviceIndex! - b.Attachment!.DeviceIndex!);
}

type Tags = Readonly<Record<string, string>>;
const tagged = (ResourceType: 'subnet' | 'network-interface', tags: Tags) => [
  { ResourceType, Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) },
];

/** Makes an ENI as somebody else would. @returns its id and its secondary addresses. */
async function makeEni(addresses: number, tags: Tags, Description = 'made by hand') {
  const [primary] = await enis();
  const { NetworkInterface: eni } = await ec2.send(
    new CreateNetworkInterfaceCommand({
      Description,
      SubnetId: primary!.SubnetId!,
      Groups: primary!.Groups!.map(({ GroupId }) => GroupId!),
      ...(addresses && { SecondaryPrivateIpAddressCount: addresses }),
      TagSpecifications: tagged('network-interface', tags),
    }),
  );
  const secondary = eni!.PrivateIpAddresses!.filter(({ Primary }) => !Primary);
  return {
    id: eni!.NetworkInterfaceId!,
    addresses: secondary.map(({ PrivateIpAddress }) => PrivateIpAddress as Ipv4),
  };
}

async function attach(device: number, addresses: number, tags: Tags) {
  const eni = await makeEni(addresses, tags);
  await ec2.send(
    new AttachNetworkInterfaceCommand({
      DeviceIndex: device,
      InstanceId: instanceId,
      NetworkInterfaceId: eni.id,
    }),
  );
  return eni;
}

/** That a pod waits for its address, and goes on waiting. @param reason why, as the event says. */
async function waits(pod: string, reason: string): Promise<Event> {
  const event = await eventOf(pod, reason);
  await sleep(3_000);
  assert.equal((await client.get<Pod>(`${PODS}/${pod}`)).status!.phase, 'Pending');
  return event;
}

const isPrefix = (slot: MappedSlot) => slot.kind === 'prefix';

const pods = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => `pod-${from + i}`);

test('MAX_ENI is kept, and named to those who wait', { skip: USED_UP }, async () => {
  await create(...pods(1, ROOM));
  await Promise.all(pods(1, ROOM).map(runs));
  await create('pod-13');
  const { message } = await waits('pod-13', 'ENILimit');
  assert.match(message, /MAX_ENI allows 1 ENIs of the 4 that t3\.xlarge takes: raise it/);
  assert.match((await eventOf(node, 'ENILimit')).message, /MAX_ENI allows 1/);
  assert.equal((await enis()).length, 1);
});

test('the next ENI is in the subnet tagged for pods that has most free addresses, and has the tags', {
  skip: USED_UP,
}, async () => {
  const { Subnet } = await ec2.send(
    new CreateSubnetCommand({
      VpcId: status.vpcId!,
      AvailabilityZone: 'us-east-1a',
      CidrBlock: FOR_PODS,
      TagSpecifications: tagged('subnet', { 'kubernetes.io/role/cni': '1' }),
    }),
  );
  await configure({ MAX_ENI: null });
  const address = await runs('pod-13');
  assert.ok(contains(FOR_PODS, address), address);
  const [, second, third] = await enis();
  assert.equal(third, undefined);
  assert.equal(second!.SubnetId, Subnet!.SubnetId);
  const tags = new Map(second!.TagSet!.map(({ Key, Value }) => [Key, Value]));
  assert.equal(tags.get('team'), 'network');
  assert.equal(tags.get('node.k8s.amazonaws.com/instance_id'), instanceId);
  assert.ok(await reaches('pod-1', address), 'pods of two subnets reach each other');
  assert.ok(await reaches('pod-13', await runs('pod-1')));
});

test('a cordoned node is given nothing more, unless AWS_MANAGE_ENIS_NON_SCHEDULABLE', {
  skip: USED_UP,
}, async () => {
  const cordon = (unschedulable: boolean) =>
    client.patch(`/api/v1/nodes/${node}`, { spec: { unschedulable } }, 'merge');
  await cordon(true);
  await create('pod-14', 'pod-15');
  await until(mapOf, ({ counts }) => counts.warm === 0, 'the warm address to be taken');
  await sleep(3_000);
  const { items } = await client.get<{ items: Pod[] }>(PODS);
  assert.equal(items.filter(({ status }) => status?.phase === 'Pending').length, 1);
  await configure({ AWS_MANAGE_ENIS_NON_SCHEDULABLE: 'true' });
  await Promise.all(['pod-14', 'pod-15'].map(runs));
  await cordon(false);
});

test('without provisioning nothing is brought; what others attach is used, but for what is not to be managed', {
  skip: CHANGED,
}, async () => {
  await configure({ DISABLE_NETWORK_RESOURCE_PROVISIONING: 'true' });
  await until(mapOf, ({ counts }) => counts.warm === 1, 'one address to be warm');
  await create('pod-16');
  await runs('pod-16');
  await create('pod-17');
  await waits('pod-17', 'FailedAssignIP');
  assert.equal((await enis()).length, 2);
  const foreign = await attach(2, 2, { 'node.k8s.amazonaws.com/no_manage': 'true' });
  await waits('pod-17', 'FailedAssignIP');
  const ours = await attach(3, 2, {});
  const address = await runs('pod-17');
  assert.ok(ours.addresses.includes(address), address);
  assert.ok(await reaches('pod-17', INTERNET_HOST));
  const { enis: shown } = await mapOf();
  const { state, slots } = shown.find(({ id }) => id === foreign.id)!;
  const carried = slots.map((slot) => slot.kind === 'address' && [slot.address, slot.state]);
  assert.deepEqual([state, carried], ['foreign', foreign.addresses.map((each) => [each, 'foreign'])]);
});

test('in IMDS-only mode EC2 is never called, and addresses that others assign are found', {
  skip: CHANGED,
}, async () => {
  await configure({ DISABLE_NETWORK_RESOURCE_PROVISIONING: null, ENABLE_IMDS_ONLY_MODE: 'true' });
  const { counts } = await mapOf();
  const some = pods(18, 17 + counts.warm);
  const last = `pod-${18 + counts.warm}`;
  await create(...some);
  await Promise.all(some.map(runs));
  await create(last);
  await waits(last, 'FailedAssignIP');
  const [, second] = await enis();
  const { AssignedPrivateIpAddresses: given } = await ec2.send(
    new AssignPrivateIpAddressesCommand({
      NetworkInterfaceId: second!.NetworkInterfaceId!,
      SecondaryPrivateIpAddressCount: 1,
    }),
  );
  assert.equal(await runs(last), given![0]!.PrivateIpAddress);
  const metrics = await exec('node-1', 'curl', '-s', '127.0.0.1:61678/metrics');
  assert.match(metrics, new RegExp(`^awscni_assigned_ip_addresses ${counts.total + 1}$`, 'm'));
  assert.deepEqual(metrics.match(/^awscni_ec2api_req_count\{.*/gm), null);
});

/** An agent of the node that has begun anew. */
async function restart(): Promise<void> {
  if (!GIVEN) return await configure({ ENABLE_IMDS_ONLY_MODE: null });
  const agents = async () => {
    const { items } = await client.get<List<Pod>>('/api/v1/namespaces/kube-system/pods', {
      labelSelector: 'k8s-app=aws-node',
      fieldSelector: `spec.nodeName=${node}`,
    });
    return items;
  };
  const [old] = await agents();
  await client.delete(`/api/v1/namespaces/kube-system/pods/${old!.metadata!.name}`);
  await until(
    agents,
    (pods) =>
      pods.length === 1 &&
      pods[0]!.metadata!.uid !== old!.metadata!.uid &&
      pods[0]!.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true,
    'the new agent',
    120_000,
  );
}

test('an ENI that an agent of this node left behind is deleted by the next, those of others are not', {
  skip: WITHOUT_AWS,
}, async () => {
  const tags = { 'node.k8s.amazonaws.com/instance_id': instanceId };
  const left = await makeEni(0, tags, `aws-K8S-${instanceId}`);
  const foreign = await makeEni(0, tags);
  const forget = ({ id: NetworkInterfaceId }: { id: string }) =>
    ec2.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId }));
  try {
    await restart();
    const remaining = async () => {
      const { NetworkInterfaces = [] } = await ec2.send(new DescribeNetworkInterfacesCommand({}));
      return NetworkInterfaces.map(({ NetworkInterfaceId }) => NetworkInterfaceId);
    };
    await until(remaining, (ids) => !ids.includes(left.id), 'what was left behind to be deleted', 60_000);
    assert.ok((await remaining()).includes(foreign.id));
  } finally {
    await forget(foreign);
    await forget(left).catch(() => undefined);
  }
});

test('switched to prefixes, pods keep what they have and reach those of the first prefix; what is free drains', {
  skip: CHANGED,
}, async () => {
  const old = await runs('pod-1');
  const left = await runs('pod-2');
  const slotOf = (map: AddressMap, address: Ipv4, pod: string) => placeOf(map, address, 'default', pod).slot;
  assert.equal(slotOf(await mapOf(), old, 'pod-1').kind, 'address');
  await client.delete(`${PODS}/pod-2`);
  await until(
    () => client.get<List<Pod>>(PODS),
    ({ items }) => items.every(({ metadata }) => metadata!.name !== 'pod-2'),
    'the end of pod-2',
  );
  // From one ENI to another, while the agent is replaced.
  const stream = exec('default/pod-13', 'ping', '-i0.2', '-w15', old);
  await configure({ ENABLE_PREFIX_DELEGATION: 'true', IP_COOLDOWN_PERIOD: '1' });
  await until(mapOf, ({ enis }) => enis.some(({ slots }) => slots.some(isPrefix)), 'the first prefix');
  await create('new-1', 'new-2');
  const [one, two] = (await Promise.all([runs('new-1'), runs('new-2')])) as [Ipv4, Ipv4];
  const map = await mapOf();
  assert.equal(map.mode, 'prefix');
  const places = [slotOf(map, old, 'pod-1'), slotOf(map, one, 'new-1'), slotOf(map, two, 'new-2')];
  assert.deepEqual(
    places.map(({ kind }) => kind),
    ['address', 'prefix', 'prefix'],
  );
  for (const [from, to] of [
    ['pod-1', one],
    ['pod-13', one],
    ['new-1', old],
    ['new-1', two],
    ['new-2', INTERNET_HOST],
    ['pod-1', INTERNET_HOST],
  ] as const)
    assert.ok(await reaches(from, to), `${from} does not reach ${to}`);
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(await stream)!;
  assert.ok(Number(sent) > 50, `${sent} were sent`);
  assert.equal(received, sent);
  // Neither the address that was warm, nor that of the pod that has gone: none but those of pods.
  await until(
    mapOf,
    ({ enis }) =>
      enis.every(
        ({ state, slots }) =>
          state === 'foreign' || slots.every((slot) => isPrefix(slot) || slot.state === 'assigned'),
      ),
    'single addresses without a pod to go',
  );
  const carried = (await enis()).flatMap(({ PrivateIpAddresses = [] }) => PrivateIpAddresses);
  assert.ok(
    !carried.some(({ PrivateIpAddress }) => PrivateIpAddress === left),
    `EC2 still has ${left} there`,
  );
  assert.ok(carried.some(({ PrivateIpAddress }) => PrivateIpAddress === old));
});
