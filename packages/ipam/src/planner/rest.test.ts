import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INSTANCE_LIMITS, instanceLimits } from '../instance-limits.ts';
import { poolSettings, SettingError } from '../settings.ts';
import { planToRest } from './rest.ts';

const rest = (type: string, pods: number, env: Record<string, string>) =>
  planToRest(type, instanceLimits(type)!, poolSettings(env), pods);

/**
 * The table of warm targets that Amazon publishes (amazon-vpc-cni-k8s, docs/eni-and-ip-target.md): type,
 * WARM_ENI_TARGET, WARM_IP_TARGET, MINIMUM_IP_TARGET, pods; then ENIs, addresses, unused ones, addresses per ENI. It
 * writes "2,3" in one row where it means 3,2.
 */
const ADDRESSES = `
  t3.small      1 - -   0  1   3  3 3
  t3.small      1 - -   5  3   9  4 3,3,3
  t3.small      1 - -   9  3   9  0 3,3,3
  t3.small      - 1 1   0  1   1  1 1
  t3.small      - 1 1   5  2   6  1 3,3
  t3.small      - 1 1   9  3   9  0 3,3,3
  t3.small      - 2 5   0  2   5  5 3,2
  t3.small      - 2 5   5  3   7  2 3,3,1
  t3.small      - 2 5   9  3   9  0 3,3,3
  p3dn.24xlarge 1 - -   0  1  49 49 49
  p3dn.24xlarge 1 - -   3  2  98 95 49,49
  p3dn.24xlarge 1 - -  95  3 147 52 49,49,49
  p3dn.24xlarge - 5 10  0  1  10 10 10
  p3dn.24xlarge - 5 10  7  1  12  5 12
  p3dn.24xlarge - 5 10 15  1  20  5 20
  p3dn.24xlarge - 5 10 45  2  50  5 49,1
`;

/**
 * Its table for prefixes (docs/prefix-and-ip-target.md), with WARM_PREFIX_TARGET first, and prefixes for addresses. Left
 * out is the row that contradicts itself (targets 7 and 20 without pods: "1 prefix, 2 per ENI"), and the empty ENIs that
 * it shows on a p3dn although it says that an ENI comes only when the others are full.
 */
const PREFIXES = `
  t3.small 1 - -  0  1 1 16 1
  t3.small 1 - -  5  1 2 27 2
  t3.small 1 - - 16  1 2 16 2
  t3.small 1 - - 17  1 3 31 3
  t3.small 1 - - 58  2 5 22 3,2
  t3.small - 1 1  0  1 1 16 1
  t3.small - 1 1  5  1 1 11 1
  t3.small - 1 1 17  1 2 15 2
  t3.small - 1 1 58  2 4  6 3,1
  t3.small - 7 20 5  1 2 27 2
  t3.small - 7 20 17 1 2 15 2
  t3.small - 7 20 58 2 5 22 3,2
  p3dn.24xlarge 1 - - 95 1 7 17 7
  p3dn.24xlarge - 5 10  0 1 1 16 1
  p3dn.24xlarge - 5 10  7 1 1  9 1
  p3dn.24xlarge - 5 10 15 1 2 17 2
  p3dn.24xlarge - 5 10 45 1 4 19 4
`;

function checkTable(table: string, warm: string, always: Record<string, string>): void {
  for (const row of table.trim().split('\n')) {
    const [type, first, ips, minimum, pods, enis, attached, unused, perEni] = row.trim().split(/\s+/);
    test(`${warm} ${first}, WARM_IP_TARGET ${ips}, MINIMUM_IP_TARGET ${minimum}: ${type} with ${pods} pods`, () => {
      const given = { [warm]: first!, WARM_IP_TARGET: ips!, MINIMUM_IP_TARGET: minimum! };
      const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== '-'));
      const { ec2Calls, ...found } = rest(type!, Number(pods), { ...always, ...set });
      assert.deepEqual(found, {
        pods: Number(pods),
        enis: Number(enis),
        perEni: perEni!.split(',').map(Number),
        attached: Number(attached),
        unused: Number(unused),
      });
      assert.ok(ec2Calls >= 1);
    });
  }
}
checkTable(ADDRESSES, 'WARM_ENI_TARGET', {});
checkTable(PREFIXES, 'WARM_PREFIX_TARGET', { ENABLE_PREFIX_DELEGATION: 'true' });

