/** Network load balancers that carry traffic: from the internet to targets in two zones, on the lab's network. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type TestContext, test } from 'node:test';
import * as ec2 from '@aws-sdk/client-ec2';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import { type Ipv4, parseIp } from '@enid/ip';
import { bindUdp, connectTcp, listenTcp, NetNamespace } from '@enid/linux';
import { until } from '../base/until.ts';
import { launch } from '../cloud/cloud.fixture.ts';
import type { Cloud } from '../cloud/cloud.ts';
import {
  createListener,
  createLoadBalancer,
  createTargetGroup,
  forwardTo,
  startLab,
} from '../cloud/elbv2/elbv2.fixture.ts';
import { Fabric } from '../fabric/fabric.ts';
import { instanceNamespaceName } from '../fabric/names.ts';
import { INTERNET_CLIENT } from '../internet/server.ts';
import { tellWhoAsks } from '../internet/who-asks.ts';
import { LoadBalancers } from './index.ts';

type Who = { client: { address: string }; server: { address: string } };

/** A lab whose load balancers serve, and an instance in each of its two zones that tells on port 80 who asks. */
async function start(t: TestContext) {
  const prefix = `enidnlb${process.pid}`;
  const fabric = new Fabric({ prefix });
  let cloud: Cloud | undefined;
  const loadBalancers = new LoadBalancers(prefix, async (report) => cloud?.reportHealth([report]));
  t.after(async () => {
    loadBalancers[Symbol.dispose]();
    await cloud?.stop();
    await fabric.remove();
  });
  const lab = await startLab(t, { fabric, loadBalancers });
  cloud = lab.cloud;
  const { RouteTables } = await lab.ec2.send(new ec2.DescribeRouteTablesCommand({}));
  const [GatewayId] = Object.keys(lab.cloud.state.internetGateways);
  const RouteTableId = RouteTables![0]!.RouteTableId;
  await lab.ec2.send(
    new ec2.CreateRouteCommand({ RouteTableId, DestinationCidrBlock: '0.0.0.0/0', GatewayId }),
  );
  await lab.ec2.send(
    new ec2.AuthorizeSecurityGroupIngressCommand({
      GroupId: lab.groupId,
      IpPermissions: [{ IpProtocol: '-1', IpRanges: [{ CidrIp: '0.0.0.0/0' }] }],
    }),
  );
  const serve = async (subnetId: string) => {
    const id = await launch(lab, subnetId);
    await lab.cloud.settled();
    const address = lab.cloud.state.instances[id]!.privateIp;
    const ns = NetNamespace.named(instanceNamespaceName(prefix, id));
    const server = createServer(tellWhoAsks);
    server.listen({ fd: listenTcp(ns, address, 80) });
    await once(server, 'listening');
    const stop = () => {
      server.closeAllConnections();
      server.close();
    };
    t.after(() => {
      stop();
      ns.close();
    });
    return { id, address, ns, stop };
  };
  const internet = NetNamespace.named(`${prefix}-internet`);
  t.after(() => internet.close());
  const targets = [await serve(lab.subnetId), await serve(lab.otherSubnetId)] as const;
  return { ...lab, internet, targets };
}

/** One connection of the internet's, on which several questions may be asked. */
class Connection {
  readonly #socket;

  constructor(from: NetNamespace, address: string, port: number) {
    this.#socket = connectTcp(from, parseIp(address), port, { localAddress: parseIp(INTERNET_CLIENT) });
    this.#socket.on('error', () => {});
  }

