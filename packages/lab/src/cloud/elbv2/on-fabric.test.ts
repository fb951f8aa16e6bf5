/** Load balancers over the real network: addresses and ways, with rules of nftables in place of a data plane. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type TestContext, test } from 'node:test';
import * as ec2 from '@aws-sdk/client-ec2';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Ipv4 } from '@enid/ip';
import { listenTcp, NetNamespace } from '@enid/linux';
import { collect, type Output } from '../../base/output.ts';
import { Fabric } from '../../fabric/fabric.ts';
import { instanceNamespaceName, loadBalancerNamespaceName } from '../../fabric/names.ts';
import { INTERNET_CLIENT } from '../../internet/server.ts';
import { tellWhoAsks } from '../../internet/who-asks.ts';
import { launch } from '../cloud.fixture.ts';
import type { Cloud } from '../cloud.ts';
import { createLoadBalancer, startLab } from './elbv2.fixture.ts';

let count = 0;

async function start(t: TestContext) {
  const prefix = `enidelb${process.pid}x${++count}`;
  const fabric = new Fabric({ prefix });
  let cloud: Cloud | undefined;
  t.after(async () => {
    await cloud?.stop();
    await fabric.remove();
  });
  const lab = await startLab(t, { fabric });
  cloud = lab.cloud;
  // Both subnets have the internet; this is the VPC's main table.
  const { RouteTables } = await lab.ec2.send(new ec2.DescribeRouteTablesCommand({}));
  const [GatewayId] = Object.keys(lab.cloud.state.internetGateways);
  await lab.ec2.send(
    new ec2.CreateRouteCommand({
      RouteTableId: RouteTables![0]!.RouteTableId,
      DestinationCidrBlock: '0.0.0.0/0',
      GatewayId,
    }),
  );
  const run = (namespace: string, file: string, ...args: string[]): Promise<Output> => {
    using ns = NetNamespace.named(namespace);
    return collect(ns.run(() => spawn(file, args, { stdio: 'pipe' })));
  };
  /** An instance that tells on port 80 who asks. */
  const serve = async (subnetId: string) => {
    const id = await launch(lab, subnetId);
    await lab.cloud.settled();
    const address = lab.cloud.state.instances[id]!.privateIp;
    using ns = NetNamespace.named(instanceNamespaceName(prefix, id));
    const server = createServer(tellWhoAsks);
    server.listen({ fd: listenTcp(ns, address, 80) });
    await once(server, 'listening');
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    return { address, namespace: instanceNamespaceName(prefix, id) };
  };
  /** Lets everything into the VPC's default group. */
  const open = () =>
    lab.ec2.send(
      new ec2.AuthorizeSecurityGroupIngressCommand({
        GroupId: lab.groupId,
        IpPermissions: [{ IpProtocol: '-1', IpRanges: [{ CidrIp: '0.0.0.0/0' }] }],
      }),
    );
  return { ...lab, prefix, run, serve, open };
}

type Who = { client: { address: string } };
const curl = ['-sS', '--max-time', '2'];

test('a network load balancer passes a flow on with its client, and the answer comes back through it', async (t) => {
  const lab = await start(t);
  const [near, far] = [await lab.serve(lab.subnetId), await lab.serve(lab.otherSubnetId)];
  const { LoadBalancerArn, DNSName } = await createLoadBalancer(lab, {
    Type: 'network',
    Scheme: 'internet-facing',
  });
  await lab.cloud.settled();
  const { id, zones } = lab.cloud.state.loadBalancers[LoadBalancerArn!]!;
  const machine = loadBalancerNamespaceName(lab.prefix, id);
  const addressOf = (index: number): Ipv4 =>
    lab.cloud.state.networkInterfaces[zones[index]!.networkInterfaceId]!.primaryIp;
  const ruleset = `table ip flows { chain in {
    type nat hook prerouting priority dstnat;
    ip daddr ${addressOf(0)} tcp dport 80 dnat to ${far.address}
    ip daddr ${addressOf(1)} tcp dport 80 dnat to ${near.address}
    }
  }`;
  assert.equal((await lab.run(machine, 'nft', ruleset)).status, 0);

  const internet = `${lab.prefix}-internet`;
  const addresses = lab.cloud.resolve(DNSName!)!;
  assert.equal(addresses.length, 2);
  for (const [index, address] of addresses.entries()) {
    assert.match(address, /^203\.0\.113\./);
    assert.deepEqual(lab.cloud.resolve(`us-east-1${'ab'[index]}.${DNSName}`), [address]);
  }
  const ask = async (from: string, address: string) => {
    const { stdout: body } = await lab.run(from, 'curl', ...curl, `http://${address}/`);
    return body === '' ? undefined : (JSON.parse(body) as Who).client.address;
  };
  // The targets' security groups are asked about the client.
  assert.equal(await ask(internet, addresses[0]!), undefined);
  await lab.open();
  for (const address of addresses) assert.equal(await ask(internet, address), INTERNET_CLIENT);
  // From inside the VPC, to the other zone's target.
  assert.equal(await ask(near.namespace, addressOf(0)), near.address);

  // Without the zone that its own packets went by, they go by the other.
  const reaches = async () =>
    (await lab.run(machine, 'ping', '-c', '1', '-W', '1', near.address)).status === 0;
  assert.ok(await reaches());
  await lab.elb.send(new elb.SetSubnetsCommand({ LoadBalancerArn, Subnets: [lab.otherSubnetId] }));
  assert.ok(await reaches());
  assert.equal(await ask(internet, addresses[1]!), INTERNET_CLIENT);

  await lab.elb.send(new elb.DeleteLoadBalancerCommand({ LoadBalancerArn }));
  await lab.cloud.settled();
  assert.ok(!NetNamespace.list().includes(machine));
});

test('an application load balancer is bound by its security groups, in both zones', async (t) => {
  const lab = await start(t);
  const node = await lab.serve(lab.subnetId);
  const { GroupId } = await lab.ec2.send(
    new ec2.CreateSecurityGroupCommand({ VpcId: lab.vpcId, GroupName: 'web', Description: 'web' }),
  );
  const { LoadBalancerArn } = await createLoadBalancer(lab, { SecurityGroups: [GroupId!] });
  await lab.cloud.settled();
  const { id, zones } = lab.cloud.state.loadBalancers[LoadBalancerArn!]!;
  const machine = loadBalancerNamespaceName(lab.prefix, id);
  const addresses = zones.map(
    ({ networkInterfaceId }) => lab.cloud.state.networkInterfaces[networkInterfaceId]!.primaryIp,
  );
  const pings = async (from: string, address: string, ...options: string[]) =>
    (await lab.run(from, 'ping', '-c', '1', '-W', '0.3', ...options, address)).status === 0;
  for (const address of addresses) assert.ok(!(await pings(node.namespace, address)));
  await lab.ec2.send(
    new ec2.AuthorizeSecurityGroupIngressCommand({
      GroupId,
      IpPermissions: [
        { IpProtocol: 'icmp', FromPort: -1, ToPort: -1, IpRanges: [{ CidrIp: '10.0.0.0/16' }] },
      ],
    }),
  );
  for (const address of addresses) assert.ok(await pings(node.namespace, address));
  // Each zone's address leaves by its own interface: with the other's it would be dropped.
  await lab.open();
  for (const address of addresses) assert.ok(await pings(machine, node.address, '-I', address));
});
