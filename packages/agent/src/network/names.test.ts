import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostVethName, isHostVethName } from './names.ts';

const key = { network: 'aws-cni', containerId: 'b2c7d9', ifName: 'eth0' };

test('a pod is hashed by namespace and name, as `echo -n default.web-0 | sha1sum` does it', () => {
  const metadata = { k8sPodNamespace: 'default', k8sPodName: 'web-0' };
  assert.equal(hostVethName('eni', key, metadata), 'eni0d7763386da');
  assert.notEqual(hostVethName('eni', { ...key, ifName: 'net1' }, metadata), 'eni0d7763386da');
});

test('a sandbox without a pod name is hashed by its container id', () => {
  assert.equal(hostVethName('eni', key, {}), 'eni74b2adeb576');
});

test('names are recognised by prefix and digits', () => {
  assert.ok(isHostVethName('eni', 'eni0d7763386da'));
  for (const name of ['eni0d7763386d', 'eni0d7763386dag', 'eth0d7763386da', 'eni0d7763386da0', 'enibridge']) {
    assert.ok(!isHostVethName('eni', name), name);
  }
});
