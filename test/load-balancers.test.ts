/** Load balancers of Services on the wire: what pods see of their clients, and that nothing is lost while pods and Services change. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  AllocateAddressCommand,
  DescribeNatGatewaysCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSecurityGroupsCommand,
  EC2Client,
} from '@aws-sdk/client-ec2';
import {
  DescribeLoadBalancersCommand,
  DescribeTargetGroupsCommand,
  ElasticLoadBalancingV2Client,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import type { CoreEvent, Ingress, KubeClient, List, Pod, Service } from '@enid/kube';
import { machineNetwork, run, tracesOf } from './enid.ts';
import { GIVEN, WITHOUT_AWS } from './given.ts';
import { applicationLoadBalancer, LoadBalancersBed, networkLoadBalancer } from './load-balancers-bed.ts';
import { openSite, type Site } from './site.ts';
import type { Station } from './stations.ts';
import { until } from './until.ts';

const LAB = 'demo';
const NAMESPACE = 'balanced';
const LB = 'service.beta.kubernetes.io/aws-load-balancer-';
const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;
const SERVICES = `/api/v1/namespaces/${NAMESPACE}/services`;
const DEPLOYMENTS = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments`;
const IMAGE = 'registry.k8s.io/e2e-test-images/agnhost:2.53';

type Report = { ok: boolean; checks: { name: string; ok: boolean; detail: string }[] };

let machine: string;
let report: Report;
let site: Site;
let client: KubeClient;
let bed: LoadBalancersBed;
let aws: { ec2: EC2Client; elb: ElasticLoadBalancingV2Client };
/** What was in AWS before. */
let strangers: Set<string>;

before(async () => {
  machine = machineNetwork();
  site = await openSite(NAMESPACE, LAB, async () => {
    const { stdout, stderr } = await run('demo', '--services', '--json', '--keep');
    report = JSON.parse(stdout || '{}');
    assert.ok(report.checks, stderr);
  });
  ({ client } = site.stations);
  aws = { ec2: new EC2Client(site.aws), elb: new ElasticLoadBalancingV2Client(site.aws) };
  strangers = new Set(GIVEN && !WITHOUT_AWS ? await inAws() : []);
  bed = await LoadBalancersBed.open(site);
  await bed.apply(...asked());
  if (!GIVEN) await bed.apply(...(await withAddresses()));
});

after(async () => {
  for (const one of Object.values(aws ?? {})) one.destroy();
  await site?.[Symbol.asyncDispose]();
  if (GIVEN) return;
  await run('lab', 'down', '--name', LAB);
  assert.deepEqual(tracesOf(LAB), []);
  assert.equal(machineNetwork(), machine);
});

