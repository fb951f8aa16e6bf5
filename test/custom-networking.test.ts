/**
 * A running cluster is changed over to custom networking and prefixes, as an operator would do it: another block for the
 * VPC, subnets and a security group for pods, ENIConfigs by zone, variables of aws-node.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { after, before, test } from 'node:test';
import {
  AssociateRouteTableCommand,
  AssociateVpcCidrBlockCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  DescribeNetworkInterfacesCommand,
  DescribeRouteTablesCommand,
  DescribeSecurityGroupsCommand,
  type EC2Client,
} from '@aws-sdk/client-ec2';
import { contains, type Ipv4, parseIpv4Cidr } from '@enid/ip';
import type { DaemonSet } from '@enid/kube';
import type { LabStatus } from '@enid/lab/status';
import { until } from '../packages/lab/src/base/until.ts';
import { ec2Client } from '../packages/lab/src/lab/ec2.ts';
import { labStatus, labUp, run } from './enid.ts';
import { GIVEN } from './given.ts';
import { type Kubectl, kubectls } from './kubectl.ts';
import { mapOf, placeOf } from './maps.ts';
import { Stations } from './stations.ts';

const NAME = 'custom';
const BLOCK = parseIpv4Cidr('100.64.0.0/16');
const INTERNET_HOST = '198.51.100.10';
const SETTINGS = [
  'AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true',
  'ENI_CONFIG_LABEL_DEF=topology.kubernetes.io/zone',
  'ENABLE_PREFIX_DELEGATION=true',
  'WARM_IP_TARGET=1',
  // The agents get ready all the same.
  'DISABLE_METRICS=true',
];

let kubectl: Kubectl;
let status: LabStatus;
let ec2: EC2Client;

before(async () => {
  if (GIVEN) return;
  status = await labUp(NAME, '--nodes', '2');
  [kubectl] = (await kubectls(status.kubernetes!.kubeconfig)) as [Kubectl];
  ec2 = ec2Client({ ec2Endpoint: status.ec2Endpoint!, region: 'us-east-1' });
});
after(async () => {
  if (GIVEN) return;
  ec2?.destroy();
  await run('lab', 'down', '--name', NAME);
});

const apply = async (...objects: object[]): Promise<void> => {
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
  const applied = await kubectl.with(list, 'apply', '-f', '-');
  assert.equal(applied.status, 0, applied.stderr);
};

type Event = { involvedObject: { kind: string; name: string }; message: string };

/** Pods, one on each node, and their addresses when they run. */
async function runPods(prefix: string): Promise<Map<string, string>> {
  const nodes = (await kubectl.run('get', 'nodes', '-o', 'name')).trim().split('\n');
  const pods = nodes.map((node, at) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `${prefix}-${at}` },
    spec: {
      nodeName: node.replace('node/', ''),
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'net', image: 'nicolaka/netshoot', command: ['sleep', 'infinity'] }],
    },
  }));
  await apply(...pods);
  const names = pods.map(({ metadata }) => metadata.name);
  await kubectl.run('wait', '--for=condition=Ready', '--timeout=60s', ...names.map((name) => `pod/${name}`));
  const address = (name: string) => kubectl.run('get', 'pod', name, '-o', 'jsonpath={.status.podIP}');
  return new Map(await Promise.all(names.map(async (name) => [name, await address(name)] as const)));
}

const ping = (pod: string, target: string) =>
  kubectl.run('exec', pod, '--', 'ping', '-c', '1', '-W', '2', target).catch((error: Error) => error.message);

/**
 * A subnet for pods in each zone, routed as private subnets are, and security groups: the cluster's, which old pods let in,
 * and one that lets everybody in.
 */
