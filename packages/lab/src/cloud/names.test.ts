import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIpv4 } from '@enid/ip';
import { privateDnsName, publicDnsName, zoneId } from './names.ts';

test('zones have the ids that AWS gives them', () => {
  for (const [zone, id] of [
    ['us-east-1a', 'use1-az1'],
    ['us-west-2c', 'usw2-az3'],
    ['eu-central-1b', 'euc1-az2'],
    ['ap-northeast-1d', 'apne1-az4'],
    ['ap-southeast-2a', 'apse2-az1'],
  ] as const) {
    assert.equal(zoneId(zone), id);
  }
});

test('DNS names are those of the region', () => {
  const address = parseIpv4('10.0.1.5');
  assert.equal(privateDnsName('us-east-1', address), 'ip-10-0-1-5.ec2.internal');
  assert.equal(privateDnsName('eu-west-1', address), 'ip-10-0-1-5.eu-west-1.compute.internal');
  assert.equal(publicDnsName('us-east-1', address), 'ec2-10-0-1-5.compute-1.amazonaws.com');
  assert.equal(publicDnsName('eu-west-1', address), 'ec2-10-0-1-5.eu-west-1.compute.amazonaws.com');
});