test('which client address arrives at a pod, on every way, is what AWS documents', {
  skip: GIVEN && 'needs the lab of "enid demo --services", whose table is checked',
}, () => {
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

/** The addresses of a Service's load balancer, once it has a healthy target in two zones. */
async function addressesOf(name: string): Promise<string[]> {
  return until(async () => {
    const { status } = await client.get<Service>(`${SERVICES}/${name}`);
    const host = status?.loadBalancer?.ingress?.[0]?.hostname;
    assert.ok(host, `Service ${name} has no load balancer`);
    const stdout = await site.run('sh', '-c', 'getent ahostsv4 "$0" || dig +short "$0"', host);
    const addresses = new Set(stdout.split('\n').flatMap((line) => line.split(/\s/)[0] || []));
    assert.ok(addresses.size >= 2, `${host} leads to ${[...addresses]}`);
    return [...addresses].sort();
  }, 2 * site.patience);
}

async function warningOf(name: string, message: RegExp): Promise<CoreEvent> {
  return until(async () => {
    const { items } = await client.get<List<CoreEvent>>(`/api/v1/namespaces/${NAMESPACE}/events`, {
      fieldSelector: `involvedObject.name=${name}`,
    });
    const found = items.find((event) => event.type === 'Warning' && message.test(event.message ?? ''));
    assert.ok(found, `events of ${name}: ${items.map((event) => event.message).join('; ')}`);
    return found;
  });
}

test('a rolling update behind targets by ip loses no request: gates and the deregistration delay together', async (t) => {
  const metadata = { labels: { 'elbv2.k8s.aws/pod-readiness-gate-inject': 'enabled' } };
  await client.patch(`/api/v1/namespaces/${NAMESPACE}`, { metadata });
  const delay = 'deregistration_delay.timeout_seconds=5';
  const scheme = { scheme: site.scheme, 'target-group-attributes': delay };
  await bed.apply(
    networkLoadBalancer('rolled', { ...TO_PODS, ...scheme }, { selector: { app: 'rolled' } }),
    applicationLoadBalancer('rolled', 'rolled', scheme),
  );
  // Gates are named by the bindings: pods that come before them would have none.
  const network = await bed.nameOf('services', 'rolled');
  const application = await bed.nameOf('ingresses', 'rolled');
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
  const podsOf = async (revision: string) =>
    (await client.get<List<Pod>>(PODS, { labelSelector: `revision=${revision}` })).items;
  await client.create(DEPLOYMENTS, deployment('one') as object);
  const addresses = await addressesOf('rolled');
  await until(async () => {
    const ready = (await podsOf('one')).filter(({ status }) =>
      status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
    );
    assert.equal(ready.length, 2);
    for (const { spec: { readinessGates = [] } = {}, metadata } of ready) {
      assert.equal(readinessGates.length, 2, metadata?.name);
      for (const { conditionType } of readinessGates)
        assert.match(conditionType, /^target-health\.elbv2\.k8s\.aws\/k8s-/, metadata?.name);
    }
  }, 2 * site.patience);

  const requests = await load([
    ...addresses.map((address): Way => ({ host: address, connection: 'close' })),
    { host: network, connection: 'keep-alive' },
    { host: application, connection: 'close' },
    { host: application, connection: 'keep-alive' },
  ]);
  t.after(() => requests.stop());
  const before = (await podsOf('one')).map(({ metadata }) => metadata!.name!);
  await client.patch(`${DEPLOYMENTS}/rolled`, deployment('two'));
  await until(async () => {
    assert.deepEqual([(await podsOf('one')).length, (await podsOf('two')).length], [0, 2]);
  }, 4 * site.patience);
  const after = (await podsOf('two')).map(({ metadata }) => metadata!.name!);
  const ways = await requests.stop();
  for (const { way, outcomes, connections } of ways)
    t.diagnostic(`${Object.values(way)}: ${JSON.stringify(Object.fromEntries(outcomes))} ${connections}`);
  const pods = [...before, ...after];
  for (const { way, outcomes } of ways) {
    const told = Object.values(way).join();
    assert.deepEqual(
      [...outcomes.keys()].filter((outcome) => !pods.includes(outcome)),
      [],
      told,
    );
    for (const some of [before, after])
      assert.ok(
        some.some((pod) => outcomes.has(pod)),
        told,
      );
  }
  assert.deepEqual(new Set(ways.flatMap(({ outcomes }) => [...outcomes.keys()])), new Set(pods));
  // Its clients' connections are an application load balancer's own: none ends with a target.
  const { outcomes, connections } = ways.at(-1)!;
  assert.equal(
    connections * PER_CONNECTION,
    [...outcomes.values()].reduce((sum, count) => sum + count),
  );
});

/** Whom requests ask, and whether each has a connection of its own. */
type Way = { readonly host: string; readonly connection: 'close' | 'keep-alive' };

/** How many requests a client makes by a connection that it keeps. */
const PER_CONNECTION = 100;

/** A loop for each `<connection> <URL>`, until it is told to stop, or for 10 minutes. What has come of it is in a file each when it has ended. */
const BEGIN = `
directory=$(mktemp -d); touch "$directory/go"; echo "$directory"
end=$(($(date +%s) + 600))
while [ $# -gt 0 ]; do
  n=$((n + 1)) connection=$1 url=$2
  shift 2
  (
    # The shell would keep what it redirects otherwise, and whoever runs it wait for the end of that.
    exec >"$directory/running.$n" 2>&1
    while [ -e "$directory/go" ] && [ "$(date +%s)" -lt $end ]; do
      curl -s --rate 20/s -m 5 -H "Connection: $connection" -w ' %{http_code} %{num_connects} %{errormsg}\\n' "$url"
    done
    mv "$directory/running.$n" "$directory/ended.$n"
  ) &
done`;
const END = `
rm "$0/go"
while ls "$0" | grep -q running; do sleep 0.1; done
for file in "$0"/ended.*; do sed "s/^/$(($\{file##*.} - 1)) /" "$file"; done
rm -r "$0"`;

/** Asks on each way 20 times a second until told to stop. @returns how often which pod answered there, or what failed how, and by how many connections. */
async function load(ways: readonly Way[]) {
  const asked = ways.flatMap(({ host, connection }) => {
    const count = connection === 'close' ? 20 : PER_CONNECTION;
    return [connection, `http://${host}/hostname#[1-${count}]`];
  });
  const directory = (await site.run('sh', '-c', BEGIN, 'sh', ...asked)).trim();
  const end = async () => {
    const found = ways.map((way) => ({ way, outcomes: new Map<string, number>(), connections: 0 }));
    for (const line of (await site.run('sh', '-c', END, directory)).split('\n').filter(Boolean)) {
      const [, index, told] = /^(\d+) (.*)$/.exec(line)!;
      const one = found[Number(index)]!;
      const [, pod, connects] = /^(\S+) 200 (\d) $/.exec(told!) ?? [];
      const key = pod ?? `failed: ${told}`;
      one.outcomes.set(key, (one.outcomes.get(key) ?? 0) + 1);
      one.connections += Number(connects ?? 0);
    }
    return found;
  };
  let ended: ReturnType<typeof end> | undefined;
  return {
    stop: () => {
      ended ??= end();
      return ended;
    },
  };
}

const TO_PODS = { 'nlb-target-type': 'ip' };
const PRESERVED = { ...TO_PODS, 'target-group-attributes': 'preserve_client_ip.enabled=true' };
const SOURCE_RANGES = 'service.beta.kubernetes.io/load-balancer-source-ranges';

/** Load balancers that pods ask, all internal. They come to be while other tests run. */
const asked = () => [
  networkLoadBalancer('instances', {}, { externalTrafficPolicy: 'Local' }),
  networkLoadBalancer('pods', TO_PODS),
  networkLoadBalancer('preserved', PRESERVED),
  applicationLoadBalancer('requests', 'pods', {}),
  networkLoadBalancer('both', TO_PODS, {
    ports: ['TCP', 'UDP'].map((protocol) => ({
      name: protocol.toLowerCase(),
      protocol,
      port: 80,
      targetPort: 8080,
    })),
  }),
  ...fenced(bed.far),
];

/** Load balancers that let in one pod, by each way to say so. */
const fenced = ({ address }: Station) => [
  networkLoadBalancer('ranges', TO_PODS, { loadBalancerSourceRanges: [`${address}/32`] }),
  networkLoadBalancer('ranges-of-old', { ...TO_PODS, [SOURCE_RANGES]: `${address}/32` }),
  applicationLoadBalancer('ranges', 'pods', { 'inbound-cidrs': `${address}/32` }),
];

test('pods ask by name and are seen as AWS documents; who is led back to its own node with its address kept hears nothing', async () => {
  const { target, neighbour, far } = bed;
  const ways = [
    ['services', 'instances', '/clientip'],
    ['services', 'pods', '/clientip'],
    ['services', 'preserved', '/clientip'],
    ['ingresses', 'requests', '/header?key=X-Forwarded-For'],
    ['ingresses', 'requests', '/clientip'],
  ] as const;
  const rows = await Promise.all(
    ways.map(async ([kind, name, question]) => {
      const host = await bed.nameOf(kind, name);
      const seen = async (from: Station) => {
        const [address = ''] = (await bed.ask(from, host, question)).split(':');
        if (address === from.address) return 'itself';
        return (await bed.addressesOf(host)).includes(address) ? 'the load balancer' : address;
      };
      await until(async () => assert.notEqual(await seen(far), ''), 2 * site.patience);
      return [name, ...(await Promise.all([far, neighbour, target].map(seen)))];
    }),
  );
  // https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-troubleshooting.html#loopback-timeout
  assert.deepEqual(rows, [
    ['instances', 'itself', '', ''],
    ['pods', 'the load balancer', 'the load balancer', 'the load balancer'],
    ['preserved', 'itself', '', ''],
    ['requests', 'itself', 'itself', 'itself'],
    ['requests', 'the load balancer', 'the load balancer', 'the load balancer'],
  ]);
});

test('what is internet-facing sees a pod as the NAT gateway of its subnet, or as its node where that has a public address', {
  skip: GIVEN && 'needs the lab of "enid demo --services", and its subnets',
}, async () => {
  const { NatGateways = [] } = await aws.ec2.send(new DescribeNatGatewaysCommand({}));
  const gateways = NatGateways.flatMap(({ NatGatewayAddresses = [] }) => NatGatewayAddresses);
  const sources = await Promise.all(
    [bed.far, bed.target].map(async ({ pod }) => {
      const Filters = [{ Name: 'addresses.private-ip-address', Values: [pod.status!.hostIP!] }];
      const { NetworkInterfaces = [] } = await aws.ec2.send(
        new DescribeNetworkInterfacesCommand({ Filters }),
      );
      return NetworkInterfaces[0]!.Association?.PublicIp ?? gateways[0]!.PublicIp!;
    }),
  );
  assert.ok(sources.includes(gateways[0]!.PublicIp!), 'one of the nodes is in a private subnet');
  assert.equal(new Set(sources).size, 2);
  for (const [kind, name, question] of [
    ['services', 'nlb-preserve', '/clientip'],
    ['ingresses', 'alb', '/header?key=X-Forwarded-For'],
  ] as const) {
    const host = await bed.nameOf(kind, name, 'default');
    const answers = await Promise.all([bed.far, bed.target].map((from) => bed.ask(from, host, question)));
    assert.deepEqual(
      answers.map((answer) => answer.split(':')[0]),
      sources,
      name,
    );
  }
});

test('one port of TCP and UDP answers both', async () => {
  const host = await bed.nameOf('services', 'both');
  await until(async () => {
    const answers = [
      await bed.ask(bed.far, host, '/clientip'),
      await bed.askByUdp(bed.far, host, 'clientip'),
    ];
    // Targets of UDP see their clients, and so do those of both.
    assert.deepEqual(
      answers.map((answer) => answer.split(':')[0]),
      [bed.far.address, bed.far.address],
    );
  }, 2 * site.patience);
});

test('who may come is served, and nobody else', async () => {
  const { far, neighbour } = bed;
  const hosts = await Promise.all([
    bed.nameOf('services', 'ranges'),
    bed.nameOf('services', 'ranges-of-old'),
    bed.nameOf('ingresses', 'ranges'),
  ]);
  const served = (from: Station) =>
    Promise.all(hosts.map(async (host) => (await bed.ask(from, host, '/hostname')) === 'target'));
  const all = hosts.map(() => true);
  const none = hosts.map(() => false);
  await until(async () => assert.deepEqual(await served(far), all), 2 * site.patience);
  assert.deepEqual(await served(neighbour), none);
  await bed.apply(...fenced(neighbour));
  await until(async () => assert.deepEqual(await served(neighbour), all), site.patience);
  await until(async () => assert.deepEqual(await served(far), none), site.patience);
});

/** Addresses that load balancers are to have: Elastic IP addresses, and of two private subnets the last but 5. */
const addresses = { elastic: [] as string[], own: ['10.0.11.250', '10.0.12.250'] };

/** Load balancers that have them. */
async function withAddresses() {
  const allocated = await Promise.all(
    addresses.own.map(() => aws.ec2.send(new AllocateAddressCommand({ Domain: 'vpc' }))),
  );
  addresses.elastic = allocated.map(({ PublicIp }) => PublicIp!).sort();
  const ids = allocated.map(({ AllocationId }) => AllocationId!);
  return [
    networkLoadBalancer('elastic', {
      ...TO_PODS,
      scheme: 'internet-facing',
      'eip-allocations': `${ids}`,
    }),
    networkLoadBalancer('own', { ...TO_PODS, 'private-ipv4-addresses': `${addresses.own}` }),
  ];
}

test('a load balancer has the addresses that are chosen for it, and answers at each', {
  skip: GIVEN && 'needs the lab, whose addresses are known to be free',
}, async () => {
  const [elastic, own] = await Promise.all(
    ['elastic', 'own'].map((name) => bed.nameOf('services', name)) as [Promise<string>, Promise<string>],
  );
  await until(async () => assert.deepEqual(await bed.addressesOf(elastic), addresses.elastic), site.patience);
  await until(async () => assert.deepEqual(await bed.addressesOf(own), addresses.own), site.patience);
  for (const address of addresses.elastic)
    assert.equal(await site.run('curl', '-s', '-m', '3', `http://${address}/hostname`), 'target');
  for (const address of addresses.own) assert.equal(await bed.ask(bed.far, address, '/hostname'), 'target');
});

test('an annotation that cannot be is an event of its Service, whose load balancer stays, as do the others', async (t) => {
  const addresses = await addressesOf('rolled');
  const annotate = (scheme: string) =>
    client.patch(`${SERVICES}/rolled`, { metadata: { annotations: { [`${LB}scheme`]: scheme } } });
  await annotate('public');
  await warningOf('rolled', /aws-load-balancer-scheme is "public": it may be internal, internet-facing/);
  assert.deepEqual(await addressesOf('rolled'), addresses);
  assert.match(await site.run('curl', '-s', '-m', '5', `http://${addresses[0]}/hostname`), /^rolled-/);
  await annotate(site.scheme);

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
  const { status } = await client.get<Service>(`${SERVICES}/nowhere`);
  assert.equal(status?.loadBalancer?.ingress, undefined);
  if (WITHOUT_AWS) return t.diagnostic(WITHOUT_AWS);
  assert.ok(!(await inAws()).some((one) => one.includes(`k8s-${NAMESPACE}-nowhere`)));
});

test('what is deleted leaves nothing in AWS', { skip: WITHOUT_AWS }, async () => {
  const left = async () => (await inAws()).filter((one) => !strangers.has(one));
  assert.ok((await left()).some((one) => one.startsWith('group k8s-')));
  // Of a lab, what the demo has made is in default.
  const ours = GIVEN ? [NAMESPACE] : [NAMESPACE, 'default'];
  const ingresses = await client.get<List<Ingress>>('/apis/networking.k8s.io/v1/ingresses');
  const services = await client.get<List<Service>>('/api/v1/services');
  const balanced = services.items.filter(({ spec }) => spec?.type === 'LoadBalancer');
  for (const [api, kind, items] of [
    ['apis/networking.k8s.io/v1', 'ingresses', ingresses.items],
    ['api/v1', 'services', balanced],
  ] as const)
    for (const { metadata } of items)
      if (ours.includes(metadata!.namespace!))
        await client.delete(`/${api}/namespaces/${metadata!.namespace}/${kind}/${metadata!.name}`);
  await until(async () => assert.deepEqual(await left(), []), 3 * site.patience);
});

/** Load balancers, target groups, security groups that a controller has made, and rules that let in groups which are gone. */
async function inAws(): Promise<string[]> {
  const { LoadBalancers = [] } = await aws.elb.send(new DescribeLoadBalancersCommand({}));
  const { TargetGroups = [] } = await aws.elb.send(new DescribeTargetGroupsCommand({}));
  const { SecurityGroups = [] } = await aws.ec2.send(new DescribeSecurityGroupsCommand({}));
  const ids = new Set(SecurityGroups.map(({ GroupId }) => GroupId));
  const made = SecurityGroups.filter(({ Tags }) => Tags?.some(({ Key }) => Key === 'elbv2.k8s.aws/cluster'));
  return [
    ...LoadBalancers.map(({ LoadBalancerArn }) => `load balancer ${LoadBalancerArn}`),
    ...TargetGroups.map(({ TargetGroupArn }) => `target group ${TargetGroupArn}`),
    ...made.map(({ GroupName }) => `group ${GroupName}`),
    ...SecurityGroups.flatMap(({ GroupName, IpPermissions = [] }) =>
      IpPermissions.flatMap(({ UserIdGroupPairs = [] }) => UserIdGroupPairs)
        .filter(({ GroupId }) => !ids.has(GroupId!))
        .map(({ GroupId }) => `rule of ${GroupName} for ${GroupId}`),
    ),
  ];
}
