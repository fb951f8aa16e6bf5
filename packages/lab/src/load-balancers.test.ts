/** The controller of load balancers between the API server and the lab's AWS. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, it } from 'node:test';
import {
  CreateSecurityGroupCommand,
  CreateTagsCommand,
  DeleteSecurityGroupCommand,
} from '@aws-sdk/client-ec2';
import { DeleteRuleCommand, ModifyListenerCommand } from '@aws-sdk/client-elastic-load-balancing-v2';
import { openAws, planFor, startLoadBalancers } from '@enid/controller/load-balancing';
import {
  type CoreEvent,
  EventRecorder,
  Informers,
  type Ingress,
  KubeClient,
  type List,
  type Service,
} from '@enid/kube';
import { eventually } from '@enid/kube/testing';
import { parse } from 'yaml';
import { startTestApiServer, type TestApiServer } from './apiserver/apiserver.fixture.ts';
import { buildNetwork, CREDENTIALS, clientOf, type Network, NullFabric } from './cloud/cloud.fixture.ts';
import { Cloud } from './cloud/cloud.ts';
import { elbClients } from './cloud/elbv2/elbv2.fixture.ts';

const SERVICES = '/api/v1/namespaces/shop/services';
const INGRESSES = '/apis/networking.k8s.io/v1/namespaces/shop/ingresses';

let server: TestApiServer;
let client: KubeClient;
let cloud: Cloud;
let network: Network;
let controller: AsyncDisposable;
const stack = new AsyncDisposableStack();
const calls: string[] = [];
const errors: Error[] = [];

before(async () => {
  server = await startTestApiServer();
  stack.defer(() => server.stop());
  client = new KubeClient(server.access);
  stack.defer(() => client.close());
  for (const name of ['targetgroupbindings', 'ingressclassparams']) {
    const definition = parse(readFileSync(`deploy/crds/${name}.yaml`, 'utf8'));
    await server.must('POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition);
  }
  await server.must('POST /api/v1/namespaces', { metadata: { name: 'shop' } });
  await server.must('POST /apis/networking.k8s.io/v1/ingressclasses', {
    metadata: { name: 'alb' },
    spec: { controller: 'ingress.k8s.aws/alb' },
  });
  await eventually(() => client.get('/apis/elbv2.k8s.aws/v1beta1/targetgroupbindings'));
  await eventually(() => client.get('/apis/elbv2.k8s.aws/v1beta1/ingressclassparams'));
  cloud = new Cloud({ fabric: new NullFabric(), stateDir: server.directory, credentials: CREDENTIALS });
  await cloud.start();
  stack.defer(() => cloud.stop());
  const ec2 = clientOf(cloud);
  stack.defer(() => ec2.destroy());
  network = await buildNetwork(ec2);
  await ec2.send(
    new CreateTagsCommand({
      Resources: [network.subnetId, network.otherSubnetId],
      Tags: [
        { Key: 'kubernetes.io/role/elb', Value: '1' },
        { Key: 'kubernetes.io/role/internal-elb', Value: '1' },
      ],
    }),
  );
  await start();
});
after(async () => {
  await controller?.[Symbol.asyncDispose]();
  await stack.disposeAsync();
});

const DEFAULTS = {
  clusterName: 'lab',
  tags: {},
  targetType: 'ip',
  sslPolicy: 'ELBSecurityPolicy-2016-08',
} as const;

const awsClients = (called: (operation: string) => void = () => {}) =>
  stack.use(
    openAws({
      region: 'us-east-1',
      endpoint: cloud.endpoint,
      credentials: CREDENTIALS,
      observe: ({ operation }) => called(operation),
    }),
  );

async function start(recheck?: number): Promise<void> {
  const aws = awsClients((operation) => calls.push(operation));
  const onError = (error: Error) => errors.push(error);
  await using started = new AsyncDisposableStack();
  const informers = started.use(new Informers({ client, onError }));
  started.use(
    await startLoadBalancers({
      client,
      informers,
      aws,
      vpcId: network.vpcId,
      externalTags: [],
      defaults: DEFAULTS,
      recorder: new EventRecorder({ client, component: 'enid-controller', onError }),
      onError,
      ...(recheck && { recheck }),
    }),
  );
  controller = started.move();
}

/** As `enid lb plan` asks. */
const plan = (kind: 'service' | 'ingress', name: string) => {
  const settings = { region: 'us-east-1', vpcId: network.vpcId, externalTags: [], defaults: DEFAULTS };
  return planFor({ client, aws: awsClients(), settings, kind, namespace: 'shop', name });
};

