import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as ec2 from '@aws-sdk/client-ec2';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import { until } from '@enid/lab';
import type { LabStatus } from '@enid/lab/status';
import { machineNetwork, processesOf, run, start, tracesOf } from './enid.ts';
import { labOnly } from './given.ts';

const { after, before, test } = labOnly('no cluster: labs are made, asked and taken away on this machine');

const NAME = 'labtest';
const lab = (...args: string[]) => {
  const [command, ...rest] = args;
  return run('lab', command!, '--name', NAME, ...rest);
};

/** Makes a load balancer that answers `here` to the internet. @returns its URL. */
async function applicationLoadBalancer(): Promise<string> {
  const { stdout } = await lab('env');
  const of = (name: string) => new RegExp(`^export ${name}=(.*)$`, 'm').exec(stdout)![1]!;
  const settings = {
    endpoint: of('AWS_ENDPOINT_URL'),
    region: of('AWS_REGION'),
    credentials: { accessKeyId: of('AWS_ACCESS_KEY_ID'), secretAccessKey: of('AWS_SECRET_ACCESS_KEY') },
  };
  const vpc = new ec2.EC2Client(settings);
  const client = new elb.ElasticLoadBalancingV2Client(settings);
  try {
    const { Subnets } = await vpc.send(
      new ec2.DescribeSubnetsCommand({ Filters: [{ Name: 'map-public-ip-on-launch', Values: ['true'] }] }),
    );
    const { GroupId } = await vpc.send(
      new ec2.CreateSecurityGroupCommand({
        GroupName: 'web',
        Description: 'web',
        VpcId: Subnets![0]!.VpcId!,
      }),
    );
    await vpc.send(
      new ec2.AuthorizeSecurityGroupIngressCommand({
        ...{ GroupId, IpProtocol: 'tcp', FromPort: 80, ToPort: 80, CidrIp: '0.0.0.0/0' },
      }),
    );
    const { LoadBalancers } = await client.send(
      new elb.CreateLoadBalancerCommand({
        Name: 'web',
        Subnets: Subnets!.map(({ SubnetId }) => SubnetId!),
        SecurityGroups: [GroupId!],
      }),
    );
    const { LoadBalancerArn, DNSName } = LoadBalancers![0]!;
    const FixedResponseConfig = { StatusCode: '200', MessageBody: 'here' };
    await client.send(
      new elb.CreateListenerCommand({
        ...{ LoadBalancerArn, Protocol: 'HTTP', Port: 80 },
        DefaultActions: [{ Type: 'fixed-response', FixedResponseConfig }],
      }),
    );
    return `http://${DNSName}/`;
  } finally {
    vpc.destroy();
    client.destroy();
  }
}

let network: string;
before(async () => {
  await lab('down');
  network = machineNetwork();
});
after(async () => {
  await lab('down');
});

