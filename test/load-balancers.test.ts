/** Load balancers of Services on the wire: what pods see of their clients, and that nothing is lost while pods and Services change. */
import assert from 'node:assert/strict';
import { DescribeSecurityGroupsCommand, type Tag } from '@aws-sdk/client-ec2';
import {
  DescribeLoadBalancersCommand,
  DescribeTargetGroupsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { type CoreEvent, KubeClient, kubeconfigAccess, type List, type Pod, type Service } from '@enid/kube';
import { Lab } from '@enid/lab';
import { NetNamespace } from '@enid/linux';
import { host } from '../packages/cli/src/host.ts';
import { ec2Client } from '../packages/lab/src/lab/ec2.ts';
import { elbClient } from '../packages/lab/src/lab/load-balancers.ts';
import { machineNetwork, run, tracesOf } from './enid.ts';
import { labOnly } from './given.ts';
import { ask, INTERNET, load, type Place, until } from './services-bed.ts';

const { after, before, test } = labOnly('an AWS whose load balancers carry traffic from its own internet');

const NAME = 'demo';
const LB = 'service.beta.kubernetes.io/aws-load-balancer-';
const SERVICES = '/api/v1/namespaces/default/services';
const IMAGE = 'registry.k8s.io/e2e-test-images/agnhost:2.53';

type Report = { ok: boolean; checks: { name: string; ok: boolean; detail: string }[] };

let machine: string;
let report: Report;
let lab: Lab;
let client: KubeClient;
let internet: Place;
let aws: { ec2: ReturnType<typeof ec2Client>; elb: ReturnType<typeof elbClient> };

before(async () => {
  machine = machineNetwork();
  const { stdout, stderr } = await run('demo', '--services', '--json', '--keep');
  report = JSON.parse(stdout || '{}');
  assert.ok(report.checks, stderr);
  lab = Lab.open(NAME, host);
  client = new KubeClient(kubeconfigAccess(lab.cluster!.kubeconfigFile));
  aws = { ec2: ec2Client(lab.record), elb: elbClient(lab.record) };
  const ns = NetNamespace.named(`enid-${NAME}-internet`);
  internet = { name: 'internet', kind: 'internet', node: undefined, address: INTERNET, ns };
});

after(async () => {
  internet?.ns.close();
  client?.close();
  for (const one of Object.values(aws ?? {})) one.destroy();
  await run('lab', 'down', '--name', NAME);
  assert.deepEqual(tracesOf(NAME), []);
  assert.equal(machineNetwork(), machine);
});

test('which client address arrives at a pod, on every way, is what AWS documents', () => {
  assert.deepEqual(
    report.checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}\n${detail}`),
    [],
  );
  const rows = report.checks
    .at(-1)!
    .detail.split('\n')
    .map((line) => line.trim().split(/ {2,}/))
    .filter((cells) => cells.length === 4)
    .slice(1)
    .map(([way, source, seen, by]) => [way, ...[source, seen].map((cell) => cell!.replace(/^\S+ /, '')), by]);
  assert.deepEqual(rows, [
    ['NLB to instances, externalTrafficPolicy Cluster', '(node-1)', '(node-1)', 'the connection'],
    ['NLB to instances, externalTrafficPolicy Local', '(client)', '(client)', 'the connection'],
    ['NLB to pods', '(load balancer)', '(load balancer)', 'the connection'],
    ['NLB to pods, PROXY protocol v2', '(load balancer)', '(client)', 'the PROXY header'],
    ['NLB to pods, preserve_client_ip', '(client)', '(client)', 'the connection'],
    ['NLB to pods, UDP', '(client)', '(client)', 'the connection'],
    ['ALB to pods', '(load balancer)', '(client)', 'X-Forwarded-For'],
  ]);
});

/** The public addresses of a Service's load balancer, once it has a healthy target in each. */
async function addressesOf(name: string, zones: number): Promise<string[]> {
  return until(async () => {
    const { status } = await client.get<Service>(`${SERVICES}/${name}`);
    const host = status?.loadBalancer?.ingress?.[0]?.hostname;
    assert.ok(host, `Service ${name} has no load balancer`);
    const { stdout } = await lab.run('internet', ['getent', 'ahostsv4', host]);
    const addresses = [...new Set(stdout.split('\n').flatMap((line) => line.split(/\s/)[0] || []))];
    assert.equal(addresses.length, zones, `${host} leads to ${addresses}`);
    return addresses;
  }, 60_000);
}

async function warningOf(name: string, message: RegExp): Promise<CoreEvent> {
  return until(async () => {
    const { items } = await client.get<List<CoreEvent>>('/api/v1/namespaces/default/events', {
      fieldSelector: `involvedObject.name=${name}`,
    });
    const found = items.find((event) => event.type === 'Warning' && message.test(event.message ?? ''));
    assert.ok(found, `events of ${name}: ${items.map((event) => event.message).join('; ')}`);
    return found;
  });
}

test('an annotation that cannot be is an event of its Service, whose load balancer stays, as do the others', async () => {
  const addresses = await addressesOf('nlb-ip', 1);
  const annotate = (scheme: string) =>
    client.patch(`${SERVICES}/nlb-ip`, { metadata: { annotations: { [`${LB}scheme`]: scheme } } });
  await annotate('public');
  await warningOf('nlb-ip', /aws-load-balancer-scheme is "public": it may be internal, internet-facing/);
  assert.deepEqual(await addressesOf('nlb-ip', 1), addresses);
  assert.equal(typeof (await ask(internet, 'tcp', addresses[0]!, 80)), 'object');
  await annotate('internet-facing');

  await client.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'nowhere',
      annotations: { [`${LB}subnets`]: 'subnet-of-nobody', [`${LB}nlb-target-type`]: 'ip' },
    },
    spec: {
      type: 'LoadBalancer',
      loadBalancerClass: 'service.k8s.aws/nlb',
      selector: { app: 'web' },
      ports: [{ port: 80 }],
    },
  } as object);
  await warningOf('nowhere', /aws-load-balancer-subnets names "subnet-of-nobody": no subnet of vpc-\w+/);
  const { LoadBalancers = [] } = await aws.elb.send(new DescribeLoadBalancersCommand({}));
  assert.ok(
    !LoadBalancers.some(({ LoadBalancerName }) => LoadBalancerName!.startsWith('k8s-default-nowhere')),
  );
});

test('a rolling update behind targets by ip loses no request: gates and the deregistration delay together', async (t) => {
  const metadata = { labels: { 'elbv2.k8s.aws/pod-readiness-gate-inject': 'enabled' } };
  await client.patch('/api/v1/namespaces/default', { metadata });
  await client.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'rolled',
      annotations: {
        [`${LB}scheme`]: 'internet-facing',
        [`${LB}nlb-target-type`]: 'ip',
        [`${LB}attributes`]: 'load_balancing.cross_zone.enabled=true',
        [`${LB}target-group-attributes`]: 'deregistration_delay.timeout_seconds=5',
      },
    },
    spec: {
      type: 'LoadBalancer',
      loadBalancerClass: 'service.k8s.aws/nlb',
      selector: { app: 'rolled' },
      ports: [{ port: 80, targetPort: 8080 }],
    },
  } as object);
  // The gate's name is that of the binding: pods that come before it would have none.
  await until(async () => {
    const { status } = await client.get<Service>(`${SERVICES}/rolled`);
    assert.ok(status?.loadBalancer?.ingress?.[0]?.hostname);
  }, 60_000);
  const deployment = (revision: string) => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'rolled' },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: 'rolled' } },
      strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: { labels: { app: 'rolled', revision } },
        spec: {
          terminationGracePeriodSeconds: 30,
          topologySpreadConstraints: [
            {
              maxSkew: 1,
              topologyKey: 'kubernetes.io/hostname',
              whenUnsatisfiable: 'ScheduleAnyway',
              labelSelector: { matchLabels: { app: 'rolled' } },
            },
          ],
          // They go on serving while they are taken out of the load balancer.
          containers: [{ name: 'net', image: IMAGE, args: ['netexec', '--delay-shutdown=10'] }],
        },
      },
    },
  });
  const deployments = '/apis/apps/v1/namespaces/default/deployments';
  const podsOf = async (revision: string) =>
    (
      await client.get<List<Pod>>('/api/v1/namespaces/default/pods', {
        labelSelector: `revision=${revision}`,
      })
    ).items;
  await client.create(deployments, deployment('one') as object);
  const addresses = await addressesOf('rolled', 2);
  await until(async () => {
    const ready = (await podsOf('one')).filter(({ status }) =>
      status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
    );
    assert.equal(ready.length, 2);
    for (const { spec, metadata } of ready)
      assert.match(
        spec?.readinessGates?.[0]?.conditionType ?? '',
        /^target-health\.elbv2\.k8s\.aws\/k8s-/,
        metadata?.name,
      );
  }, 60_000);

  const requests = load(40, (number) => ask(internet, 'tcp', addresses[number % 2]!, 80));
  t.after(() => requests.stop());
  const before = (await podsOf('one')).map(({ metadata }) => metadata!.name!);
  await client.patch(`${deployments}/rolled`, deployment('two'));
  await until(async () => {
    assert.deepEqual([(await podsOf('one')).length, (await podsOf('two')).length], [0, 2]);
  }, 120_000);
  const after = (await podsOf('two')).map(({ metadata }) => metadata!.name!);
  const { counts, failures, perSecond } = await requests.stop();
  t.diagnostic(`${[...counts.values()]} requests by pod, ${perSecond.toFixed(0)} a second`);
  assert.deepEqual(failures, []);
  for (const name of [...before, ...after]) assert.ok(counts.has(name), `${name} was never asked`);
});

test('what is deleted leaves nothing in AWS', async () => {
  const groups = async () => (await aws.ec2.send(new DescribeSecurityGroupsCommand({}))).SecurityGroups!;
  const ours = (tags: readonly Tag[] = []) => tags.some(({ Key }) => Key === 'elbv2.k8s.aws/cluster');
  assert.ok((await groups()).some(({ Tags }) => ours(Tags)));
  await client.delete('/apis/networking.k8s.io/v1/namespaces/default/ingresses/alb');
  const { items } = await client.get<List<Service>>(SERVICES);
  for (const { metadata, spec } of items)
    if (spec?.type === 'LoadBalancer') await client.delete(`${SERVICES}/${metadata!.name}`);
  await until(async () => {
    const left = await client.get<List<Service>>(SERVICES);
    assert.deepEqual(
      left.items.filter(({ spec }) => spec?.type === 'LoadBalancer').map(({ metadata }) => metadata!.name),
      [],
    );
    assert.deepEqual((await aws.elb.send(new DescribeLoadBalancersCommand({}))).LoadBalancers, []);
    assert.deepEqual((await aws.elb.send(new DescribeTargetGroupsCommand({}))).TargetGroups, []);
    const all = await groups();
    assert.deepEqual(
      all.filter(({ Tags }) => ours(Tags)).map(({ GroupName }) => GroupName),
      [],
    );
    const ids = new Set(all.map(({ GroupId }) => GroupId));
    const strangers = all
      .flatMap(({ IpPermissions = [] }) =>
        IpPermissions.flatMap(({ UserIdGroupPairs = [] }) => UserIdGroupPairs),
      )
      .filter(({ GroupId }) => !ids.has(GroupId!));
    assert.deepEqual(strangers, []);
  }, 90_000);
});