const service = (name: string, more: Partial<Service['spec']> = {}, annotations = {}): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop', annotations },
  spec: { selector: { app: name }, ports: [{ port: 80, targetPort: 8080, protocol: 'TCP' }], ...more },
});

const ingress = (name: string, host: string, annotations: Record<string, string> = {}): Ingress => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'Ingress',
  metadata: {
    name,
    namespace: 'shop',
    annotations: Object.fromEntries(
      Object.entries(annotations).map(([key, value]) => [`alb.ingress.kubernetes.io/${key}`, value]),
    ),
  },
  spec: {
    ingressClassName: 'alb',
    rules: [
      {
        host,
        http: {
          paths: [
            { path: '/', pathType: 'Prefix', backend: { service: { name: 'web', port: { number: 80 } } } },
          ],
        },
      },
    ],
  },
});

const addressOf = ({ status }: Service | Ingress) => status?.loadBalancer?.ingress?.[0]?.hostname;

/** How a Service or an Ingress is when it has its address. */
const served = <T extends Service | Ingress>(path: string): Promise<T> =>
  eventually(async () => {
    const object = await client.get<T>(path);
    assert.ok(addressOf(object), JSON.stringify(await events(path.split('/').at(-1)!)));
    return object;
  }, 10_000);

const gone = (path: string) =>
  eventually(async () => assert.equal((await server.send(path)).code, 404), 15_000);

const events = async (name: string): Promise<string[]> => {
  const { items } = await client.get<List<CoreEvent>>('/api/v1/namespaces/shop/events');
  return items
    .filter(({ involvedObject }) => involvedObject.name === name)
    .map(({ reason, message }) => `${reason}: ${message}`);
};

const counts = () => {
  const { loadBalancers, listeners, rules, targetGroups, securityGroups } = cloud.state;
  return [loadBalancers, listeners, rules, targetGroups, securityGroups].map(
    (resources) => Object.keys(resources).length,
  );
};
const onlyDefaultGroup = [0, 0, 0, 0, 1];

it('gives a Service a network load balancer and its address, and takes it away with it', async () => {
  await client.create(SERVICES, service('web'));
  const nlb = service('dns', { type: 'LoadBalancer', loadBalancerClass: 'service.k8s.aws/nlb' });
  await client.create(SERVICES, nlb);
  const { metadata, status } = await served<Service>(`${SERVICES}/dns`);
  assert.deepEqual(metadata?.finalizers, ['service.k8s.aws/resources']);
  const [made] = Object.values(cloud.state.loadBalancers);
  assert.equal(status?.loadBalancer?.ingress?.[0]?.hostname, made!.dnsName);
  assert.ok((await events('dns')).includes('SuccessfullyReconciled: Successfully reconciled'));
  await client.delete(`${SERVICES}/dns`);
  await gone(`${SERVICES}/dns`);
  await eventually(() => assert.deepEqual(counts(), onlyDefaultGroup), 10_000);
});

it('gives an Ingress an application load balancer, follows it, and puts back what was changed by hand', async () => {
  await client.create(INGRESSES, ingress('web', 'a.example.com'));
  await served(`${INGRESSES}/web`);
  await client.patch(`${INGRESSES}/web`, {
    spec: {
      rules: [...ingress('', 'a.example.com').spec!.rules!, ...ingress('', 'b.example.com').spec!.rules!],
    },
  });
  const hosts = () =>
    Object.values(cloud.state.rules)
      .toSorted((a, b) => a.priority - b.priority)
      .map(({ conditions }) => conditions.find(({ Field }) => Field === 'host-header')?.Values?.[0]);
  await eventually(() => assert.deepEqual(hosts(), ['a.example.com', 'b.example.com']));

  await controller[Symbol.asyncDispose]();
  const { elb } = elbClients(cloud);
  stack.defer(() => elb.destroy());
  const [rule] = Object.keys(cloud.state.rules);
  await elb.send(new DeleteRuleCommand({ RuleArn: rule }));
  const [listener] = Object.keys(cloud.state.listeners);
  await elb.send(
    new ModifyListenerCommand({
      ListenerArn: listener,
      DefaultActions: [{ Type: 'fixed-response', FixedResponseConfig: { StatusCode: '200' } }],
    }),
  );
  const { of, changes } = await plan('ingress', 'web');
  assert.equal(of, 'Ingress shop/web');
  assert.deepEqual(
    changes.map(({ does, what, details }) => [does, what, ...details]),
    [
      ['change', 'listener HTTP:80', 'answer 404'],
      [
        'create',
        'rule 1 of listener :80',
        'host-header a.example.com, path-pattern /*',
        'forward to shop/web-web:80',
      ],
    ],
  );
  await start(1_000);
  await eventually(() => assert.deepEqual(hosts(), ['a.example.com', 'b.example.com']));
  await eventually(() => {
    const [now] = Object.values(cloud.state.listeners);
    assert.equal(now!.defaultActions[0]?.FixedResponseConfig?.StatusCode, '404');
  });
  assert.deepEqual((await plan('ingress', 'web')).changes, []);

  // One that has changed nothing lately looks again by and by.
  await controller[Symbol.asyncDispose]();
  await start(1_000);
  await eventually(() => assert.ok(calls.includes('DescribeLoadBalancers')));
  const [other] = Object.keys(cloud.state.rules);
  await elb.send(new DeleteRuleCommand({ RuleArn: other }));
  await eventually(() => assert.deepEqual(hosts(), ['a.example.com', 'b.example.com']));
  await client.delete(`${INGRESSES}/web`);
  await gone(`${INGRESSES}/web`);
  await eventually(() => assert.deepEqual(counts(), onlyDefaultGroup), 10_000);
});

