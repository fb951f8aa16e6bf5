/** Network load balancers that are asked from inside their VPC: by others, by their own targets, and through a NAT gateway. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import * as ec2 from '@aws-sdk/client-ec2';
import { bindUdp } from '@enid/linux';
import { collect } from '../base/output.ts';
import {
  createListener,
  createLoadBalancer,
  createTargetGroup,
  forwardTo,
} from '../cloud/elbv2/elbv2.fixture.ts';
import { healthy, register, setAttributes, startServing, type Target, type Who } from './lab.fixture.ts';

/** Whom a machine is for the server that answers it; undefined when nobody does within a second. */
async function seen({ ns }: Target, address: string): Promise<string | undefined> {
  const curl = ['-s', '--max-time', '1', `http://${address}/`];
  const { stdout } = await collect(ns.run(() => spawn('curl', curl, { stdio: 'pipe' })));
  return stdout === '' ? undefined : (JSON.parse(stdout) as Who).client.address;
}

test('clients in the VPC are seen as the target group says; a target that keeps its address does not reach itself', async (t) => {
  const lab = await startServing(t);
  const [target, other] = lab.targets;
  const addresses = ['10.0.1.200', '10.0.2.200'];
  const SubnetMappings = [lab.subnetId, lab.otherSubnetId].map((SubnetId, index) => ({
    SubnetId,
    PrivateIPv4Address: addresses[index]!,
  }));
  const { LoadBalancerArn, DNSName } = await createLoadBalancer(lab, { Type: 'network', SubnetMappings });
  const hidden = await createTargetGroup(lab, 'hidden', { Protocol: 'TCP' });
  const both = await createTargetGroup(lab, 'both', { Protocol: 'TCP_UDP', Port: 8080 });
  const listen = (Protocol: 'TCP' | 'TCP_UDP', Port: number, arn: string) =>
    createListener(lab, LoadBalancerArn!, { Protocol, Port, DefaultActions: forwardTo(arn) });
  await listen('TCP', 80, hidden);
  await listen('TCP_UDP', 53, both);
  for (const arn of [hidden, both]) {
    await register(lab, arn, [target.address]);
    await healthy(lab, arn);
  }
  const [near] = addresses;
  assert.deepEqual(lab.cloud.resolve(DNSName!), [near], 'the zone that has a target');
  assert.deepEqual([await seen(other, near!), await seen(target, near!)], [near, near]);
  await setAttributes(lab, hidden, { 'preserve_client_ip.enabled': 'true' });
  assert.deepEqual([await seen(other, near!), await seen(target, near!)], [other.address, undefined]);

  // One port of both protocols, whose targets see their clients always.
  assert.deepEqual(
    [await seen(other, `${near}:53`), await seen(target, `${near}:53`)],
    [other.address, undefined],
  );
  const echo = createSocket('udp4').bind({ fd: bindUdp(target.ns, target.address, 8080) });
  echo.on('message', (_, { address, port }) => echo.send(address, port, address));
  const client = createSocket('udp4').bind({ fd: bindUdp(other.ns, other.address, 0) });
  t.after(() => [echo, client].forEach((socket) => void socket.close()));
  client.send('who', 53, near!);
  const [answer, from] = await once(client, 'message', { signal: AbortSignal.timeout(2000) });
  assert.deepEqual([String(answer), from.address, from.port], [other.address, near, 53]);
});

test('behind a NAT gateway a client of an Elastic IP address is seen as the gateway', async (t) => {
  const lab = await startServing(t);
  const [target, client] = lab.targets;
  const allocate = () => lab.ec2.send(new ec2.AllocateAddressCommand({ Domain: 'vpc' }));
  const [elastic, gateway] = [await allocate(), await allocate()];
  const { NatGateway } = await lab.ec2.send(
    new ec2.CreateNatGatewayCommand({ SubnetId: lab.subnetId, AllocationId: gateway.AllocationId! }),
  );
  await lab.clock.advance(0);
  await lab.cloud.settled();
  const { RouteTable } = await lab.ec2.send(new ec2.CreateRouteTableCommand({ VpcId: lab.vpcId }));
  const RouteTableId = RouteTable!.RouteTableId!;
  await lab.ec2.send(
    new ec2.CreateRouteCommand({
      RouteTableId,
      DestinationCidrBlock: '0.0.0.0/0',
      NatGatewayId: NatGateway!.NatGatewayId!,
    }),
  );
  await lab.ec2.send(new ec2.AssociateRouteTableCommand({ RouteTableId, SubnetId: lab.otherSubnetId }));
  const { LoadBalancerArn, DNSName } = await createLoadBalancer(lab, {
    Type: 'network',
    Scheme: 'internet-facing',
    SubnetMappings: [{ SubnetId: lab.subnetId, AllocationId: elastic.AllocationId! }],
  });
  const group = await createTargetGroup(lab, 'preserved', { Protocol: 'TCP' });
  await setAttributes(lab, group, { 'preserve_client_ip.enabled': 'true' });
  await createListener(lab, LoadBalancerArn!, { Protocol: 'TCP', DefaultActions: forwardTo(group) });
  await register(lab, group, [target.address]);
  await healthy(lab, group);
  assert.deepEqual(lab.cloud.resolve(DNSName!), [elastic.PublicIp]);
  assert.equal(await seen(client, elastic.PublicIp!), gateway.PublicIp);
});