test('a lab comes up, runs pods, and goes without a trace', async (t) => {
  const up = await lab(
    'up',
    '--bare',
    '--nodes',
    '2',
    '--set',
    'WARM_IP_TARGET=2',
    '--set',
    'MINIMUM_IP_TARGET=3',
  );
  assert.equal(up.status, 0, up.stderr);
  assert.match(up.stdout, /node-2 /);

  await t.test('its agents took the settings: three addresses, not five, are warm', async () => {
    const status = JSON.parse((await lab('status', '--json')).stdout) as LabStatus;
    assert.deepEqual(
      status.nodes.map((node) => node.enis.map((eni) => eni.addresses.length - 1)),
      [[3], [3]],
    );
  });
  await t.test('a second one of the same name is refused, with the way out', async () => {
    const again = await lab('up', '--bare');
    assert.equal(again.status, 1);
    assert.match(again.stderr, /exists already.*enid lab down --name labtest/);
  });
  await t.test('pods on two nodes reach each other', async () => {
    assert.equal((await lab('run', 'web', '--node', 'node-1')).status, 0);
    const api = await lab('run', 'api', '--node', 'node-2');
    const address = /has (\S+) on node-2/.exec(api.stdout)![1]!;
    const ping = await lab('exec', 'web', '--', 'ping', '-c', '1', '-W', '2', address);
    assert.equal(ping.status, 0, ping.stdout);
  });
  await t.test('exec hands the exit status through', async () => {
    assert.equal((await lab('exec', 'web', '--', 'sh', '-c', 'exit 7')).status, 7);
  });
  for (const { what, args, says } of [
    {
      what: 'an unknown target',
      args: ['exec', 'nobody', '--', 'true'],
      says: /no node or pod "nobody"; there are node-1, node-2/,
    },
    {
      what: 'an unknown program',
      args: ['exec', 'web', '--', 'no-such-program'],
      says: /no program "no-such-program"/,
    },
    {
      what: 'an unknown node',
      args: ['run', 'x', '--node', 'node-9'],
      says: /no node "node-9"; there are node-1, node-2/,
    },
    { what: 'a pod name that is none', args: ['run', 'No_Pod'], says: /"No_Pod" cannot name a pod/ },
    { what: 'a pod that exists', args: ['run', 'web'], says: /pod default\/web exists already/ },
    { what: 'a pod that does not exist', args: ['delete', 'nobody'], says: /no pod "nobody"/ },
  ]) {
    await t.test(`${what} is a sentence and status 1`, async () => {
      const result = await lab(...args);
      assert.equal(result.status, 1);
      assert.match(result.stderr, says);
      assert.doesNotMatch(result.stderr, /\n\s+at /);
    });
  }
  await t.test(
    'every process killed at once loses nothing: pods talk, and all goes on when resumed',
    async () => {
      const before = JSON.parse((await lab('status', '--json')).stdout) as LabStatus;
      const api = before.nodes[1]!.pods[0]!.address;
      const balancer = await applicationLoadBalancer();
      const ask = () => lab('exec', 'internet', '--', 'curl', '-s', '--max-time', '5', balancer);
      await until(ask, ({ stdout }) => stdout === 'here', 'the load balancer to be active');
      for (const pid of processesOf(NAME)) process.kill(pid, 'SIGKILL');
      assert.equal(
        (await lab('exec', 'web', '--', 'ping', '-c', '3', '-i', '0.2', '-W', '2', api)).status,
        0,
      );
      const refused = await lab('run', 'late');
      assert.match(refused.stderr, /the enid agent of this node is not running/);

      const resumed = await lab('resume');
      assert.match(resumed.stderr, /started the AWS APIs, the agent of node-1, the agent of node-2/);
      const after = JSON.parse((await lab('status', '--json')).stdout) as LabStatus;
      const withoutPids = (status: LabStatus) => status.nodes.map(({ agentPid: _, ...node }) => node);
      assert.deepEqual(withoutPids(after), withoutPids(before));
      assert.equal(after.ec2Endpoint, before.ec2Endpoint);
      // What serves has not ended, and serves those that it served.
      assert.equal((await ask()).stdout, 'here');
      assert.equal((await lab('run', 'late')).status, 0);
      assert.equal((await lab('exec', 'late', '--', 'ping', '-c', '1', '-W', '2', api)).status, 0);
    },
  );
  await t.test('a pod is deleted', async () => {
    assert.equal((await lab('delete', 'web')).status, 0);
    assert.equal((await lab('exec', 'web', '--', 'true')).status, 1);
  });
  await t.test('down takes all of it away, with what still runs in it', async () => {
    const script = 'echo runs; exec sleep 1000';
    const { child, result } = start('lab', 'exec', '--name', NAME, 'api', '--', 'sh', '-c', script);
    await once(child.stdout!, 'data');
    assert.equal((await lab('down')).status, 0);
    await result;
    assert.deepEqual(tracesOf(NAME), []);
    assert.equal(machineNetwork(), network);
  });
});

test('a lab whose agents refuse a setting says why and is taken away', async () => {
  const up = await lab('up', '--bare', '--nodes', '1', '--set', 'WARM_ENI_TARGET=many');
  assert.equal(up.status, 1);
  assert.match(up.stderr, /WARM_ENI_TARGET/);
  assert.deepEqual(tracesOf(NAME), []);
});

test('an instance type that does not exist is refused with the words of EC2', async () => {
  const up = await lab('up', '--bare', '--nodes', '1', '--instance-type', 't3.enormous');
  assert.equal(up.status, 1);
  assert.match(up.stderr, /t3\.enormous/);
  assert.deepEqual(tracesOf(NAME), []);
});

/** Begins a lab. @returns its command, when its second node is about to start. */
async function half(): Promise<ReturnType<typeof start>> {
  const started = start('lab', 'up', '--name', NAME);
  await new Promise<void>((resolve) => {
    started.child.stderr!.on('data', (text: string) => {
      if (text.includes('starting node-2')) resolve();
    });
  });
  return started;
}

test('a lab that was killed half-way is taken away by down', async () => {
  const { child, result } = await half();
  child.kill('SIGKILL');
  await result;
  assert.notDeepEqual(tracesOf(NAME), []);
  assert.equal((await lab('down')).status, 0);
  assert.deepEqual(tracesOf(NAME), []);
  assert.equal(machineNetwork(), network);
});

test('who reads no more of what is said of a lab gets none', async () => {
  const { child, result } = await half();
  child.stderr!.destroy();
  assert.equal((await result).status, 130);
  assert.deepEqual(tracesOf(NAME), []);
  assert.equal(machineNetwork(), network);
});
