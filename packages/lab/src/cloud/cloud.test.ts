import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import * as ec2 from '@aws-sdk/client-ec2';
import {
  buildNetwork,
  CREDENTIALS,
  createInterface,
  launch,
  startCloud,
  temporaryDirectory,
} from './cloud.fixture.ts';
import { Cloud } from './cloud.ts';

const createVpc = (cidr = '10.0.0.0/16') => new ec2.CreateVpcCommand({ CidrBlock: cidr });

suite('the account', () => {
  test('is the same after a restart, and so are the ids to come', async (t) => {
    const stateDir = temporaryDirectory(t);
    const first = await startCloud(t, { stateDir, settings: { attachDelayMs: 1000 } });
    const { subnetId } = await buildNetwork(first.ec2);
    const instanceId = await launch(first, subnetId);
    const eniId = await createInterface(first, subnetId);
    await first.ec2.send(
      new ec2.AttachNetworkInterfaceCommand({
        NetworkInterfaceId: eniId,
        InstanceId: instanceId,
        DeviceIndex: 1,
      }),
    );
    await first.cloud.stop();

    const second = await startCloud(t, { stateDir, settings: { attachDelayMs: 1000 } });
    assert.deepEqual(second.cloud.state, first.cloud.state);
    assert.deepEqual(second.fabric.synced, [first.cloud.state], 'the network is put in force');
    // What was under way goes on.
    await second.clock.advance(1000);
    assert.equal(second.cloud.state.networkInterfaces[eniId]!.attachment!.status, 'attached');
    const next = await createInterface(second, subnetId);
    assert.ok(!(next in first.cloud.state.networkInterfaces));
  });

  test('of another release is refused, with what to do', (t) => {
    const stateDir = temporaryDirectory(t);
    writeFileSync(join(stateDir, 'cloud.json'), '{"version": "enid-cloud/0", "state": {}}');
    const fabric = { sync: async () => {}, vpcNamespace: () => undefined };
    assert.throws(() => new Cloud({ fabric, stateDir, credentials: CREDENTIALS }), {
      message: /cloud\.json has the version enid-cloud\/0.*build it anew/,
    });
  });

  test('is not changed when the network refuses', async (t) => {
    const { ec2: client, cloud, fabric, stateDir } = await startCloud(t);
    await client.send(createVpc());
    const before = cloud.state;
    fabric.refusal = new Error('RTM_NEWLINK eth1: No space left on device');
    await assert.rejects(client.send(createVpc('10.1.0.0/16')), {
      name: 'InternalError',
      message:
        'An internal error has occurred, and nothing was changed: RTM_NEWLINK eth1: No space left on device',
    });
    assert.equal(cloud.state, before);
    assert.equal(fabric.synced.at(-1), before, 'and the network is as before');
    assert.deepEqual(JSON.parse(readFileSync(join(stateDir, 'cloud.json'), 'utf8')).state, before);
    await client.send(createVpc('10.1.0.0/16'));
  });

  test('a change that is due is tried again when the network refuses', async (t) => {
    const lab = await startCloud(t, { settings: { launchDelayMs: 100 } });
    const { subnetId } = await buildNetwork(lab.ec2);
    const id = await launch(lab, subnetId);
    lab.fabric.refusal = new Error('no');
    await lab.clock.advance(100);
    assert.equal(lab.cloud.state.instances[id]!.state, 'pending');
    await lab.clock.advance(1000);
    assert.equal(lab.cloud.state.instances[id]!.state, 'running');
  });

  test('changes one at a time, and answers when the network has followed', async (t) => {
    const { ec2: client, cloud, fabric } = await startCloud(t);
    const gate = Promise.withResolvers<void>();
    const seen: number[] = [];
    fabric.sync = async (state) => {
      seen.push(Object.keys(state.vpcs).length);
      await gate.promise;
    };
    const created = [createVpc(), createVpc('10.1.0.0/16')].map((command) => client.send(command));
    while (seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const { Vpcs } = await client.send(new ec2.DescribeVpcsCommand({}));
    assert.deepEqual(Vpcs, [], 'what is not in force cannot be seen');
    gate.resolve();
    await Promise.all(created);
    assert.deepEqual(seen, [1, 2]);
    assert.equal(Object.keys(cloud.state.vpcs).length, 2);
  });

  test('the same seed makes the same ids', async (t) => {
    const ids = async (seed: string) => {
      const { ec2: client, cloud } = await startCloud(t, { seed });
      await client.send(createVpc());
      return Object.keys(cloud.state.vpcs);
    };
    assert.deepEqual(await ids('a'), await ids('a'));
    assert.notDeepEqual(await ids('a'), await ids('b'));
  });
});

test('the AWS CLI builds a VPC and looks at it', async (t) => {
  const { cloud } = await startCloud(t);
  const aws = async (...args: string[]) => {
    const command = ['ec2', ...args, '--endpoint-url', cloud.endpoint, '--output', 'json'];
    const { stdout } = await promisify(execFile)('/usr/bin/aws', command, {
      env: {
        AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
        AWS_REGION: 'us-east-1',
        AWS_CONFIG_FILE: '/dev/null',
        AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
        AWS_MAX_ATTEMPTS: '1',
      },
    });
    return stdout === '' ? undefined : JSON.parse(stdout);
  };
  const tags = 'ResourceType=vpc,Tags=[{Key=Name,Value=a & <b>}]';
  const { Vpc } = await aws('create-vpc', '--cidr-block', '10.0.0.0/16', '--tag-specifications', tags);
  const { Vpcs } = await aws(
    'describe-vpcs',
    '--filters',
    'Name=tag:Name,Values=a*,b',
    'Name=is-default,Values=false',
  );
  assert.deepEqual(Vpcs, [{ ...Vpc, State: 'available', Tags: [{ Key: 'Name', Value: 'a & <b>' }] }]);
  const [group] = Object.keys(cloud.state.securityGroups) as [string];
  const rule = ['--group-id', group, '--protocol', 'tcp', '--port', '80-90', '--cidr', '0.0.0.0/0'];
  await aws('authorize-security-group-ingress', ...rule);
  assert.deepEqual(
    cloud.state.securityGroups[group]!.ingress.map(({ fromPort, toPort, peer }) => [fromPort, toPort, peer]),
    [
      [undefined, undefined, { groupId: group }],
      [80, 90, { cidr: '0.0.0.0/0' }],
    ],
  );
  await assert.rejects(aws('authorize-security-group-ingress', ...rule), {
    stderr:
      /An error occurred \(InvalidPermission\.Duplicate\) when calling the AuthorizeSecurityGroupIngress operation/,
  });
});
