/** The agent's view of ENIConfigs, on the lab's API server and by the definition that is deployed. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { KubeClient } from '@enid/kube';
import { parse } from 'yaml';
import { type Clock, systemClock } from '../packages/agent/src/clock.ts';
import { NodeView } from '../packages/agent/src/kubernetes/node-view.ts';
import { KubernetesEniConfigs } from '../packages/agent/src/pool/kubernetes-eni-configs.ts';
import { startTestApiServer } from '../packages/lab/src/apiserver/apiserver.fixture.ts';
import { until } from '../packages/lab/src/base/until.ts';
import { labOnly } from './given.ts';

const { test } = labOnly(
  'an API server of its own, on which nodes and the definition of ENIConfigs are made before the eyes of an agent',
);

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const ENI_CONFIGS = '/apis/crd.k8s.amazonaws.com/v1alpha1/eniconfigs';
const ZONE = 'topology.kubernetes.io/zone';

test("a node's ENIConfig is the one of its annotation, else of its label, else the default, as they change", async (t) => {
  const server = await startTestApiServer();
  t.after(() => server.stop());
  const client = new KubeClient(server.access);
  t.after(() => client.close());
  const node = new NodeView(client, 'node-1', () => {});
  t.after(() => node.stop());
  const keys = { annotation: 'k8s.amazonaws.com/eniConfig', label: ZONE };
  const impatient: Clock = { ...systemClock, sleep: (time, signal) => systemClock.sleep(time / 20, signal) };
  const configs = new KubernetesEniConfigs({ client, node, keys, clock: impatient });
  t.after(() => configs[Symbol.asyncDispose]());

  await server.must('POST /api/v1/nodes', { metadata: { name: 'node-1', labels: { [ZONE]: 'us-east-1a' } } });
  await assert.rejects(configs.configFor(), /ENIConfigs were not read: apply deploy\/crds\/eniconfigs\.yaml/);
  await server.must(`POST ${CRDS}`, parse(readFileSync('deploy/crds/eniconfigs.yaml', 'utf8')));

  let changes = 0;
  configs.onChange(() => changes++);
  /** The ENIConfig, or why there is none, once it is as wanted. */
  const becomes = (wanted: RegExp) =>
    until(
      () =>
        configs.configFor().then(
          ({ name, subnetId, securityGroups }) => `${name}: ${subnetId} ${securityGroups}`,
          (error: Error) => error.message,
        ),
      (found) => wanted.test(found),
      `${wanted}`,
    );
  await becomes(
    /the ENIConfig "us-east-1a" \(the node node-1 has the label topology.*does not exist: create it/,
  );

  const make = (name: string, spec: object) =>
    server.send(`POST ${ENI_CONFIGS}`, {
      body: { apiVersion: 'crd.k8s.amazonaws.com/v1alpha1', kind: 'ENIConfig', metadata: { name }, spec },
    });
  const refused = await make('us-east-1a', { subnet: '10.0.0.0/24' });
  assert.equal(refused.code, 422);
  assert.match(refused.text, /spec\.subnet/);
  assert.equal(
    (await make('us-east-1a', { subnet: 'subnet-0a', securityGroups: ['sg-1', 'sg-2'] })).code,
    201,
  );
  await becomes(/^us-east-1a: subnet-0a sg-1,sg-2$/);
  await server.must(
    `PATCH ${ENI_CONFIGS}/us-east-1a`,
    { spec: { subnet: 'subnet-0b' } },
    {
      'content-type': 'application/merge-patch+json',
    },
  );
  await becomes(/^us-east-1a: subnet-0b sg-1,sg-2$/);

  const annotate = (patch: object) =>
    server.must(
      'PATCH /api/v1/nodes/node-1',
      { metadata: patch },
      { 'content-type': 'application/merge-patch+json' },
    );
  await annotate({ annotations: { 'k8s.amazonaws.com/eniConfig': 'special' } });
  await becomes(
    /"special" \(the node node-1 has the annotation k8s\.amazonaws\.com\/eniConfig\) does not exist/,
  );
  assert.equal((await make('special', { subnet: 'subnet-0c' })).code, 201);
  await becomes(/^special: subnet-0c $/);
  await annotate({ annotations: { 'k8s.amazonaws.com/eniConfig': null }, labels: { [ZONE]: null } });
  await becomes(/the ENIConfig "default" .*does not exist/);
  assert.ok(changes >= 6, `${changes} changes were told`);
});
