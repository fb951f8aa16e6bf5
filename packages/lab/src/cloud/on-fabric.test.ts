/** The cloud over the real network: what a node sees of AWS from its own namespace. Needs root. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { suite, type TestContext, test } from 'node:test';
import * as ec2 from '@aws-sdk/client-ec2';
import type { Ipv4 } from '@enid/ip';
import {
  addAddress,
  addLink,
  addNeighbour,
  addRoute,
  NetNamespace,
  Rtnetlink,
  setLink,
  sysctl,
} from '@enid/linux';
import { collect, type Output } from '../base/output.ts';
import { Fabric } from '../fabric/fabric.ts';
import { instanceNamespaceName } from '../fabric/names.ts';
import { buildNetwork, createInterface, launch, startCloud } from './cloud.fixture.ts';
import type { Cloud } from './cloud.ts';
import { NODE_EC2_ENDPOINT } from './node-endpoints.ts';

let count = 0;

async function start(t: TestContext) {
  const prefix = `enidcloud${process.pid}x${++count}`;
  const fabric = new Fabric({ prefix });
  let cloud: Cloud | undefined;
  t.after(async () => {
    await cloud?.stop();
    await fabric.remove();
  });
  const lab = await startCloud(t, { fabric });
  cloud = lab.cloud;
  const network = await buildNetwork(lab.ec2);
  const run = (namespace: string, file: string, ...args: string[]): Promise<Output> => {
    using ns = NetNamespace.named(namespace);
    return collect(ns.run(() => spawn(file, args, { stdio: 'pipe' })));
  };
  const launchNode = async () => {
    const id = await launch(lab, network.subnetId);
    await lab.cloud.settled();
    return { id, namespace: instanceNamespaceName(prefix, id) };
  };
  return { ...lab, ...network, prefix, run, launchNode };
}

/** curl's arguments for a token, with as long a wait as an answer ever takes here. */
const TOKEN = [
  ...['-sS', '--fail', '--max-time', '2', '-X', 'PUT', '-H', 'X-aws-ec2-metadata-token-ttl-seconds: 60'],
  'http://169.254.169.254/latest/api/token',
];

suite('a node', () => {
  test('learns who it is, and asks EC2 with its role: the SDK finds everything by itself', async (t) => {
    const { launchNode, run, subnetId } = await start(t);
    const nodes = [await launchNode(), await launchNode()];
    for (const { id, namespace } of nodes) {
      const { stdout: token } = await run(namespace, 'curl', ...TOKEN);
      const header = `X-aws-ec2-metadata-token: ${token}`;
      const get = async (path: string) =>
        await run(namespace, 'curl', '-sS', '--fail', '-H', header, `http://169.254.169.254/latest/${path}`);
      assert.equal((await get('meta-data/instance-id')).stdout, id);
      assert.match((await get('meta-data/nothing')).stderr, /404/);
      assert.match((await get('/../%zz?//')).stderr, /404/);
    }
    const script = `
      import { DescribeInstancesCommand, CreateNetworkInterfaceCommand, EC2Client } from '@aws-sdk/client-ec2';
      const client = new EC2Client({});
      await client.send(new CreateNetworkInterfaceCommand({ SubnetId: '${subnetId}' }));
      const { Reservations } = await client.send(new DescribeInstancesCommand({}));
      console.log(Reservations.map(({ Instances }) => Instances[0].InstanceId).join());`;
    const { stdout, stderr } = await run(
      nodes[0]!.namespace,
      'env',
      '-i',
      `AWS_ENDPOINT_URL_EC2=${NODE_EC2_ENDPOINT}`,
      'AWS_REGION=us-east-1',
      process.execPath,
      '--input-type=module',
      '--eval',
      script,
    );
    assert.equal(stdout.trim(), nodes.map(({ id }) => id).join(), stderr);
  });

  test('gets a device when an interface is attached, and loses it when that is detached', async (t) => {
    const lab = await start(t);
    const node = await lab.launchNode();
    const NetworkInterfaceId = await createInterface(lab, lab.subnetId);
    const links = () => {
      using ns = NetNamespace.named(node.namespace);
      using rtnetlink = Rtnetlink.open(ns);
      return rtnetlink.links().map(({ name, mac }) => [name, mac]);
    };
    const { AttachmentId } = await lab.ec2.send(
      new ec2.AttachNetworkInterfaceCommand({ NetworkInterfaceId, InstanceId: node.id, DeviceIndex: 1 }),
    );
    assert.deepEqual(
      links().map(([name]) => name),
      ['lo', 'eth0'],
    );
    await lab.clock.advance(0);
    await lab.cloud.settled();
    const { mac } = lab.cloud.state.networkInterfaces[NetworkInterfaceId]!;
    assert.deepEqual(links().at(-1), ['eth1', mac]);
    await lab.ec2.send(new ec2.DetachNetworkInterfaceCommand({ AttachmentId }));
    assert.deepEqual(
      links().map(([name]) => name),
      ['lo', 'eth0'],
    );
    await lab.ec2.send(new ec2.TerminateInstancesCommand({ InstanceIds: [node.id] }));
    assert.ok(!NetNamespace.list().includes(node.namespace));
  });

  test('a pod behind it gets metadata only within the hop limit', async (t) => {
    const lab = await start(t);
    const node = await lab.launchNode();
    const [eni] = Object.values(lab.cloud.state.networkInterfaces);
    const { AssignedPrivateIpAddresses } = await lab.ec2.send(
      new ec2.AssignPrivateIpAddressesCommand({
        NetworkInterfaceId: eni!.id,
        SecondaryPrivateIpAddressCount: 1,
      }),
    );
    const pod = `${lab.prefix}-pod`;
    wirePod(t, node.namespace, pod, AssignedPrivateIpAddresses![0]!.PrivateIpAddress as Ipv4);
    const token = async (namespace: string) => (await lab.run(namespace, 'curl', ...TOKEN)).status;
    const OPERATION_TIMED_OUT = 28;
    assert.equal(await token(node.namespace), 0);
    assert.equal(await token(pod), OPERATION_TIMED_OUT);
    await lab.ec2.send(
      new ec2.ModifyInstanceMetadataOptionsCommand({ InstanceId: node.id, HttpPutResponseHopLimit: 2 }),
    );
    assert.equal(await token(pod), 0);
  });
});

