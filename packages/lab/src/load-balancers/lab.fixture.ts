/** A lab whose load balancers serve, and machines that they send to. */
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import * as ec2 from '@aws-sdk/client-ec2';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import { listenTcp, NetNamespace } from '@enid/linux';
import { until } from '../base/until.ts';
import { launch, temporaryDirectory } from '../cloud/cloud.fixture.ts';
import type { Cloud } from '../cloud/cloud.ts';
import { startLab, type TestLab } from '../cloud/elbv2/elbv2.fixture.ts';
import type { HealthReport } from '../cloud/elbv2/health.ts';
import { Fabric } from '../fabric/fabric.ts';
import { instanceNamespaceName } from '../fabric/names.ts';
import { tellWhoAsks } from '../internet/who-asks.ts';
import { LoadBalancers } from './index.ts';

/** What {@link tellWhoAsks} answers. */
export type Who = { client: { address: string }; server: { address: string } };

/** A machine that listens on ports of its address. */
export type Target = Awaited<ReturnType<typeof serve>>;

/** Where each machine listens. */
const PORTS = [80, 8080] as const;

let count = 0;

/**
 * A network with two zones that the internet reaches, and an instance in each that tells on ports 80 and 8080 who
 * asks, and echoes what is said after an upgrade.
 */
export async function startServing(t: TestContext, answer: RequestListener = tellWhoAsks) {
  const prefix = `enidelb${process.pid}x${++count}`;
  const fabric = new Fabric({ prefix });
  const directory = join(temporaryDirectory(t), 'load-balancers');
  let cloud: Cloud | undefined;
  const options = {
    ...{ prefix, directory },
    report: async (report: HealthReport) => cloud?.reportHealth([report]),
  };
  const loadBalancers = new LoadBalancers(options);
  t.after(async () => {
    loadBalancers[Symbol.dispose]();
    await cloud?.stop();
    await LoadBalancers.remove(directory);
    await fabric.remove();
  });
  const lab = await startLab(t, { fabric, loadBalancers, settings: { throttle: null } });
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
  const internet = NetNamespace.named(`${prefix}-internet`);
  t.after(() => internet.close());
  const targets = [
    await serve(t, lab, prefix, lab.subnetId, answer),
    await serve(t, lab, prefix, lab.otherSubnetId, answer),
  ] as const;
  /** As when the process ends that looks after them, and another goes on. */
  const restart = async () => {
    loadBalancers[Symbol.dispose]();
    const next = new LoadBalancers(options);
    t.after(() => next[Symbol.dispose]());
    await next.sync(lab.cloud.state);
  };
  return { ...lab, directory, internet, targets, restart };
}

async function serve(
  t: TestContext,
  lab: TestLab,
  prefix: string,
  subnetId: string,
  answer: RequestListener,
) {
  const id = await launch(lab, subnetId);
  await lab.cloud.settled();
  const address = lab.cloud.state.instances[id]!.privateIp;
  const ns = NetNamespace.named(instanceNamespaceName(prefix, id));
  const servers = PORTS.map((port) => {
    const server = createServer(answer);
    server.on('upgrade', (_, socket) => {
      socket.on('error', () => {});
      socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n');
      socket.pipe(socket);
    });
    return server.listen({ fd: listenTcp(ns, address, port) });
  });
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const stop = () => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  };
  t.after(() => {
    stop();
    ns.close();
  });
  return { id, address, ns, stop };
}

export async function register({ elb: client }: TestLab, TargetGroupArn: string, ids: readonly string[]) {
  const Targets = ids.map((Id) => ({ Id }));
  await client.send(new elb.RegisterTargetsCommand({ TargetGroupArn, Targets }));
}

/** The health of a group's targets, by id: from the account itself, since the API is not to be asked so often. */
export const healthOf = ({ cloud }: TestLab, arn: string): Map<string, string | undefined> =>
  new Map(Object.values(cloud.state.targetGroups[arn]!.targets).map(({ id, health }) => [id, health?.state]));

/** Waits until all targets of a group are healthy. */
export async function healthy(lab: TestLab, arn: string): Promise<void> {
  await until(
    () => healthOf(lab, arn),
    (found) => [...found.values()].every((state) => state === 'healthy'),
    'healthy targets',
  );
}

/** The addresses of a load balancer within its VPC, zone by zone. */
export const nodesOf = ({ cloud }: TestLab, arn: string): string[] =>
  cloud.state.loadBalancers[arn]!.zones.map(
    ({ networkInterfaceId }) => cloud.state.networkInterfaces[networkInterfaceId]!.primaryIp,
  );

export async function setAttributes(
  { elb: client }: TestLab,
  TargetGroupArn: string,
  attributes: Record<string, string>,
): Promise<void> {
  const Attributes = Object.entries(attributes).map(([Key, Value]) => ({ Key, Value }));
  await client.send(new elb.ModifyTargetGroupAttributesCommand({ TargetGroupArn, Attributes }));
}