it('takes away what has lost its owner, and leaves alone what may be of another controller', async () => {
  await client.create(INGRESSES, ingress('lost', 'a.example.com'));
  await client.create(INGRESSES, ingress('theirs', 'b.example.com'));
  await Promise.all(['lost', 'theirs'].map((name) => served(`${INGRESSES}/${name}`)));
  await controller[Symbol.asyncDispose]();
  for (const name of ['lost', 'theirs'])
    await client.patch(`${INGRESSES}/${name}`, { metadata: { finalizers: null } });
  await client.delete(`${INGRESSES}/lost`);
  await client.patch(`${INGRESSES}/theirs`, { spec: { ingressClassName: 'other' } });
  await start(1_000);
  const owners = () =>
    Object.values(cloud.state.loadBalancers).map(({ tags }) => tags['ingress.k8s.aws/stack']);
  await eventually(() => assert.deepEqual(owners(), ['shop/theirs']), 10_000);
  const looked = calls.length;
  await eventually(() => assert.ok(calls.slice(looked).filter((name) => name === 'DescribeTags').length > 2));
  assert.deepEqual(owners(), ['shop/theirs']);
  await client.delete(`${INGRESSES}/theirs`);
  await eventually(() => assert.deepEqual(counts(), onlyDefaultGroup), 10_000);
  await controller[Symbol.asyncDispose]();
  await start();
});

it('says why there is no plan for what is not there, or not ours', async () => {
  await assert.rejects(plan('service', 'nobody'), /there is no Service nobody in namespace shop/);
  await assert.rejects(plan('service', 'web'), /Service shop\/web asks for no load balancer of ours/);
});

it('tells what is wrong with one of a group, and serves the others', async () => {
  const group = { 'group.name': 'front' };
  await client.create(INGRESSES, ingress('good', 'a.example.com', group));
  await client.create(INGRESSES, ingress('bad', 'b.example.com', { ...group, scheme: 'sideways' }));
  const { metadata } = await served<Ingress>(`${INGRESSES}/good`);
  assert.deepEqual(metadata?.finalizers, ['group.ingress.k8s.aws/front']);
  await eventually(async () =>
    assert.match((await events('bad')).join(), /FailedBuildModel: .*scheme.*"sideways".*internal/),
  );
  await client.delete(`${INGRESSES}/good`);
  await gone(`${INGRESSES}/good`);
  await eventually(() => assert.deepEqual(counts(), onlyDefaultGroup), 10_000);
  await client.delete(`${INGRESSES}/bad`);
  await gone(`${INGRESSES}/bad`);
});