test('calls are counted from the start of the node', () => {
  assert.equal(rest('t3.small', 0, {}).ec2Calls, 1);
  // An ENI is described, its subnet found, made, attached, and set to go with the instance.
  assert.equal(rest('t3.small', 1, {}).ec2Calls, 6);
  assert.ok(rest('m5.large', 20, { WARM_IP_TARGET: '1' }).ec2Calls > 20);
});

test('a pod beyond a target that keeps nothing warm has its address fetched', () => {
  const found = rest('m5.large', 10, { MINIMUM_IP_TARGET: '8' });
  assert.deepEqual([found.perEni, found.unused, found.ec2Calls], [[9, 1], 0, 7]);
  const prefixes = { ENABLE_PREFIX_DELEGATION: 'true', MINIMUM_IP_TARGET: '8' };
  assert.deepEqual(rest('m5.large', 17, prefixes).perEni, [2]);
});

test('custom networking leaves the primary ENI empty', () => {
  const found = rest('t3.small', 4, { AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG: 'true' });
  assert.deepEqual([found.perEni, found.unused], [[0, 3, 3], 2]);
});

test('MAX_ENI holds', () => {
  assert.deepEqual(rest('m5.large', 9, { MAX_ENI: '1' }).perEni, [9]);
  assert.throws(() => rest('m5.large', 10, { MAX_ENI: '1' }), /m5\.large takes 9 pods/);
});

test('a node that has addresses for its max-pods asks for no more', () => {
  assert.deepEqual(rest('m5.large', 108, { ENABLE_PREFIX_DELEGATION: 'true' }).perEni, [7]);
  assert.throws(() => rest('m5.large', 109, { ENABLE_PREFIX_DELEGATION: 'true' }), /takes 108 pods/);
});

test('a pool comes to rest whatever the type and the targets', () => {
  const settings = [
    {},
    { WARM_ENI_TARGET: '0' },
    { WARM_ENI_TARGET: '3' },
    { WARM_IP_TARGET: '3', MINIMUM_IP_TARGET: '7' },
    { ENABLE_PREFIX_DELEGATION: 'true', WARM_IP_TARGET: '9' },
    { ENABLE_PREFIX_DELEGATION: 'true', WARM_PREFIX_TARGET: '2' },
  ];
  for (const type of ['t3.nano', 'm5.large', 'hpc6id.32xlarge', 'r8i.large']) {
    for (const env of settings) {
      const pods = Math.min(11, rest(type, 0, {}).attached);
      const { attached, perEni } = rest(type, pods, env);
      assert.ok(attached >= 1 && perEni.length <= INSTANCE_LIMITS.get(type)!.enis, type);
    }
  }
});

test('what a pool cannot be is refused with a way out', () => {
  assert.throws(() => poolSettings({ WARM_IPS: '1' }), /WARM_IPS changes nothing .*: set WARM_ENI_TARGET/);
  assert.throws(() => poolSettings({ WARM_IP_TARGET: 'two' }), SettingError);
  assert.throws(
    () => poolSettings({ ENABLE_PREFIX_DELEGATION: 'true', WARM_PREFIX_TARGET: '0' }),
    /WARM_PREFIX_TARGET is "0" but must be 1 or more with ENABLE_PREFIX_DELEGATION/,
  );
  assert.throws(
    () => rest('m4.large', 1, { ENABLE_PREFIX_DELEGATION: 'true' }),
    /m4\.large takes no prefixes/,
  );
});
