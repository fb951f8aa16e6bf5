import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import {
  AssignPrivateIpAddressesCommand,
  AttachNetworkInterfaceCommand,
  ModifyInstanceMetadataOptionsCommand,
} from '@aws-sdk/client-ec2';
import { buildNetwork, createInterface, launch, startCloud } from './cloud.fixture.ts';
import type { Settings } from './settings.ts';

async function start(t: TestContext, settings: Partial<Settings> = {}) {
  const lab = await startCloud(t, { settings });
  const network = await buildNetwork(lab.ec2);
  const instanceId = await launch(lab, network.subnetId, {
    UserData: Buffer.from('#!/bin/sh\n').toString('base64'),
    TagSpecifications: [{ ResourceType: 'instance', Tags: [{ Key: 'Name', Value: 'node' }] }],
  });
  const address = lab.cloud.state.instances[instanceId]!.privateIp;
  const ask = (method: string, path: string, headers: Record<string, string> = {}, from: string = address) =>
    lab.cloud.metadata.handle({ vpcId: network.vpcId, address: from, method, path, headers });
  const newToken = (ttl = 60) =>
    ask('PUT', '/latest/api/token', { 'x-aws-ec2-metadata-token-ttl-seconds': String(ttl) })!.body;
  const token = newToken(21_600);
  const get = (path: string) =>
    ask('GET', `/latest/meta-data/${path}`, { 'x-aws-ec2-metadata-token': token })!;
  const options = (more: object) =>
    lab.ec2.send(new ModifyInstanceMetadataOptionsCommand({ InstanceId: instanceId, ...more }));
  return { ...lab, ...network, instanceId, address, ask, newToken, token, get, options };
}

suite('tokens', () => {
  test('are needed, last as long as asked, and are of one instance', async (t) => {
    const lab = await start(t);
    const path = '/latest/meta-data/instance-id';
    assert.equal(lab.ask('GET', path)!.status, 401);
    const token = lab.newToken(60);
    const withToken = (from?: string) => lab.ask('GET', path, { 'x-aws-ec2-metadata-token': token }, from)!;
    assert.deepEqual([withToken().status, withToken().body], [200, lab.instanceId]);
    const other = await launch(lab, lab.subnetId);
    assert.equal(withToken(lab.cloud.state.instances[other]!.privateIp).status, 401);
    await lab.clock.advance(59_999);
    assert.equal(withToken().headers['x-aws-ec2-metadata-token-ttl-seconds'], '1');
    await lab.clock.advance(1);
    assert.equal(withToken().status, 401);
  });

  for (const [headers, status] of [
    [{}, 400],
    [{ 'x-aws-ec2-metadata-token-ttl-seconds': '0' }, 400],
    [{ 'x-aws-ec2-metadata-token-ttl-seconds': '21601' }, 400],
    [{ 'x-aws-ec2-metadata-token-ttl-seconds': 'long' }, 400],
    [{ 'x-aws-ec2-metadata-token-ttl-seconds': '60', 'x-forwarded-for': '10.0.1.9' }, 403],
  ] as const) {
    test(`PUT with ${JSON.stringify(headers)} is answered ${status}`, async (t) => {
      const { ask } = await start(t);
      assert.equal(ask('PUT', '/latest/api/token', headers)!.status, status);
    });
  }

  test('are not needed where IMDSv1 is allowed, but a wrong one is refused', async (t) => {
    const { ask, options } = await start(t);
    await options({ HttpTokens: 'optional' });
    assert.equal(ask('GET', '/latest/meta-data/instance-id')!.status, 200);
    const wrong = { 'x-aws-ec2-metadata-token': 'AQAE' };
    assert.equal(ask('GET', '/latest/meta-data/instance-id', wrong)!.status, 401);
  });

  test('other methods, another caller, a service that is switched off', async (t) => {
    const { ask, options } = await start(t);
    assert.equal(ask('GET', '/latest/api/token')!.status, 405);
    assert.equal(ask('POST', '/latest/meta-data/')!.status, 405);
    assert.equal(ask('GET', '/latest/meta-data/', {}, '10.0.1.250'), undefined);
    await options({ HttpEndpoint: 'disabled' });
    assert.equal(ask('GET', '/latest/meta-data/')!.status, 403);
  });

  test('answers leave with the hop limit', async (t) => {
    const { ask, options } = await start(t);
    assert.equal(ask('PUT', '/latest/api/token')!.hopLimit, 1);
    await options({ HttpPutResponseHopLimit: 2 });
    assert.equal(ask('PUT', '/latest/api/token')!.hopLimit, 2);
  });
});