  /** @returns undefined when there is no answer within two seconds. */
  async ask(): Promise<Who | undefined> {
    this.#socket.write('GET / HTTP/1.1\r\nHost: it\r\n\r\n');
    const signal = AbortSignal.timeout(2000);
    const [data] = await once(this.#socket, 'data', { signal }).catch(() => []);
    return (
      data &&
      JSON.parse(
        String(data)
          .split('\r\n\r\n')[1]!
          .replace(/^[0-9a-f]+\r\n|\r\n0?$/g, ''),
      )
    );
  }

  close(): void {
    this.#socket.destroy();
  }
}

async function ask(from: NetNamespace, address: string, port = 80): Promise<Who | undefined> {
  const connection = new Connection(from, address, port);
  try {
    return await connection.ask();
  } finally {
    connection.close();
  }
}

test('flows reach healthy targets, with the client or the load balancer as they are to see it, and outlive changes', async (t) => {
  const lab = await start(t);
  const { internet, targets } = lab;
  const [near, far] = targets;
  const balancer = await createLoadBalancer(lab, { Type: 'network', Scheme: 'internet-facing' });
  const LoadBalancerArn = balancer.LoadBalancerArn!;
  await lab.cloud.settled();
  const group = (name: string, more: Partial<elb.CreateTargetGroupCommandInput>) =>
    createTargetGroup(lab, name, {
      Protocol: 'TCP',
      HealthCheckProtocol: 'HTTP',
      HealthCheckIntervalSeconds: 5,
      UnhealthyThresholdCount: 2,
      ...more,
    });
  const groups = {
    ip: await group('by-ip', {}),
    instance: await group('by-instance', { TargetType: 'instance' }),
    udp: await group('udp', { Protocol: 'UDP', TargetType: 'instance', HealthCheckPort: '80' }),
  };
  const register = (TargetGroupArn: string, Targets: elb.TargetDescription[]) =>
    lab.elb.send(new elb.RegisterTargetsCommand({ TargetGroupArn, Targets }));
  for (const [port, arn] of [80, 81].map((port, i) => [port, [groups.ip, groups.instance][i]!] as const))
    await createListener(lab, LoadBalancerArn, {
      Protocol: 'TCP',
      Port: port,
      DefaultActions: forwardTo(arn),
    });
  await createListener(lab, LoadBalancerArn, {
    ...{ Protocol: 'UDP', Port: 53, DefaultActions: forwardTo(groups.udp) },
  });
  const [first, second] = lab.cloud.resolve(balancer.DNSName!)!;
  const nodes = lab.cloud.state.loadBalancers[LoadBalancerArn]!.zones.map(
    ({ networkInterfaceId }) => lab.cloud.state.networkInterfaces[networkInterfaceId]!.primaryIp,
  );

  // Nobody serves yet: refused at once.
  const began = performance.now();
  assert.equal(await ask(internet, first!), undefined);
  assert.ok(performance.now() - began < 1000);

  await register(
    groups.ip,
    targets.map(({ address }) => ({ Id: address })),
  );
  for (const arn of [groups.instance, groups.udp])
    await register(
      arn,
      targets.map(({ id }) => ({ Id: id })),
    );
  // From the account itself: the API is not to be asked so often.
  const health = (arn: string) =>
    new Map(
      Object.values(lab.cloud.state.targetGroups[arn]!.targets).map(({ id, health }) => [id, health?.state]),
    );
  const all = (state: string) => (found: ReturnType<typeof health>) =>
    [...found.values()].every((one) => one === state);
  for (const arn of Object.values(groups)) await until(() => health(arn), all('healthy'), 'healthy targets');

  // Each zone's node sends to its own zone. Targets by address see the load balancer, those by instance the client.
  assert.deepEqual(both(await ask(internet, first!)), [nodes[0]!, near.address]);
  assert.deepEqual(both(await ask(internet, second!)), [nodes[1]!, far.address]);
  assert.deepEqual(both(await ask(internet, first!, 81)), [INTERNET_CLIENT, near.address]);
  await modify(lab.elb, groups.ip, { 'preserve_client_ip.enabled': 'true' });
  assert.deepEqual(both(await ask(internet, first!)), [INTERNET_CLIENT, near.address]);

  // Datagrams keep their client, too.
  const echo = createSocket('udp4').bind({ fd: bindUdp(near.ns, near.address, 80) });
  echo.on('message', (_, { address, port }) => echo.send(address, port, address));
  const client = createSocket('udp4').bind({ fd: bindUdp(internet, INTERNET_CLIENT as Ipv4, 0) });
  t.after(() => [echo, client].forEach((socket) => void socket.close()));
  client.send('who', 53, first!);
  const [seen] = await once(client, 'message', { signal: AbortSignal.timeout(2000) });
  assert.equal(String(seen), INTERNET_CLIENT);

  // Across zones: both answer, and one connection stays where it is while the target drains.
  const crossZone = [{ Key: 'load_balancing.cross_zone.enabled', Value: 'true' }];
  await lab.elb.send(new elb.ModifyLoadBalancerAttributesCommand({ LoadBalancerArn, Attributes: crossZone }));
  const open = new Connection(internet, first!, 80);
  t.after(() => open.close());
  const mine = (await open.ask())!.server.address;
  const answering = async (count: number) => {
    const asked = await Promise.all(Array.from({ length: count }, () => ask(internet, first!)));
    return new Set(asked.map((one) => one?.server.address));
  };
  assert.deepEqual(await answering(40), new Set([near.address, far.address]));
  await lab.elb.send(
    new elb.DeregisterTargetsCommand({ TargetGroupArn: groups.ip, Targets: [{ Id: mine }] }),
  );
  const other = mine === near.address ? far : near;
  assert.deepEqual(await answering(20), new Set([other.address]));
  assert.equal((await open.ask())!.server.address, mine);
  await register(groups.ip, [{ Id: mine }]);

  // Who does not answer any more gets nothing; when nobody does, everybody gets some.
  far.stop();
  await until(
    () => health(groups.ip),
    (found) => found.get(far.address) === 'unhealthy',
    'the check to fail',
  );
  assert.deepEqual(await answering(20), new Set([near.address]));
  const { TargetHealthDescriptions } = await lab.elb.send(
    new elb.DescribeTargetHealthCommand({ TargetGroupArn: groups.ip }),
  );
  assert.deepEqual(
    new Map(TargetHealthDescriptions!.map(({ Target, TargetHealth }) => [Target!.Id, TargetHealth!.Reason])),
    new Map([
      [near.address, undefined],
      [far.address, 'Target.FailedHealthChecks'],
    ]),
  );
});

/** Whom the server sees, and which it is. */
const both = (answer: Who | undefined) => answer && [answer.client.address, answer.server.address];

async function modify(
  client: elb.ElasticLoadBalancingV2Client,
  TargetGroupArn: string,
  attributes: Record<string, string>,
) {
  const Attributes = Object.entries(attributes).map(([Key, Value]) => ({ Key, Value }));
  await client.send(new elb.ModifyTargetGroupAttributesCommand({ TargetGroupArn, Attributes }));
}
