/** Network load balancers that carry traffic: from the internet to targets in two zones, on the lab's network. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import { type Ipv4, parseIp } from '@enid/ip';
import { bindUdp, connectTcp, type NetNamespace } from '@enid/linux';
import { until } from '../base/until.ts';
import {
  createListener,
  createLoadBalancer,
  createTargetGroup,
  forwardTo,
} from '../cloud/elbv2/elbv2.fixture.ts';
import { INTERNET_CLIENT } from '../internet/server.ts';
import {
  healthOf,
  healthy,
  nodesOf,
  register,
  setAttributes,
  startServing,
  type Who,
} from './lab.fixture.ts';

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
  const lab = await startServing(t);
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
    instance: await group('by-instance', { TargetType: 'instance', Port: 8080 }),
    udp: await group('udp', { Protocol: 'UDP', Port: 8080, TargetType: 'instance' }),
  };
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
  const nodes = nodesOf(lab, LoadBalancerArn);

  // Nobody serves yet: refused at once.
  const began = performance.now();
  assert.equal(await ask(internet, first!), undefined);
  assert.ok(performance.now() - began < 1000);

  await register(
    lab,
    groups.ip,
    targets.map(({ address }) => address),
  );
  for (const arn of [groups.instance, groups.udp])
    await register(
      lab,
      arn,
      targets.map(({ id }) => id),
    );
  for (const arn of Object.values(groups)) await healthy(lab, arn);

  // Each zone's node sends to its own zone. Targets by address see the load balancer, those by instance the client.
  assert.deepEqual(both(await ask(internet, first!)), [nodes[0]!, near.address]);
  assert.deepEqual(both(await ask(internet, second!)), [nodes[1]!, far.address]);
  assert.deepEqual(both(await ask(internet, first!, 81)), [INTERNET_CLIENT, near.address]);
  await setAttributes(lab, groups.ip, { 'preserve_client_ip.enabled': 'true' });
  assert.deepEqual(both(await ask(internet, first!)), [INTERNET_CLIENT, near.address]);

  // Datagrams keep their client, too.
  const echo = createSocket('udp4').bind({ fd: bindUdp(near.ns, near.address, 8080) });
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
  await setAttributes(lab, groups.ip, { 'deregistration_delay.connection_termination.enabled': 'true' });
  await lab.clock.advance(300_000);
  await lab.cloud.settled();
  assert.equal(await open.ask(), undefined, 'the delay is over');
  await register(lab, groups.ip, [mine]);

  // Who does not answer any more gets nothing; when nobody does, everybody gets some.
  far.stop();
  await until(
    () => healthOf(lab, groups.ip),
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