suite('metadata', () => {
  test('directories are listed as AWS lists them', async (t) => {
    const { get, ask, token, cloud } = await start(t);
    const [eni] = Object.values(cloud.state.networkInterfaces);
    assert.equal(
      get('').body,
      'ami-id\nami-launch-index\nhostname\niam/\ninstance-action\ninstance-id\ninstance-life-cycle\ninstance-type\n' +
        'local-hostname\nlocal-ipv4\nmac\nnetwork/\nplacement/\npublic-hostname\npublic-ipv4\nreservation-id\n' +
        'security-groups\nservices/',
    );
    assert.equal(get('network/interfaces/macs/').body, `${eni!.mac}/`);
    assert.equal(get('network/interfaces/macs').body, `${eni!.mac}/`);
    assert.equal(get('placement/').body, 'availability-zone\navailability-zone-id\nregion');
    for (const path of [
      'nothing',
      'instance-id/x',
      `network/interfaces/macs/${eni!.mac}/ipv4-prefix`,
      'tags/',
    ]) {
      assert.equal(get(path).status, 404, path);
    }
    const latest = ask('GET', '/latest/', { 'x-aws-ec2-metadata-token': token })!;
    assert.equal(latest.body, 'dynamic/\nmeta-data/\nuser-data');
    const userData = ask('GET', '/latest/user-data', { 'x-aws-ec2-metadata-token': token })!;
    assert.equal(userData.body, '#!/bin/sh\n');
  });

  test('tells of the instance', async (t) => {
    const { get, ask, token, instanceId, options } = await start(t);
    for (const [path, body] of [
      ['instance-id', instanceId],
      ['instance-type', 't3.medium'],
      ['local-ipv4', '10.0.1.4'],
      ['hostname', 'ip-10-0-1-4.ec2.internal'],
      ['public-ipv4', '203.0.113.1'],
      ['placement/availability-zone', 'us-east-1a'],
      ['placement/region', 'us-east-1'],
      ['security-groups', 'default'],
      ['iam/security-credentials/', 'enid-node'],
    ] as const) {
      assert.equal(get(path).body, body, path);
    }
    const document = ask('GET', '/latest/dynamic/instance-identity/document', {
      'x-aws-ec2-metadata-token': token,
    })!;
    assert.deepEqual(
      [JSON.parse(document.body).instanceId, JSON.parse(document.body).region],
      [instanceId, 'us-east-1'],
    );
    await options({ InstanceMetadataTags: 'enabled' });
    assert.equal(get('tags/instance/').body, 'Name');
    assert.equal(get('tags/instance/Name').body, 'node');
  });

  test('tells of every interface that is attached, with its addresses and prefixes', async (t) => {
    const lab = await start(t);
    const NetworkInterfaceId = await createInterface(lab, lab.subnetId, {
      SecondaryPrivateIpAddressCount: 1,
    });
    const macs = () => lab.get('network/interfaces/macs/').body.split('\n').length;
    assert.equal(macs(), 1);
    await lab.ec2.send(
      new AttachNetworkInterfaceCommand({ NetworkInterfaceId, InstanceId: lab.instanceId, DeviceIndex: 1 }),
    );
    await lab.clock.advance(0);
    assert.equal(macs(), 2);
    await lab.ec2.send(new AssignPrivateIpAddressesCommand({ NetworkInterfaceId, Ipv4PrefixCount: 2 }));
    const eni = lab.cloud.state.networkInterfaces[NetworkInterfaceId]!;
    for (const [name, body] of [
      ['device-number', '1'],
      ['interface-id', NetworkInterfaceId],
      ['local-ipv4s', [eni.primaryIp, ...eni.secondaryIps].join('\n')],
      ['ipv4-prefix', eni.prefixes.join('\n')],
      ['mac', eni.mac],
      ['network-card', '0'],
      ['owner-id', '123456789012'],
      ['security-group-ids', lab.groupId],
      ['subnet-id', lab.subnetId],
      ['subnet-ipv4-cidr-block', '10.0.1.0/24'],
      ['vpc-id', lab.vpcId],
      ['vpc-ipv4-cidr-block', '10.0.0.0/16'],
      ['vpc-ipv4-cidr-blocks', '10.0.0.0/16'],
    ] as const) {
      assert.equal(lab.get(`network/interfaces/macs/${eni.mac}/${name}`).body, body, name);
    }
  });

  test('is behind EC2 by the lag, but for the interface that an instance starts with', async (t) => {
    const lab = await start(t, { metadataLagMs: 3000 });
    assert.equal(lab.get('network/interfaces/macs/').body.split('\n').length, 1);
    const { mac, id } = Object.values(lab.cloud.state.networkInterfaces)[0]!;
    await lab.clock.advance(3000);
    const assign = new AssignPrivateIpAddressesCommand({
      NetworkInterfaceId: id,
      SecondaryPrivateIpAddressCount: 1,
    });
    await lab.ec2.send(assign);
    const shown = () => lab.get(`network/interfaces/macs/${mac}/local-ipv4s`).body.split('\n').length;
    await lab.clock.advance(2000);
    await lab.ec2.send(assign);
    assert.equal(shown(), 1);
    await lab.clock.advance(1000);
    assert.equal(shown(), 2);
    await lab.clock.advance(2000);
    assert.equal(shown(), 3);
  });

  test('hands out keys of the role, which are good for six hours', async (t) => {
    const lab = await start(t);
    const read = () => JSON.parse(lab.get('iam/security-credentials/enid-node').body);
    const keys = read();
    assert.deepEqual([keys.Code, keys.Type, keys.AccessKeyId.slice(0, 4)], ['Success', 'AWS-HMAC', 'ASIA']);
    assert.deepEqual(read(), keys);
    await lab.clock.advance(3_600_000);
    assert.notEqual(read().AccessKeyId, keys.AccessKeyId);
  });
});
