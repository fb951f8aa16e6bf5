/**
 * L-IPAM against the lab's EC2 API and instance metadata, over HTTP, in real time; without a network beneath.
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { CreateNetworkInterfaceCommand, RunInstancesCommand } from '@aws-sdk/client-ec2';
import { contains } from '@enid/ip';
import { pino } from 'pino';
import { AwsEc2 } from '../packages/agent/src/aws/ec2.ts';
import { Imds } from '../packages/agent/src/aws/metadata.ts';
import { systemClock } from '../packages/agent/src/clock.ts';
import { readConfig } from '../packages/agent/src/config.ts';
import { WarmPool } from '../packages/agent/src/pool/warm-pool.ts';
import type { NodeEni } from '../packages/agent/src/seams.ts';
import { until } from '../packages/lab/src/base/until.ts';
import {
  buildNetwork,
  CREDENTIALS,
  clientOf,
  NullFabric,
  temporaryDirectory,
} from '../packages/lab/src/cloud/cloud.fixture.ts';
import { Cloud } from '../packages/lab/src/cloud/cloud.ts';
import { faultSchema } from '../packages/lab/src/cloud/faults.ts';
import { lookUp, metadataOf } from '../packages/lab/src/cloud/metadata.ts';
import { interfacesOf } from '../packages/lab/src/cloud/state.ts';
import { labOnly } from './given.ts';

const { test } = labOnly(
  "no cluster: an agent's pool is run by the test, against an EC2 API that fails and throttles on demand",
);

const keyOf = (pod: number) => ({ network: 'aws-cni', containerId: `c${pod}`, ifName: 'eth0' });

/** Metadata of the instance on loopback, as the service in the VPC gives it. */
async function serveMetadata(t: TestContext, cloud: Cloud, instanceId: string): Promise<string> {
  const server = createServer((request, response) => {
    if (request.method === 'PUT') return response.end('token');
    assert.equal(request.headers['x-aws-ec2-metadata-token'], 'token');
    const now = cloud.state;
    const credentials = cloud.credentialsOf(instanceId);
    const tree = metadataOf(now.instances[instanceId]!, { now, past: now, credentials });
    const body = lookUp(tree, request.url!.replace('/latest/', ''));
    response.writeHead(body === undefined ? 404 : 200).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A cloud with one instance, and what starts an agent's pool on it. */
async function setUp(
  t: TestContext,
  subnets?: string[],
  {
    env = {},
    type = 't3.medium' as const,
  }: { env?: NodeJS.ProcessEnv; type?: 't3.medium' | 'm4.large' } = {},
) {
  const settings = { attachDelayMs: 100, throttle: null };
  const cloud = new Cloud({
    fabric: new NullFabric(),
    stateDir: temporaryDirectory(t),
    credentials: CREDENTIALS,
    settings,
  });
  await cloud.start();
  const client = clientOf(cloud);
  const started: { pool: WarmPool; ec2: AwsEc2 }[] = [];
  t.after(async () => {
    for (const { pool, ec2 } of started) {
      await pool.stop();
      ec2.close();
    }
    client.destroy();
    await cloud.stop();
  });
  const { subnetId } = await buildNetwork(client, subnets);
  const { Instances } = await client.send(
    new RunInstancesCommand({
      ImageId: 'ami-1',
      InstanceType: type,
      MinCount: 1,
      MaxCount: 1,
      SubnetId: subnetId,
    }),
  );
  const instanceId = Instances![0]!.InstanceId!;
  await until(
    () => cloud.state.instances[instanceId]?.state,
    (state) => state === 'running',
    'the instance to run',
  );

  process.env.AWS_ENDPOINT_URL_EC2 = cloud.endpoint;
  process.env.AWS_ACCESS_KEY_ID = CREDENTIALS.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = CREDENTIALS.secretAccessKey;
  process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT = await serveMetadata(t, cloud, instanceId);

  const up = { enis: [] as readonly NodeEni[] };
  const disk: { text?: string } = {};
  const store = {
    name: 'disk',
    read: async () => (disk.text ? { text: disk.text, writtenAt: Date.now() } : undefined),
    write: async (text: string) => {
      disk.text = text;
    },
  };
  const start = async (change: NodeJS.ProcessEnv = env, ready = true): Promise<WarmPool> => {
    const metadata = await Imds.open(systemClock);
    const identity = await metadata.identity();
    const ec2 = AwsEc2.open(await AwsEc2.load(), identity);
    const pool = await WarmPool.start({
      ec2,
      metadata,
      store,
      identity,
      network: {
        setEnis: async (enis) => {
          up.enis = enis;
        },
      },
      clock: systemClock,
      random: () => 0.5,
      log: pino({ level: process.env.LOG ?? 'silent' }),
      settings: readConfig(change).pool,
      clusterName: 'test',
    });
    started.push({ pool, ec2 });
    if (ready) await pool.whenReady;
    return pool;
  };
  const attached = () => interfacesOf(cloud.state, instanceId);
  const fault = (fault: object) => cloud.faults.add(faultSchema.parse(fault));
  return { cloud, client, instanceId, start, attached, up, fault };
}

test('15 pods fill a t3.medium of the lab, the next is refused, and a restart knows all', async (t) => {
  const { start, attached, up } = await setUp(t);
  const pool = await start();
  assert.equal(attached().length, 1);
  assert.equal(attached()[0]!.secondaryIps.length, 5);

  const assignments = await Promise.all([...Array(15).keys()].map((pod) => pool.assign(keyOf(pod), {})));
  const owned = attached().flatMap(({ secondaryIps }) => secondaryIps);
  assert.deepEqual(assignments.map(({ address }) => address).sort(), [...owned].sort());
  for (const eni of attached().slice(1)) {
    assert.equal(eni.tags['eks:eni:owner'], 'amazon-vpc-cni');
    assert.equal(eni.tags['cluster.k8s.amazonaws.com/name'], 'test');
    assert.ok(eni.attachment!.deleteOnTermination);
  }
  await assert.rejects(pool.assign(keyOf(15), {}), /3 of 3 ENIs attached, 15 of 15 addresses assigned/);
  await pool.stop();

  const next = await start();
  assert.deepEqual(
    next
      .assignments()
      .map(({ address }) => address)
      .sort(),
    [...owned].sort(),
  );
  assert.deepEqual(
    up.enis.map(({ deviceNumber, table }) => [deviceNumber, table]),
    [
      [0, 254],
      [1, 2],
      [2, 3],
    ],
  );
});

test('an attachment that EC2 refuses leaves no interface behind and is explained', async (t) => {
  const { cloud, start, attached, fault } = await setUp(t);
  fault({ operation: 'AttachNetworkInterface', code: 'AttachmentLimitExceeded' });
  const pool = await start();
  for (let pod = 0; pod < 5; pod++) await pool.assign(keyOf(pod), {});
  await assert.rejects(
    pool.assign(keyOf(5), {}),
    /as many ENIs attached as its type allows.*AttachmentLimitExceeded/,
  );
  await until(
    () => Object.keys(cloud.state.networkInterfaces),
    (ids) => ids.length === 1,
    'the unused interface to be deleted',
  );
  assert.equal(attached().length, 1);
});

test('answers that are lost lead to no second interface', async (t) => {
  const { cloud, start, attached, fault } = await setUp(t);
  fault({ operation: 'CreateNetworkInterface', drop: true, when: 'after', times: 1 });
  fault({ operation: 'AttachNetworkInterface', drop: true, when: 'after', times: 1 });
  const pool = await start();
  await pool.assign(keyOf(0), {});
  await until(attached, (enis) => enis.length === 2, 'a second ENI to be attached');
  assert.equal(Object.keys(cloud.state.networkInterfaces).length, 2);
});

test('a subnet without addresses is named', async (t) => {
  const { start } = await setUp(t, ['10.0.1.0/28', '10.0.2.0/28']);
  const pool = await start();
  for (let pod = 0; pod < 5; pod++) await pool.assign(keyOf(pod), {});
  await assert.rejects(
    pool.assign(keyOf(5), {}),
    /5 of 5 addresses assigned.*subnet-\w+ has no free address.*InsufficientFreeAddressesInSubnet.*next attempt in 1\d\d s/,
  );
});

test('a role that may not is told what to attach', async (t) => {
  const { start, fault } = await setUp(t);
  fault({ operation: 'CreateNetworkInterface', code: 'UnauthorizedOperation' });
  const pool = await start();
  for (let pod = 0; pod < 5; pod++) await pool.assign(keyOf(pod), {});
  await assert.rejects(
    pool.assign(keyOf(5), {}),
    /may not call ec2:CreateNetworkInterface: attach the policy AmazonEKS_CNI/,
  );
});

const PREFIXES = { ENABLE_PREFIX_DELEGATION: 'true' };

test('20 pods of a t3.medium have addresses of prefixes, and a switch back drains them', async (t) => {
  const { start, attached } = await setUp(t, undefined, { env: PREFIXES });
  const pool = await start();
  assert.deepEqual([attached()[0]!.secondaryIps.length, attached()[0]!.prefixes.length], [0, 1]);
  const assignments = await Promise.all([...Array(20).keys()].map((pod) => pool.assign(keyOf(pod), {})));
  const blocks = () => attached().flatMap(({ prefixes }) => prefixes);
  for (const { address } of assignments) {
    assert.ok(
      blocks().some((block) => contains(block, address)),
      `${address} is of no prefix`,
    );
  }
  await until(
    blocks,
    (all) => all.length === 3,
    'a third prefix, since two have less than 16 addresses left',
  );
  await pool.stop();

  const back = await start({});
  assert.equal(back.assignments().length, 20);
  await until(
    () => attached().flatMap(({ secondaryIps }) => secondaryIps),
    (addresses) => addresses.length > 4,
    'single addresses to take over',
  );
  await until(blocks, (all) => all.length === 2, 'the prefix without pods to be unassigned');
});

test('a subnet whose free addresses are scattered is named, and takes no single addresses instead', async (t) => {
  const { client, start, attached } = await setUp(t, ['10.0.1.0/26', '10.0.2.0/28'], { env: PREFIXES });
  const subnetId = attached()[0]!.subnetId;
  for (const address of ['10.0.1.20', '10.0.1.36', '10.0.1.50']) {
    await client.send(new CreateNetworkInterfaceCommand({ SubnetId: subnetId, PrivateIpAddress: address }));
  }
  const pool = await start({ ...PREFIXES, IP_COOLDOWN_PERIOD: '0' }, false);
  const refusal = () =>
    pool.assign(keyOf(0), {}).then(
      () => '',
      (error: Error) => error.message,
    );
  await until(
    refusal,
    (text) => text.includes('is fragmented: it has'),
    'the refusal to name the fragmentation',
  );
  assert.match(
    await refusal(),
    /it has 5\d free addresses but no contiguous \/28 block.*InsufficientCidrBlocks/,
  );
  assert.deepEqual(
    attached().map(({ secondaryIps }) => secondaryIps.length),
    [0],
  );
});

test('EC2 gives an instance without Nitro no prefix, and the agent does not ask', async (t) => {
  const { start } = await setUp(t, undefined, { env: PREFIXES, type: 'm4.large' });
  const pool = await start(PREFIXES, false);
  await assert.rejects(pool.assign(keyOf(0), {}), /m4\.large is no Nitro instance/);
});
