import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, readConfig } from './config.ts';

test("nothing set gives Amazon's defaults", () => {
  const { pool, network, introspection, sockets } = readConfig({});
  assert.deepEqual(pool.targets, { warmEnis: 1, warmIps: 0, minimumIps: 0, warmPrefixes: 1 });
  assert.deepEqual([pool.mode, pool.cooldown], ['address', 30_000]);
  assert.equal(pool.maxEni, undefined);
  assert.equal(pool.checkpointPath, '/var/run/aws-node/ipam.json');
  assert.deepEqual([network.eniMtu, network.podMtu, network.vethPrefix], [9001, 9001, 'eni']);
  assert.deepEqual([network.externalSnat, network.randomizeSnat], [false, 'prng']);
  assert.deepEqual(introspection, { host: '127.0.0.1', port: 61_679 });
  assert.deepEqual(sockets, {
    cni: '/var/run/aws-node/enid.sock',
    control: '/var/run/aws-node/enid-control.sock',
    ipamd: '/var/run/aws-node/ipamd.sock',
    npa: '/var/run/aws-node/npa.sock',
    containerRuntime: '/run/containerd/containerd.sock',
  });
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
  const { pool } = read({});
  assert.deepEqual([pool.mode, pool.targets.warmPrefixes], ['prefix', 1]);
  assert.throws(() => read({ WARM_PREFIX_TARGET: '0' }), /WARM_PREFIX_TARGET is "0" but must be 1 or more/);
  assert.equal(read({ WARM_PREFIX_TARGET: '0', WARM_IP_TARGET: '3' }).pool.targets.warmIps, 3);
  const zeros = { WARM_IP_TARGET: '0', MINIMUM_IP_TARGET: '0' };
  assert.throws(() => read(zeros), /WARM_IP_TARGET and MINIMUM_IP_TARGET are "0"/);
  assert.equal(read({ ...zeros, WARM_PREFIX_TARGET: '2' }).pool.targets.warmPrefixes, 2);
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

test('introspection is at an address with a port, or on a unix socket', () => {
  const at = (address: string) => readConfig({ INTROSPECTION_BIND_ADDRESS: address }).introspection;
  assert.deepEqual(at('[::1]:80'), { host: '::1', port: 80 });
  assert.deepEqual(at('unix:/run/enid.sock'), { path: '/run/enid.sock' });
  assert.throws(() => at('unix:enid.sock'), /or a unix socket, such as/);
});

test('the runtime is found as the kubelet finds it, the sockets beside that of the CNI executable', () => {
  const socketsOf = (env: NodeJS.ProcessEnv) => readConfig(env).sockets;
  for (const endpoint of ['unix:///run/other.sock', 'unix:/run/other.sock', '/run/other.sock'])
    assert.equal(socketsOf({ CONTAINER_RUNTIME_ENDPOINT: endpoint }).containerRuntime, '/run/other.sock');
  assert.throws(
    () => socketsOf({ CONTAINER_RUNTIME_ENDPOINT: 'tcp://127.0.0.1:1' }),
    /must be a unix socket/,
  );
  const { control, ipamd } = socketsOf({ ENID_CNI_SOCKET: '/run/e/cni.sock', ENID_IPAMD_SOCKET: '/x.sock' });
  assert.deepEqual([control, ipamd], ['/run/e/enid-control.sock', '/x.sock']);
});

test("Amazon's plugin is told a mode only when policies are not ours", () => {
  const modeOf = (env: NodeJS.ProcessEnv) => readConfig(env).policy.amazonsMode;
  assert.equal(modeOf({}), '');
  assert.equal(modeOf({ NETWORK_POLICY_ENFORCING_MODE: 'strict' }), 'strict');
  assert.equal(modeOf({ NETWORK_POLICY_ENFORCING_MODE: 'strict', ENABLE_NETWORK_POLICY: 'true' }), '');
});

test('tells every wrong variable at once', () => {
  assert.throws(
    () => readConfig({ WARM_ENI_TARGET: 'x', POD_MTU: 'y' }),
    /WARM_ENI_TARGET is "x"[^\n]*\n.*POD_MTU is "y"|POD_MTU is "y"[^\n]*\n.*WARM_ENI_TARGET/,
  );
});

for (const name of ['ENABLE_IPv6', 'ENABLE_POD_ENI', 'ENABLE_MULTI_NIC']) {
  test(`does not go on as if ${name} were off`, () =>
    assert.throws(
      () => readConfig({ [name]: 'true' }),
      new RegExp(`${name} is "true" but must be false: this release cannot do it`),
    ));
}
