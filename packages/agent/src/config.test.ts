import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, readConfig } from './config.ts';

test("nothing set gives Amazon's defaults", () => {
  const { pool, network, introspection, withoutEffect } = readConfig({});
  assert.equal(pool.warmEniTarget, 1);
  assert.equal(pool.cooldownMs, 30_000);
  assert.equal(pool.maxEni, undefined);
  assert.equal(pool.checkpointPath, '/var/run/aws-node/ipam.json');
  assert.deepEqual([network.eniMtu, network.podMtu, network.vethPrefix], [9001, 9001, 'eni']);
  assert.deepEqual([network.externalSnat, network.randomizeSnat], [false, 'prng']);
  assert.deepEqual(introspection, { host: '127.0.0.1', port: 61_679 });
  assert.deepEqual(withoutEffect, []);
});

test('the values of the usual chart are understood', () => {
  const config = readConfig({
    ADDITIONAL_ENI_TAGS: '{}',
    AWS_VPC_K8S_CNI_LOGLEVEL: 'DEBUG',
    AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS: '10.1.0.0/16, 10.2.3.4/24',
    ENABLE_IPv4: 'true',
    ENABLE_IPv6: 'false',
    ENABLE_PREFIX_DELEGATION: 'False',
    MAX_ENI: '-1',
    POD_MTU: '',
    WARM_PREFIX_TARGET: '1',
    DISABLE_TCP_EARLY_DEMUX: 'false',
  });
  assert.equal(config.log.level, 'debug');
  assert.deepEqual(config.network.excludeSnatCidrs, ['10.1.0.0/16', '10.2.3.0/24']);
  assert.deepEqual(config.withoutEffect, ['DISABLE_TCP_EARLY_DEMUX=false', 'WARM_PREFIX_TARGET=1']);
});

for (const [name, value, allowed] of [
  ['WARM_ENI_TARGET', 'two', 'a whole number from 0 to 10000'],
  ['WARM_IP_TARGET', '-1', 'a whole number from 0 to 10000'],
  ['AWS_VPC_ENI_MTU', '9002', 'a whole number from 576 to 9001'],
  ['AWS_VPC_K8S_CNI_EXTERNALSNAT', 'yes', 'true or false'],
  ['AWS_VPC_K8S_CNI_RANDOMIZESNAT', 'random', 'one of prng, hashrandom, none'],
  ['AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS', '10.1.0.0/33', 'a list of IPv4 CIDR blocks'],
  ['AWS_VPC_K8S_CNI_VETHPREFIX', 'eth', 'one to four letters or digits other than eth'],
  ['INTROSPECTION_BIND_ADDRESS', '61679', 'an address with a port'],
  ['ADDITIONAL_ENI_TAGS', '{"node.k8s.amazonaws.com/x":"y"}', 'a JSON object of texts'],
] as const) {
  test(`refuses ${name}=${value} and says what is allowed`, () => {
    assert.throws(
      () => readConfig({ [name]: value }),
      (error: Error) => {
        assert.ok(error instanceof ConfigError);
        assert.ok(error.message.startsWith(`${name} is "${value}" but must be ${allowed}`), error.message);
        return true;
      },
    );
  });
}

test('prefix delegation takes a target for prefixes, or one for addresses', () => {
  const read = (env: NodeJS.ProcessEnv) => readConfig({ ENABLE_PREFIX_DELEGATION: 'true', ...env });
  const { pool, withoutEffect } = read({ WARM_ENI_TARGET: '2' });
  assert.deepEqual([pool.prefixDelegation, pool.warmPrefixTarget], [true, 1]);
  assert.deepEqual(withoutEffect, ['WARM_ENI_TARGET=2']);
  assert.throws(() => read({ WARM_PREFIX_TARGET: '0' }), /WARM_PREFIX_TARGET is "0" but must be 1 or more/);
  assert.equal(read({ WARM_PREFIX_TARGET: '0', WARM_IP_TARGET: '3' }).pool.warmIpTarget, 3);
  const zeros = { WARM_IP_TARGET: '0', MINIMUM_IP_TARGET: '0' };
  assert.throws(() => read(zeros), /WARM_IP_TARGET and MINIMUM_IP_TARGET are "0"/);
  assert.equal(read({ ...zeros, WARM_PREFIX_TARGET: '2' }).pool.warmPrefixTarget, 2);
});

test('custom networking needs to know its node, and more than the primary ENI', () => {
  const env = { AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG: 'true' };
  assert.throws(() => readConfig(env), /MY_NODE_NAME is not set but must be/);
  assert.throws(
    () => readConfig({ ...env, MY_NODE_NAME: 'n', MAX_ENI: '1' }),
    /MAX_ENI is "1" but must be 2 or/,
  );
  const { eniConfig, pool } = readConfig({
    ...env,
    MY_NODE_NAME: 'n',
    ENI_CONFIG_LABEL_DEF: 'topology.kubernetes.io/zone',
  });
  assert.equal(pool.customNetworking, true);
  assert.deepEqual(eniConfig, {
    annotation: 'k8s.amazonaws.com/eniConfig',
    label: 'topology.kubernetes.io/zone',
  });
});

test('tells every wrong variable at once', () => {
  assert.throws(
    () => readConfig({ WARM_ENI_TARGET: 'x', POD_MTU: 'y' }),
    /WARM_ENI_TARGET is "x"[^\n]*\n.*POD_MTU is "y"|POD_MTU is "y"[^\n]*\n.*WARM_ENI_TARGET/,
  );
});

for (const name of ['ENABLE_IPv6', 'ENABLE_POD_ENI']) {
  test(`does not go on as if ${name} were off`, () =>
    assert.throws(
      () => readConfig({ [name]: 'true' }),
      new RegExp(`${name} is "true", which this release cannot do`),
    ));
}