async function makePlaces(): Promise<{ zone: string; subnet: string; groups: string[] }[]> {
  const VpcId = status.vpcId!;
  await ec2.send(new AssociateVpcCidrBlockCommand({ VpcId, CidrBlock: BLOCK }));
  const { GroupId } = await ec2.send(
    new CreateSecurityGroupCommand({ VpcId, GroupName: 'pods', Description: 'pods' }),
  );
  const IpPermissions = [{ IpProtocol: '-1', IpRanges: [{ CidrIp: '0.0.0.0/0' }] }];
  await ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions }));
  const cluster = await ec2.send(
    new DescribeSecurityGroupsCommand({
      Filters: [{ Name: 'group-name', Values: [`eks-cluster-sg-${NAME}`] }],
    }),
  );
  const groups = [GroupId!, cluster.SecurityGroups![0]!.GroupId!];
  const { RouteTables = [] } = await ec2.send(
    new DescribeRouteTablesCommand({ Filters: [{ Name: 'vpc-id', Values: [VpcId] }] }),
  );
  const { RouteTableId } = RouteTables.find(({ Routes }) =>
    Routes?.some(({ NatGatewayId }) => NatGatewayId),
  )!;
  return Promise.all(
    ['us-east-1a', 'us-east-1b'].map(async (zone, at) => {
      const { Subnet } = await ec2.send(
        new CreateSubnetCommand({ VpcId, AvailabilityZone: zone, CidrBlock: `100.64.${at}.0/24` }),
      );
      await ec2.send(new AssociateRouteTableCommand({ RouteTableId, SubnetId: Subnet!.SubnetId }));
      return { zone, subnet: Subnet!.SubnetId!, groups };
    }),
  );
}