test('a service of AWS has an interface in the VPC, which its security groups bind and nobody can delete', async (t) => {
  const lab = await start(t);
  const node = await lab.launchNode();
  const control = (body: unknown) =>
    fetch(`${lab.cloud.endpoint}/_lab/service-interfaces`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const request = { holder: 'eks', subnetId: lab.subnetId, groups: [], description: 'Amazon EKS test' };
  const { id, address } = (await (await control(request)).json()) as { id: string; address: string };
  assert.deepEqual(await (await control(request)).json(), { id, address, holder: 'eks' });
  assert.match(await (await control({ ...request, holder: 'E K S' })).text(), /holder/);
  const { NetworkInterfaces } = await lab.ec2.send(
    new ec2.DescribeNetworkInterfacesCommand({ Filters: [{ Name: 'requester-managed', Values: ['true'] }] }),
  );
  assert.deepEqual(
    NetworkInterfaces!.map((eni) => [eni.NetworkInterfaceId, eni.PrivateIpAddress, eni.Status]),
    [[id, address, 'in-use']],
  );
  await assert.rejects(lab.ec2.send(new ec2.DeleteNetworkInterfaceCommand({ NetworkInterfaceId: id })), {
    name: 'InvalidParameterValue',
  });
  const reaches = async () =>
    (await lab.run(node.namespace, 'ping', '-c', '1', '-W', '1', address)).status === 0;
  assert.ok(await reaches());
  const { GroupId } = await lab.ec2.send(
    new ec2.CreateSecurityGroupCommand({
      VpcId: lab.cloud.state.subnets[lab.subnetId]!.vpcId,
      GroupName: 'closed',
      Description: 'lets nothing in',
    }),
  );
  await lab.ec2.send(
    new ec2.ModifyNetworkInterfaceAttributeCommand({ NetworkInterfaceId: id, Groups: [GroupId!] }),
  );
  assert.ok(!(await reaches()));
});

test('VPCs with the same blocks do not know of each other', async (t) => {
  const lab = await start(t);
  const first = await lab.launchNode();
  const { subnetId } = await buildNetwork(lab.ec2);
  const id = await launch(lab, subnetId);
  await lab.cloud.settled();
  const second = { id, namespace: instanceNamespaceName(lab.prefix, id) };
  const { instances } = lab.cloud.state;
  assert.equal(instances[first.id]!.privateIp, instances[second.id]!.privateIp);
  await lab.ec2.send(
    new ec2.ModifyInstanceMetadataOptionsCommand({ InstanceId: second.id, HttpTokens: 'optional' }),
  );
  const url = 'http://169.254.169.254/latest/meta-data/instance-id';
  assert.equal((await lab.run(second.namespace, 'curl', '-sS', url)).stdout, second.id);
  assert.match((await lab.run(first.namespace, 'curl', '-sS', url)).stdout, /401 - Unauthorized/);
});

/** Wires a pod as the CNI does: one routed hop behind the node. */
function wirePod(t: TestContext, node: string, pod: string, address: Ipv4): void {
  using podNs = NetNamespace.create(pod);
  t.after(() => NetNamespace.delete(pod));
  using nodeNs = NetNamespace.named(node);
  using host = Rtnetlink.open(nodeNs);
  using inside = Rtnetlink.open(podNs);
  host.execute([addLink({ kind: 'veth', name: 'pod0', up: true, peer: { name: 'eth0', netns: podNs } })]);
  const { index, mac } = host.link('pod0')!;
  host.execute([addRoute({ destination: `${address}/32` as never, oif: index, scope: 'link' })]);
  sysctl.set(nodeNs, 'net.ipv4.ip_forward', '1');
  const gateway = '169.254.1.1' as Ipv4;
  inside.execute([setLink('eth0', { up: true })]);
  const eth0 = inside.link('eth0')!.index;
  inside.execute([
    addAddress({ index: eth0, address, prefixLength: 32 }),
    addRoute({ destination: `${gateway}/32` as never, oif: eth0, scope: 'link' }),
    addRoute({ destination: '0.0.0.0/0' as never, oif: eth0, gateway }),
    addNeighbour({ index: eth0, address: gateway, mac, state: 'permanent' }),
  ]);
}
