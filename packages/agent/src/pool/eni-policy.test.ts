import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIpv4 } from '@enid/ip';
import type { Ec2Eni } from '../aws/ec2.ts';
import { isManaged, subnetOrder } from './eni-policy.ts';

const ENI: Ec2Eni = {
  id: 'eni-1',
  mac: '02:00:00:00:00:01',
  description: '',
  type: 'interface',
  primaryIp: parseIpv4('10.0.0.5'),
  subnetId: 'subnet-a',
  addresses: [],
  prefixes: [],
  securityGroups: [],
  tags: {},
  attachment: { id: 'a', deviceNumber: 1, networkCard: 0, status: 'attached', deleteOnTermination: true },
};
const NO_MANAGE = 'node.k8s.amazonaws.com/no_manage';
const INSTANCE = 'node.k8s.amazonaws.com/instance_id';

for (const [name, change, manageUntagged, expected] of [
  ['untagged', {}, true, true],
  ['untagged while MANAGE_UNTAGGED_ENI is false', {}, false, false],
  ['made by an agent', { tags: { [INSTANCE]: 'i-1' } }, false, true],
  ['made by an agent of another instance', { tags: { [INSTANCE]: 'i-2' } }, false, false],
  ['tagged no_manage=true', { tags: { [NO_MANAGE]: 'true', [INSTANCE]: 'i-1' } }, true, false],
  ['tagged no_manage=false', { tags: { [NO_MANAGE]: 'false' } }, false, true],
  ['a trunk', { type: 'trunk' }, true, false],
  ['primary, whatever its tags', { deviceNumber: 0, tags: { [NO_MANAGE]: 'true' } }, false, true],
  ['on a further network card', { networkCard: 1 }, true, false],
] as const) {
  test(`an ENI that is ${name} is ${expected ? '' : 'not '}managed`, () => {
    const attachment = { ...ENI.attachment!, ...change };
    assert.equal(isManaged({ ...ENI, ...change, attachment }, 'i-1', manageUntagged), expected);
  });
}

test('subnets: the primary one unless excluded, others when included, by room, for their clusters', () => {
  const role = 'kubernetes.io/role/cni';
  const subnets = [
    { id: 'primary', freeAddresses: 10, tags: {} },
    { id: 'untagged', freeAddresses: 99, tags: {} },
    { id: 'included', freeAddresses: 20, tags: { [role]: '1' } },
    { id: 'theirs', freeAddresses: 50, tags: { [role]: '1', 'cni.networking.k8s.aws/cluster/b': '' } },
    { id: 'ours', freeAddresses: 30, tags: { [role]: '1', 'cni.networking.k8s.aws/cluster/a': '' } },
  ];
  assert.deepEqual(subnetOrder(subnets, 'primary', 'a'), ['ours', 'included', 'primary']);
  const excluded = [{ ...subnets[0]!, tags: { [role]: '0' } }, ...subnets.slice(1)];
  assert.deepEqual(subnetOrder(excluded, 'primary', undefined), ['included']);
});