test('a running cluster changes over, and its pods keep what they have', {
  skip:
    GIVEN &&
    'needs a cluster that may be left changed: its VPC has other blocks, subnets and groups then, and ENIs in them as long as pods have their addresses',
}, async (t) => {
  const old = await runPods('old');
  const places = await makePlaces();
  const crd = await kubectl.with(readFileSync('deploy/crds/eniconfigs.yaml', 'utf8'), 'apply', '-f', '-');
  assert.equal(crd.status, 0, crd.stderr);

  await t.test('without an ENIConfig each node is told which is missing', async () => {
    await kubectl.run('-n', 'kube-system', 'set', 'env', 'daemonset/aws-node', ...SETTINGS);
    await kubectl.run('-n', 'kube-system', 'rollout', 'status', 'daemonset/aws-node', '--timeout=90s');
    const missing = /the ENIConfig "us-east-1[ab]" \(the node \S+ has the label topology/;
    const told = async () => {
      const found = await kubectl.run('get', 'events', '-A', '-o', 'json');
      const { items } = JSON.parse(found) as { items: Event[] };
      return items
        .filter(({ involvedObject, message }) => involvedObject.kind === 'Node' && missing.test(message))
        .map(({ involvedObject }) => `node/${involvedObject.name}`);
    };
    const nodes = (await kubectl.run('get', 'nodes', '-o', 'name')).trim().split('\n');
    await until(
      told,
      (names) => nodes.every((node) => names.includes(node)),
      'an event on each node whose ENIConfig is missing',
      30_000,
    );
  });

  await until(
    () =>
      apply(
        ...places.map(({ zone, subnet, groups }) => ({
          apiVersion: 'crd.k8s.amazonaws.com/v1alpha1',
          kind: 'ENIConfig',
          metadata: { name: zone },
          spec: { subnet, securityGroups: groups },
        })),
      ).then(() => true),
    Boolean,
    'the ENIConfigs to be accepted',
  );
  const young = await runPods('young');
  for (const address of young.values())
    assert.ok(contains(BLOCK, address as Ipv4), `${address} is not in ${BLOCK}`);

  await t.test('pods reach each other, the old ones, and the internet', async () => {
    for (const from of young.keys()) {
      for (const target of [...young.values(), ...old.values(), INTERNET_HOST]) {
        assert.match(await ping(from, target), /1 received/, `${from} to ${target}`);
      }
    }
    for (const target of young.values()) assert.match(await ping('old-0', target), /1 received/);
  });

  await t.test(
    'the new ENIs are where the ENIConfigs say, with prefixes; old addresses that are free go',
    async () => {
      const enis = async () => {
        const { NetworkInterfaces = [] } = await ec2.send(new DescribeNetworkInterfacesCommand({}));
        return NetworkInterfaces.filter(({ Attachment }) => Attachment?.InstanceId);
      };
      const inBlock = (await enis()).filter(({ PrivateIpAddress }) =>
        contains(BLOCK, PrivateIpAddress as Ipv4),
      );
      assert.equal(inBlock.length, 2);
      for (const { Groups, Ipv4Prefixes, PrivateIpAddresses } of inBlock) {
        assert.deepEqual(new Set(Groups?.map(({ GroupId }) => GroupId)), new Set(places[0]!.groups));
        assert.deepEqual([Ipv4Prefixes?.length, PrivateIpAddresses?.length], [1, 1]);
      }
      for (const [name, address] of old) {
        assert.equal(await kubectl.run('get', 'pod', name, '-o', 'jsonpath={.status.podIP}'), address);
      }
      const node = status.nodes[0]!;
      const inUse = (await kubectl.run('get', 'pods', '-A', '-o', 'jsonpath={.items[*].status.podIP}'))
        .split(' ')
        .filter((address) => contains(parseIpv4Cidr('10.0.1.0/24'), address as Ipv4));
      await until(
        async () => (await enis()).find(({ PrivateIpAddress }) => PrivateIpAddress === node.address),
        (primary) => primary!.PrivateIpAddresses!.length === new Set([...inUse, node.address]).size,
        'the free addresses of the primary ENI to be given back',
        60_000,
      );
    },
  );

  await t.test(
    'an agent that has lost its checkpoint knows its pods by the kernel and the runtime',
    async () => {
      const agentPid = async () => {
        const now = await labStatus(NAME);
        return now.nodes[0]!.agentPid ?? 0;
      };
      // /var/run leads by a link to /run, which would be this machine's.
      const checkpoint = (pid: number) => `/proc/${pid}/root/run/aws-node/ipam.json`;
      const before = await agentPid();
      const held = namesIn(readFileSync(checkpoint(before), 'utf8'));
      for (const pod of ['old-0', 'young-0']) assert.ok(held.some(([, name]) => name === pod));
      rmSync(checkpoint(before));
      process.kill(before, 'SIGKILL');
      const found = await until(
        async () => {
          const file = checkpoint(await agentPid());
          return existsSync(file) ? namesIn(readFileSync(file, 'utf8')) : [];
        },
        (names) => names.length > 0,
        'the next agent to write a checkpoint',
        60_000,
      );
      assert.deepEqual(found, held);
      for (const from of ['old-0', 'young-0']) assert.match(await ping(from, INTERNET_HOST), /1 received/);
      await kubectl.run('delete', 'pod', 'young-0');
      const left = namesIn(readFileSync(checkpoint(await agentPid()), 'utf8'));
      assert.deepEqual(
        left,
        held.filter(([, name]) => name !== 'young-0'),
      );
    },
  );
});

test("pods have addresses of the subnets that ENIConfigs name, and none of their node's first ENI", async (t) => {
  const kubeconfig = GIVEN ?? status.kubernetes!.kubeconfig;
  using stations = new Stations(kubeconfig);
  const { client } = stations;
  const { spec } = await client.get<DaemonSet>('/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node');
  const env = spec!.template.spec!.containers.flatMap(({ env = [] }) => env);
  if (!env.some(({ name, value }) => name === 'AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG' && value === 'true'))
    return t.skip('needs custom networking: set AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true on aws-node');
  const { items } = await client.get<{ items: { spec: { subnet: string } }[] }>(
    '/apis/crd.k8s.amazonaws.com/v1alpha1/eniconfigs',
  );
  const subnets = items.map(({ spec }) => spec.subnet);
  await stations.namespace(NAME);
  t.after(async () => {
    using stations = new Stations(kubeconfig);
    await stations.remove(NAME);
  });
  const nodes = await stations.nodes(2);
  const pods = await stations.start(nodes.map((node, at) => ({ name: `pod-${at}`, namespace: NAME, node })));
  for (const pod of pods) {
    const { eni } = placeOf(await mapOf(kubeconfig, pod.node), pod.address, NAME, pod.name);
    assert.ok(!eni.primary && subnets.includes(eni.subnet!.id), `${eni.id} in ${eni.subnet?.id}`);
    for (const { address } of pods)
      assert.match((await stations.run(pod, ['ping', '-c1', '-W2', address])).stdout, /1 received/);
  }
});

/** Address, pod's name and sandbox of each allocation in a checkpoint. */
function namesIn(text: string): string[][] {
  const { allocations } = JSON.parse(text) as {
    allocations: { ipv4: string; containerID: string; metadata: { k8sPodName?: string } }[];
  };
  return allocations
    .map(({ ipv4, containerID, metadata }) => [ipv4, metadata.k8sPodName ?? '', containerID])
    .sort(([a], [b]) => a!.localeCompare(b!));
}
