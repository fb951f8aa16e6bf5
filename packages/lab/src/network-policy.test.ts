/** The controller of network policies against the API server: what it writes, how little, and who leads. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, it } from 'node:test';
import {
  LeadershipLost,
  leadByLease,
  type PolicyEndpoint,
  startController,
  startNetworkPolicies,
} from '@enid/controller';
import { Informers, KubeClient, type KubeObject, type Lease, type List, type Pod } from '@enid/kube';
import { eventually } from '@enid/kube/testing';
import { parse } from 'yaml';
import { startTestApiServer, type TestApiServer } from './apiserver/apiserver.fixture.ts';

const POLICIES = '/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies';
const OURS = '/apis/networking.k8s.aws/v1alpha1';
const ENDPOINTS = `${OURS}/namespaces/shop/policyendpoints`;
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';

let server: TestApiServer;
let client: KubeClient;
let loops: AsyncDisposable;
const writes: string[] = [];
const errors: Error[] = [];

before(async () => {
  server = await startTestApiServer();
  client = new KubeClient(server.access);
  const log = { info() {}, warn() {} };
  const common = { access: server.access, namespace: 'kube-system', identity: 'a', port: 0, log };
  const signal = new AbortController().signal;
  await assert.rejects(
    startController({ ...common, signal }),
    /no clusternetworkpolicies.*kubectl apply -f deploy\/crds/,
  );
  for (const name of ['policyendpoints', 'clusterpolicyendpoints', 'clusternetworkpolicies']) {
    const definition = parse(readFileSync(`deploy/crds/${name}.yaml`, 'utf8'));
    await server.must('POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition);
  }
  await server.must('POST /api/v1/namespaces', { metadata: { name: 'shop', labels: { team: 'one' } } });
  await server.must('POST /api/v1/namespaces/shop/serviceaccounts', { metadata: { name: 'default' } });
  await eventually(() => client.get(`${OURS}/clusterpolicyendpoints`));
  await start();
});
after(async () => {
  await loops[Symbol.asyncDispose]();
  client.close();
  await server.stop();
});

async function start(): Promise<void> {
  const onError = (error: Error) => errors.push(error);
  const observe = { wrote: (write: string) => writes.push(write) };
  await using started = new AsyncDisposableStack();
  const informers = started.use(new Informers({ client, onError }));
  started.use(await startNetworkPolicies({ client, informers, onError, observe }));
  loops = started.move();
}

async function addPod(name: string, labels: Record<string, string>, ip: string): Promise<void> {
  const path = '/api/v1/namespaces/shop/pods';
  const containers = [{ name: 'c', image: 'c', ports: [{ name: 'http', containerPort: 8080 }] }];
  await client.create(path, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels },
    spec: { nodeName: 'n', containers },
  });
  const status = { phase: 'Running', podIP: ip, podIPs: [{ ip }], hostIP: '10.0.9.9' };
  await client.patch<Pod>(`${path}/${name}/status`, { status }, 'strategic');
}

const endpointsOf = async (policy: string) =>
  (await client.get<List<PolicyEndpoint>>(ENDPOINTS)).items.filter(
    ({ spec }) => spec.policyRef.name === policy,
  );

it('writes what a policy means, follows it, and takes it away with the policy', async () => {
  await addPod('web-1', { app: 'web' }, '10.0.0.1');
  await addPod('api-1', { app: 'api' }, '10.0.0.2');
  const policy = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'api', namespace: 'shop' },
    spec: {
      podSelector: { matchLabels: { app: 'api' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'web' } } }], ports: [{ port: 'http' }] }],
    },
  };
  const begun = performance.now();
  const { metadata } = await client.create<KubeObject>(POLICIES, policy);
  const [object] = await eventually(async () => {
    const found = await endpointsOf('api');
    assert.equal(found.length, 1);
    return found;
  });
  assert.ok(performance.now() - begun < 1_000, 'soon');
  assert.deepEqual(object!.spec, {
    policyRef: { name: 'api', namespace: 'shop' },
    podSelector: { matchLabels: { app: 'api' } },
    podIsolation: ['Ingress'],
    podSelectorEndpoints: [
      {
        hostIP: '10.0.9.9',
        podIP: '10.0.0.2',
        name: 'api-1',
        namespace: 'shop',
        namedPorts: [{ name: 'http', protocol: 'TCP', port: 8080 }],
      },
    ],
    ingress: [{ cidr: '10.0.0.1', rule: 0, ports: [{ name: 'http', protocol: 'TCP', port: 8080 }] }],
  });
  assert.match(object!.metadata!.name!, /^api-[0-9a-f]{10}$/);
  assert.deepEqual(
    object!.metadata!.ownerReferences?.map(({ kind, uid }) => [kind, uid]),
    [['NetworkPolicy', metadata?.uid]],
  );

  // What does not concern it is not written.
  const before = writes.length;
  await addPod('other-1', { app: 'other' }, '10.0.0.3');
  await addPod('web-2', { app: 'web' }, '10.0.0.4');
  await eventually(async () => {
    const [now] = await endpointsOf('api');
    assert.deepEqual(
      now!.spec.ingress?.map(({ cidr }) => cidr),
      ['10.0.0.1', '10.0.0.4'],
    );
  });
  assert.deepEqual(writes.slice(before), ['update']);

  // Someone else's hand in it is undone.
  await client.patch(`${ENDPOINTS}/${object!.metadata!.name}`, {
    spec: { ingress: [{ cidr: '0.0.0.0/0', rule: 0 }] },
  });
  await eventually(async () => {
    const [now] = await endpointsOf('api');
    assert.deepEqual(now!.spec.ingress?.map(({ cidr }) => cidr).sort(), ['10.0.0.1', '10.0.0.4']);
  });
  await client.delete(`${ENDPOINTS}/${object!.metadata!.name}`);
  await eventually(async () => assert.equal((await endpointsOf('api')).length, 1));

  await client.delete(`${POLICIES}/api`);
  await eventually(async () => assert.deepEqual(await endpointsOf('api'), []));
  assert.deepEqual(errors, []);
});

it('spreads a large policy over objects and rewrites one of them for one pod', async () => {
  const names = Array.from({ length: 450 }, (_, i) => i);
  await Promise.all(names.map((i) => addPod(`many-${i}`, { app: 'many' }, `10.1.${i >> 8}.${i & 255}`)));
  await client.create(POLICIES, {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'many', namespace: 'shop' },
    spec: {
      podSelector: { matchLabels: { app: 'many' } },
      policyTypes: ['Ingress', 'Egress'],
      egress: [{ to: [{ podSelector: { matchLabels: { app: 'many' } } }] }],
    },
  });
  const settled = (count: number) =>
    eventually(async () => {
      const found = await endpointsOf('many');
      assert.equal(found.flatMap(({ spec }) => spec.podSelectorEndpoints ?? []).length, count);
      assert.equal(found.flatMap(({ spec }) => spec.egress ?? []).length, count);
      assert.equal(found.length, 3);
      return new Map(found.map(({ metadata }) => [metadata!.name, metadata!.resourceVersion]));
    }, 20_000);
  const first = await settled(450);
  await client.delete('/api/v1/namespaces/shop/pods/many-7', { gracePeriodSeconds: 0 });
  const second = await settled(449);
  assert.equal([...second].filter(([name, version]) => first.get(name) !== version).length, 1);
  assert.deepEqual(errors, []);
});

it('writes nothing when it starts anew and all is right', async () => {
  await loops[Symbol.asyncDispose]();
  writes.length = 0;
  await start();
  // Policies have their turns in order: when this one is written, the others have been looked at.
  await client.create<KubeObject>(POLICIES, {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'last', namespace: 'shop' },
    spec: { podSelector: { matchLabels: { app: 'web' } } },
  } as KubeObject);
  await eventually(async () => assert.equal((await endpointsOf('last')).length, 1));
  await eventually(() => assert.deepEqual(writes, ['create']));
});

it('resolves a cluster policy with its tier, priority and actions, in the order of its rules', async () => {
  await client.create(`${OURS}/clusternetworkpolicies`, {
    apiVersion: 'networking.k8s.aws/v1alpha1',
    kind: 'ClusterNetworkPolicy',
    metadata: { name: 'guard' },
    spec: {
      tier: 'Admin',
      priority: 10,
      subject: { namespaces: { matchLabels: { team: 'one' } } },
      egress: [
        {
          action: 'Accept',
          to: [{ pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: 'web' } } } }],
        },
        { action: 'Deny', to: [{ networks: ['169.254.169.254/32'] }], ports: [{ portNumber: { port: 80 } }] },
        { action: 'Pass', to: [{ networks: ['0.0.0.0/0'] }] },
      ],
    },
  });
  await eventually(async () => {
    const { items } = await client.get<List<PolicyEndpoint>>(`${OURS}/clusterpolicyendpoints`);
    const parts = items.map(
      ({ spec }) => spec as unknown as { tier: string; priority: number; egress?: object[] },
    );
    assert.deepEqual(
      parts.flatMap(({ egress = [] }) => egress),
      [
        { action: 'Accept', cidr: '10.0.0.1', rule: 0 },
        { action: 'Accept', cidr: '10.0.0.4', rule: 0 },
        { action: 'Deny', cidr: '169.254.169.254/32', rule: 1, ports: [{ protocol: 'TCP', port: 80 }] },
        { action: 'Pass', cidr: '0.0.0.0/0', rule: 2 },
      ],
    );
    assert.deepEqual([parts[0]!.tier, parts[0]!.priority], ['Admin', 10]);
  });
  await client.delete(`${OURS}/clusternetworkpolicies/guard`);
  await eventually(async () => {
    const { items } = await client.get<List<PolicyEndpoint>>(`${OURS}/clusterpolicyendpoints`);
    assert.deepEqual(items, []);
  });
});

it('has one leader, another as soon as the first ends or falls silent, and none that does not hold the lease', async () => {
  const fast = { leaseDuration: 1_000, renewDeadline: 600, retryPeriod: 50 };
  const leaders = new Set<string>();
  let most = 0;
  const stand = (identity: string) => {
    const stop = new AbortController();
    const options = {
      client,
      namespace: 'kube-system',
      name: 'test',
      identity,
      signal: stop.signal,
      ...fast,
    };
    const done = leadByLease(options, async (leading) => {
      leaders.add(identity);
      most = Math.max(most, leaders.size);
      if (!leading.aborted) await new Promise((resolve) => leading.addEventListener('abort', resolve));
      leaders.delete(identity);
    });
    done.catch(() => {});
    return { stop, done };
  };
  const leads = (identity: string) => eventually(() => assert.deepEqual([...leaders], [identity]));
  const a = stand('a');
  await leads('a');
  const b = stand('b');
  // Longer than a lease without renewals would hold.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assert.deepEqual([...leaders], ['a']);
  a.stop.abort();
  await a.done;
  const released = performance.now();
  await leads('b');
  assert.ok(performance.now() - released < 900, 'a lease that was given back is not waited for');
  // Somebody takes it from b, who must notice, and who falls silent, so that c has it in the end.
  await client.patch<Lease>(`${LEASES}/test`, { spec: { holderIdentity: 'thief' } });
  await assert.rejects(b.done, LeadershipLost);
  const c = stand('c');
  await leads('c');
  c.stop.abort();
  await c.done;
  assert.equal(most, 1);
});

it('runs as a whole until it is told to end', async () => {
  const stop = new AbortController();
  const told: string[] = [];
  const warned: string[] = [];
  const log = {
    info: (_what: object, text: string) => told.push(text),
    warn: (_what: object, text: string) => warned.push(text),
  } as never;
  for (const [name, kernelVersion] of [
    ['old', '4.14.355-276.amzn2'],
    ['new', '6.1.140-154.amzn2023'],
  ] as const) {
    await client.create<KubeObject>('/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name } });
    await client.patch(`/api/v1/nodes/${name}/status`, { status: { nodeInfo: { kernelVersion } } });
  }
  const daemonSets = '/apis/apps/v1/namespaces/kube-system/daemonsets';
  const labels = { app: 'aws-node' };
  await client.create<object>(daemonSets, {
    ...{ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'aws-node' } },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [{ name: 'aws-node', image: 'example/amazon-k8s-cni:v1.13.4' }] },
      },
    },
  });
  const done = startController({
    access: server.access,
    namespace: 'kube-system',
    identity: 'whole',
    port: 0,
    log,
    signal: stop.signal,
  });
  await eventually(() => assert.ok(told.includes('the controller leads')));
  assert.deepEqual(warned, [
    'node old has Linux 4.14.355-276.amzn2, where no policy is enforced: it takes 5.10',
    "aws-node is Amazon's VPC CNI 1.13.4, which enforces no policy: it takes 1.14",
  ]);
  stop.abort();
  await done;
  const { spec } = await client.get<Lease>(`${LEASES}/enid-controller`);
  assert.equal(spec?.holderIdentity, '');
});
