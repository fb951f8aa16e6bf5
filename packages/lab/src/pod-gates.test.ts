/** The webhook of pods against the API server: who gets a gate, and what holds while the webhook is away. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, it } from 'node:test';
import { startPodWebhook } from '@enid/controller';
import { bindingPath, gateInjector } from '@enid/controller/load-balancing';
import { ApiError, KubeClient, type Pod, type Secret } from '@enid/kube';
import { eventually } from '@enid/kube/testing';
import { parse } from 'yaml';
import { startTestApiServer, type TestApiServer } from './apiserver/apiserver.fixture.ts';

let server: TestApiServer;
let client: KubeClient;
let webhook: AsyncDisposable;

const start = () =>
  startPodWebhook({
    client,
    namespace: 'kube-system',
    port: 0,
    host: '127.0.0.1',
    mutate: gateInjector(client),
  });

before(async () => {
  server = await startTestApiServer();
  client = new KubeClient(server.access);
  await server.must(
    'POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions',
    parse(readFileSync('deploy/crds/targetgroupbindings.yaml', 'utf8')),
  );
  const inject = { 'elbv2.k8s.aws/pod-readiness-gate-inject': 'enabled' };
  for (const [name, labels] of [
    ['shop', inject],
    ['other', {}],
  ] as const) {
    await server.must('POST /api/v1/namespaces', { metadata: { name, labels } });
    await server.must(`POST /api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'default' } });
    for (const service of ['web', 'api'])
      await server.must(`POST /api/v1/namespaces/${name}/services`, {
        metadata: { name: service },
        spec: { selector: { app: service }, ports: [{ port: 80 }] },
      });
    await eventually(() => client.get(bindingPath(name)));
    for (const [binding, service, targetType] of [
      ['k8s-shop-web', 'web', 'ip'],
      ['k8s-shop-nodes', 'web', 'instance'],
      ['k8s-shop-api', 'api', 'ip'],
      ['k8s-shop-gone', 'gone', 'ip'],
    ])
      await server.must(`POST ${bindingPath(name)}`, {
        apiVersion: 'elbv2.k8s.aws/v1beta1',
        kind: 'TargetGroupBinding',
        metadata: { name: binding },
        spec: { targetGroupARN: 'arn:aws:x', targetType, serviceRef: { name: service, port: 80 } },
      });
  }
  webhook = await start();
});
after(async () => {
  await webhook[Symbol.asyncDispose]();
  client.close();
  await server.stop();
});

async function gatesOf(namespace: string, labels: Record<string, string>, gates: readonly string[] = []) {
  const pod = await client.create<Pod>(`/api/v1/namespaces/${namespace}/pods`, {
    metadata: { generateName: 'p-', labels },
    spec: {
      containers: [{ name: 'c', image: 'c' }],
      ...(gates.length > 0 && { readinessGates: gates.map((conditionType) => ({ conditionType })) }),
    },
  });
  return pod.spec?.readinessGates?.map(({ conditionType }) => conditionType) ?? [];
}

const WEB = 'target-health.elbv2.k8s.aws/k8s-shop-web';

it('a pod gets the gates of the ip target groups whose Service selects it, in namespaces that ask for it', async () => {
  assert.deepEqual(await gatesOf('shop', { app: 'web' }), [WEB]);
  assert.deepEqual(await gatesOf('shop', { app: 'api' }), ['target-health.elbv2.k8s.aws/k8s-shop-api']);
  assert.deepEqual(await gatesOf('shop', { app: 'none' }), []);
  assert.deepEqual(await gatesOf('other', { app: 'web' }), []);
});

it('gates that a pod has are kept, and none is there twice', async () => {
  assert.deepEqual(await gatesOf('shop', { app: 'web' }, ['example.com/mine']), ['example.com/mine', WEB]);
  assert.deepEqual(await gatesOf('shop', { app: 'web' }, [WEB]), [WEB]);
});

it('without the webhook no pod starts ungated; one that starts anew has the same certificate', async () => {
  const secret = () => client.get<Secret>('/api/v1/namespaces/kube-system/secrets/enid-controller-webhook');
  const { data } = await secret();
  await webhook[Symbol.asyncDispose]();
  await assert.rejects(gatesOf('shop', { app: 'web' }), (error) => {
    assert.ok(error instanceof ApiError);
    assert.equal(error.code, 500);
    assert.match(error.message, /failed calling webhook "mpod\.elbv2\.k8s\.aws"/);
    return true;
  });
  assert.deepEqual(await gatesOf('other', { app: 'web' }), []);
  webhook = await start();
  assert.deepEqual(await gatesOf('shop', { app: 'web' }), [WEB]);
  assert.deepEqual((await secret()).data, data);
});