it('sees what was made in AWS a moment before it is named', async () => {
  const named = (name: string) => ingress(name, `${name}.example.com`, { 'security-groups': name });
  await client.create(INGRESSES, named('early'));
  await eventually(async () => assert.match((await events('early')).join(), /FailedBuildModel: .*"early"/));
  const ec2 = clientOf(cloud);
  stack.defer(() => ec2.destroy());
  const { GroupId } = await ec2.send(
    new CreateSecurityGroupCommand({
      VpcId: network.vpcId,
      GroupName: 'late',
      Description: 'made late',
      TagSpecifications: [{ ResourceType: 'security-group', Tags: [{ Key: 'Name', Value: 'late' }] }],
    }),
  );
  await client.create(INGRESSES, named('late'));
  await served(`${INGRESSES}/late`);
  assert.doesNotMatch((await events('late')).join(), /FailedBuildModel/);
  for (const name of ['early', 'late']) await client.delete(`${INGRESSES}/${name}`);
  for (const name of ['early', 'late']) await gone(`${INGRESSES}/${name}`);
  await ec2.send(new DeleteSecurityGroupCommand({ GroupId: GroupId! }));
  await eventually(() => assert.deepEqual(counts(), onlyDefaultGroup), 10_000);
});

it('keeps what an Ingress had that has become wrong, and holds nobody else up by it', async () => {
  const group = { 'group.name': 'kept' };
  for (const name of ['leaves', 'stays'])
    await client.create(INGRESSES, ingress(name, `${name}.example.com`, group));
  for (const name of ['leaves', 'stays']) await served<Ingress>(`${INGRESSES}/${name}`);
  const broken = { metadata: { annotations: { 'alb.ingress.kubernetes.io/scheme': 'sideways' } } };
  await client.patch(`${INGRESSES}/stays`, broken);
  await eventually(async () => assert.match((await events('stays')).join(), /scheme is "sideways"/));
  await client.delete(`${INGRESSES}/leaves`);
  await gone(`${INGRESSES}/leaves`);
  assert.equal(Object.keys(cloud.state.loadBalancers).length, 1);
  await client.delete(`${INGRESSES}/stays`);
  await gone(`${INGRESSES}/stays`);
  await eventually(() => assert.deepEqual(counts(), onlyDefaultGroup), 10_000);
});

it("tells AWS's own words of what it refuses, and goes on when it is mended", async () => {
  cloud.faults.add({
    operation: 'CreateLoadBalancer',
    code: 'TooManyLoadBalancers',
    message: 'The account has at most 50 load balancers',
    drop: false,
    when: 'before',
    delayMs: 0,
    probability: 1,
    times: 2,
  });
  await client.create(INGRESSES, ingress('web', 'a.example.com'));
  await served(`${INGRESSES}/web`);
  assert.match(
    (await events('web')).join(),
    /FailedDeployModel: CreateLoadBalancer: The account has at most 50 load balancers \(TooManyLoadBalancers\)/,
  );
  await client.delete(`${INGRESSES}/web`);
  await gone(`${INGRESSES}/web`);
  await eventually(() => assert.deepEqual(counts(), onlyDefaultGroup), 10_000);
});

it('has a hundred Ingresses of a group served in less than 20 s, with as few calls as they are rules', async () => {
  calls.length = 0;
  const begun = performance.now();
  const names = Array.from({ length: 100 }, (_, i) => `many-${i}`);
  await Promise.all(
    names.map(async (name) => {
      await client.create(SERVICES, service(name));
      const { spec, ...rest } = ingress(name, `${name}.example.com`, { 'group.name': 'many' });
      const text = JSON.stringify(spec).replace('"web"', `"${name}"`);
      await client.create(INGRESSES, { ...rest, spec: JSON.parse(text) });
    }),
  );
  await eventually(async () => {
    assert.equal(Object.keys(cloud.state.rules).length, 100);
    const { items } = await client.get<List<Ingress>>(INGRESSES);
    assert.equal(items.filter((each) => addressOf(each)).length, 100);
  }, 60_000);
  const seconds = (performance.now() - begun) / 1000;
  const count = (name: string) => calls.filter((call) => call === name).length;
  // Some are made twice, as the lab's AWS allows 50 in one go and then 5 a second.
  assert.ok(count('CreateTargetGroup') < 120 && count('CreateRule') < 120, calls.join());
  assert.ok(count('SetRulePriorities') <= 5, 'moved together');
  const asked = calls.filter((call) => /^Describe(LoadBalancers|Listeners|Rules|Tags)$/.test(call));
  assert.deepEqual(asked, [], 'what it has made it knows');
  assert.ok(seconds < 20, `${seconds} s`);
  cloud.configure({ throttle: null });
  await Promise.all(names.map((name) => client.delete(`${INGRESSES}/${name}`)));
  await eventually(async () => {
    const { items } = await client.get<List<Ingress>>(INGRESSES);
    assert.equal(items.length, 0);
  }, 60_000);
  await eventually(() => assert.deepEqual(counts(), onlyDefaultGroup), 30_000);
});
