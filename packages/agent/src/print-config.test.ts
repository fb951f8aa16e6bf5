/** What `enid agent --print-config` shows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from './config.ts';
import { describeConfig, settingsWithoutEffect } from './print-config.ts';

const shown = (env: NodeJS.ProcessEnv) =>
  new Map(
    describeConfig(env).settings.map(({ name, value, from, because }) => [
      name,
      `${value} (${from}${because ? `: ${because}` : ''})`,
    ]),
  );

test('every variable is shown with where its value came from', () => {
  const all = shown({ WARM_IP_TARGET: '3', POD_MTU: '', AWS_VPC_ENI_MTU: '1500' });
  assert.equal(all.get('WARM_IP_TARGET'), '3 (environment)');
  assert.equal(all.get('IP_COOLDOWN_PERIOD'), '30 (default)');
  assert.equal(all.get('INTROSPECTION_BIND_ADDRESS'), '127.0.0.1:61679 (default)');
  assert.equal(all.get('POD_MTU'), '1500 (implied: as AWS_VPC_ENI_MTU)');
  assert.equal(all.get('ADDITIONAL_ENI_TAGS'), '{} (default)');
  assert.equal(all.get('WARM_ENI_TARGET'), '1 (ignored: WARM_IP_TARGET is set)');
  // A value that is shown is one that can be set.
  const { settings, problems } = describeConfig({});
  assert.deepEqual(problems, []);
  readConfig(Object.fromEntries(settings.map(({ name, value }) => [name, value])));
});

/** What users of Amazon's agent set, by its documentation. */
const AMAZONS = `
  ADDITIONAL_ENI_TAGS ANNOTATE_POD_IP AWS_EXTERNAL_SERVICE_CIDRS AWS_MANAGE_ENIS_NON_SCHEDULABLE AWS_VPC_CNI_NODE_PORT_SUPPORT
  AWS_VPC_ENI_MTU AWS_VPC_K8S_CNI_BACKING_STORE AWS_VPC_K8S_CNI_CONFIGURE_RPFILTER AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG
  AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS AWS_VPC_K8S_CNI_EXTERNALSNAT AWS_VPC_K8S_CNI_LOGLEVEL AWS_VPC_K8S_CNI_LOG_FILE
  AWS_VPC_K8S_CNI_RANDOMIZESNAT AWS_VPC_K8S_CNI_VETHPREFIX AWS_VPC_K8S_PLUGIN_LOG_FILE AWS_VPC_K8S_PLUGIN_LOG_LEVEL CLUSTER_NAME
  DISABLE_INTROSPECTION DISABLE_LEAKED_ENI_CLEANUP DISABLE_METRICS DISABLE_NETWORK_RESOURCE_PROVISIONING DISABLE_TCP_EARLY_DEMUX
  ENABLE_BANDWIDTH_PLUGIN ENABLE_IMDS_ONLY_MODE ENABLE_IPv4 ENABLE_IPv6 ENABLE_MULTI_NIC ENABLE_POD_ENI ENABLE_PREFIX_DELEGATION
  ENABLE_SUBNET_DISCOVERY ENI_CONFIG_ANNOTATION_DEF ENI_CONFIG_LABEL_DEF INTROSPECTION_BIND_ADDRESS IP_COOLDOWN_PERIOD
  MANAGE_UNTAGGED_ENI MAX_ENI MINIMUM_IP_TARGET MY_NODE_NAME NETWORK_POLICY_ENFORCING_MODE POD_MTU
  POD_SECURITY_GROUP_ENFORCING_MODE WARM_ENI_TARGET WARM_IP_TARGET WARM_PREFIX_TARGET`;

test("every variable of Amazon's agent is understood", () => {
  const known = shown({});
  assert.deepEqual(
    AMAZONS.trim()
      .split(/\s+/)
      .filter((name) => !known.has(name)),
    [],
  );
});

test('what another variable decides, or leaves without effect, names it', () => {
  const imds = shown({ ENABLE_IMDS_ONLY_MODE: 'true', WARM_IP_TARGET: '3' });
  assert.match(imds.get('DISABLE_NETWORK_RESOURCE_PROVISIONING')!, /^true \(implied: ENABLE_IMDS_ONLY_MODE/);
  assert.equal(imds.get('WARM_IP_TARGET'), '3 (ignored: ENABLE_IMDS_ONLY_MODE is true)');
  const prefixes = shown({ ENABLE_PREFIX_DELEGATION: 't', WARM_ENI_TARGET: '2' });
  assert.match(prefixes.get('WARM_ENI_TARGET')!, /^2 \(ignored: ENABLE_PREFIX_DELEGATION is true/);
  assert.equal(prefixes.get('WARM_PREFIX_TARGET'), '1 (default)');
  const silent = shown({ DISABLE_INTROSPECTION: 'true', AWS_VPC_K8S_CNI_EXTERNALSNAT: 'true' });
  assert.match(silent.get('INTROSPECTION_BIND_ADDRESS')!, /ignored: DISABLE_INTROSPECTION/);
  assert.match(silent.get('AWS_VPC_K8S_CNI_RANDOMIZESNAT')!, /ignored: AWS_VPC_K8S_CNI_EXTERNALSNAT/);
});

test('what is set and changes nothing is named, with the reason, and nothing else', () => {
  const env = { WARM_ENI_TARGET: '2', WARM_IP_TARGET: '3', DISABLE_TCP_EARLY_DEMUX: 'false', MAX_ENI: '' };
  assert.deepEqual(
    settingsWithoutEffect(env).map(({ name, because }) => [name, because]),
    [
      ['WARM_ENI_TARGET', 'WARM_IP_TARGET is set'],
      ['DISABLE_TCP_EARLY_DEMUX', 'it changes nothing in this release'],
    ],
  );
});

test('an invalid value stands beside the others, with the sentence of the start', () => {
  const env = { WARM_IP_TARGET: 'x', MAX_ENI: '3' };
  const { settings, problems } = describeConfig(env);
  const sentence = 'WARM_IP_TARGET is "x" but must be a whole number from 0 to 10000.';
  assert.deepEqual(problems, [sentence]);
  const wrong = settings.find(({ name }) => name === 'WARM_IP_TARGET');
  assert.deepEqual(wrong, { name: 'WARM_IP_TARGET', value: 'x', from: 'invalid', because: sentence });
  assert.equal(shown(env).get('MAX_ENI'), '3 (environment)');
  assert.throws(() => readConfig(env), { message: sentence });
  // What no single variable is wrong about.
  const alone = describeConfig({ AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG: 'true' }).problems;
  assert.match(alone.join(), /^MY_NODE_NAME is not set but must be/);
});
