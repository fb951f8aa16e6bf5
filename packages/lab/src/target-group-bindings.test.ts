/** TargetGroupBindings against the API server and the lab's AWS: targets, readiness gates, security groups. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, type TestContext, test } from 'node:test';
import {
  AssignPrivateIpAddressesCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateSecurityGroupCommand,
  CreateTagsCommand,
  DescribeInstancesCommand,
  DescribeSecurityGroupsCommand,
  ModifyNetworkInterfaceAttributeCommand,
} from '@aws-sdk/client-ec2';
import {
  DeregisterTargetsCommand,
  DescribeTargetHealthCommand,
  RegisterTargetsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import {
  bindingPath,
  startTargetGroupBindings,
  type TargetGroupBindingSpec,
} from '@enid/controller/load-balancing';
import {
  type CoreEvent,
  EventRecorder,
  Informers,
  isNotFound,
  KubeClient,
  type List,
  type Pod,
  type Service,
} from '@enid/kube';
import { eventually } from '@enid/kube/testing';
import { parse } from 'yaml';
import { startTestApiServer } from './apiserver/apiserver.fixture.ts';
import { launch } from './cloud/cloud.fixture.ts';
import {
  createListener,
  createLoadBalancer,
  createTargetGroup,
  forwardTo,
  startLab,
  type TestLab,
} from './cloud/elbv2/elbv2.fixture.ts';

const CLUSTER = 'blue';
const RULE = 'elbv2.k8s.aws/targetGroupBinding=shared';

type Bed = Awaited<ReturnType<typeof startBed>>;

/** A cluster of two nodes, each with five addresses for pods; its objects are made by hand. */
async function startBed(t: TestContext) {
  const lab = await startLab(t);
  const server = await startTestApiServer();
  t.after(() => server.stop());
  const client = new KubeClient(server.access);
  t.after(() => client.close());
  await server.must(
    'POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions',
    parse(readFileSync('deploy/crds/targetgroupbindings.yaml', 'utf8')),
  );
  await server.must('POST /api/v1/namespaces', { metadata: { name: 'shop' } });
  await server.must('POST /api/v1/namespaces/shop/serviceaccounts', { metadata: { name: 'default' } });
  await lab.ec2.send(
    new CreateTagsCommand({
      Resources: [lab.groupId],
      Tags: [{ Key: `kubernetes.io/cluster/${CLUSTER}`, Value: 'owned' }],
    }),
  );
  const nodes = await Promise.all([addNode(lab, client, 'node-1', 'a'), addNode(lab, client, 'node-2', 'b')]);
  await eventually(() => client.get(bindingPath('shop')));
  return { lab, client, nodes };
}

async function addNode(lab: TestLab, client: KubeClient, name: string, zone: string) {
  const instance = await launch(lab, zone === 'a' ? lab.subnetId : lab.otherSubnetId);
  const { Reservations } = await lab.ec2.send(new DescribeInstancesCommand({ InstanceIds: [instance] }));
  const eni = Reservations![0]!.Instances![0]!.NetworkInterfaces![0]!;
  const { AssignedPrivateIpAddresses } = await lab.ec2.send(
    new AssignPrivateIpAddressesCommand({
      NetworkInterfaceId: eni.NetworkInterfaceId,
      SecondaryPrivateIpAddressCount: 5,
    }),
  );
  await client.create('/api/v1/nodes', {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { zone } },
    spec: { providerID: `aws:///us-east-1${zone}/${instance}` },
  });
  const conditions = [{ type: 'Ready', status: 'True' }];
  await client.patch(`/api/v1/nodes/${name}/status`, { status: { conditions } }, 'strategic');
  return {
    name,
    instance,
    addresses: AssignedPrivateIpAddresses!.map(({ PrivateIpAddress }) => PrivateIpAddress!),
  };
}

/** Starts the controller; it ends with the test or before. */
async function startBindings(t: TestContext, { lab, client }: Bed, resync = 300_000) {
  await using stack = new AsyncDisposableStack();
  const onError = () => {};
  const informers = stack.use(new Informers({ client, onError }));
  const recorder = new EventRecorder({ client, component: 'test' });
  stack.defer(() => recorder.close());
  stack.use(
    await startTargetGroupBindings({
      client,
      elb: lab.elb,
      ec2: lab.ec2,
      vpcId: lab.vpcId,
      clusterName: CLUSTER,
      account: {
        vpcCidrs: async () => ['10.0.0.0/16' as never],
        securityGroups: async () => [],
      },
      informers,
      resync,
      recorder,
      onError,
    }),
  );
  const controller = stack.move();
  t.after(() => controller.disposeAsync());
  return controller;
}

const addService = ({ client }: Bed, name: string) =>
  client.create('/api/v1/namespaces/shop/services', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { type: 'NodePort', ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }] },
  });

type Endpoint = {
  readonly name: string;
  readonly address: string;
  readonly ready?: boolean;
  readonly terminating?: boolean;
};

/** Says which pods a Service has. */
async function setEndpoints({ client }: Bed, service: string, endpoints: readonly Endpoint[], port = 8080) {
  const path = '/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices';
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: service, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port, protocol: 'TCP' }],
    endpoints: endpoints.map(({ name, address, ready = true, terminating = false }) => ({
      addresses: [address],
      conditions: { ready, serving: ready || terminating, terminating },
      targetRef: { kind: 'Pod', namespace: 'shop', name },
    })),
  };
  const old = await client.get<{ metadata: object }>(`${path}/${service}`).catch((error) => {
    if (!isNotFound(error)) throw error;
    return undefined;
  });
  if (!old) return client.create(path, slice);
  return client.replace(`${path}/${service}`, { ...slice, metadata: old.metadata });
}

async function addPod(
  { client }: Bed,
  name: string,
  nodeName: string,
  address: string,
  gates: readonly string[] = [],
) {
  const path = '/api/v1/namespaces/shop/pods';
  await client.create(path, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      nodeName,
      containers: [{ name: 'c', image: 'c', ports: [{ name: 'web', containerPort: 8080 }] }],
      readinessGates: gates.map((gate) => ({ conditionType: `target-health.elbv2.k8s.aws/${gate}` })),
    },
  });
  await client.patch<Pod>(
    `${path}/${name}/status`,
    { status: { phase: 'Running', podIP: address } },
    'strategic',
  );
}

const containersAreReady = ({ client }: Bed, name: string) =>
  client.patch(
    `/api/v1/namespaces/shop/pods/${name}/status`,
    { status: { conditions: [{ type: 'ContainersReady', status: 'True' }] } },
    'strategic',
  );

const bind = ({ client }: Bed, name: string, spec: TargetGroupBindingSpec) =>
  client.create(bindingPath('shop'), {
    apiVersion: 'elbv2.k8s.aws/v1beta1',
    kind: 'TargetGroupBinding',
    metadata: { name },
    spec,
  });

async function targetsOf({ lab }: Bed, TargetGroupArn: string): Promise<string[]> {
  const { TargetHealthDescriptions } = await lab.elb.send(
    new DescribeTargetHealthCommand({ TargetGroupArn }),
  );
  return TargetHealthDescriptions!
    .filter(({ TargetHealth }) => TargetHealth!.State !== 'draining')
    .map(({ Target }) => `${Target!.Id}:${Target!.Port}`)
    .sort();
}

/** `tcp 8080-8080 sg-1`, with the description of others than ours. */
async function rulesOf({ lab }: Bed): Promise<string[]> {
  const { SecurityGroups } = await lab.ec2.send(
    new DescribeSecurityGroupsCommand({ GroupIds: [lab.groupId] }),
  );
  return SecurityGroups![0]!
    .IpPermissions!.flatMap(({ IpProtocol, FromPort, ToPort, IpRanges = [] }) =>
      IpRanges.map(
        ({ CidrIp, Description }) =>
          `${IpProtocol} ${FromPort}-${ToPort} ${CidrIp}${Description === RULE ? '' : ` (${Description})`}`,
      ),
    )
    .sort();
}

const from = (cidr: string, port: number | string) => ({
  ingress: [{ from: [{ ipBlock: { cidr } }], ports: [{ protocol: 'TCP' as const, port }] }],
});

const eventsOf = async ({ client }: Bed, reason: string) =>
  (await client.get<List<CoreEvent>>('/api/v1/namespaces/shop/events')).items
    .filter((event) => event.reason === reason)
    .map(({ message }) => message);

suite('target group bindings', () => {
  test('pods are targets while they serve, and those with a gate as soon as only the load balancer keeps them from it', async (t) => {
    const bed = await startBed(t);
    const { lab, client, nodes } = bed;
    const [first, second] = nodes;
    const [a, b, gated] = [first.addresses[0]!, second.addresses[0]!, second.addresses[1]!];
    const arn = await createTargetGroup(lab, 'web');
    const loadBalancer = await createLoadBalancer(lab, { Type: 'application' });
    await createListener(lab, loadBalancer.LoadBalancerArn!, { DefaultActions: forwardTo(arn) });
    await addService(bed, 'web');
    await addPod(bed, 'a', 'node-1', a);
    await addPod(bed, 'b', 'node-2', b);
    await addPod(bed, 'gated', 'node-2', gated, ['web']);
    await setEndpoints(bed, 'web', [
      { name: 'a', address: a },
      { name: 'b', address: b, ready: false },
      { name: 'gated', address: gated, ready: false },
    ]);
    await startBindings(t, bed);
    await bind(bed, 'web', { targetGroupARN: arn, serviceRef: { name: 'web', port: 80 } });
    await eventually(async () => assert.deepEqual(await targetsOf(bed, arn), [`${a}:8080`]));

    await containersAreReady(bed, 'gated');
    await eventually(async () =>
      assert.deepEqual(await targetsOf(bed, arn), [`${a}:8080`, `${gated}:8080`].sort()),
    );
    const gate = async () =>
      (await client.get<Pod>('/api/v1/namespaces/shop/pods/gated')).status!.conditions!.find(
        ({ type }) => type === 'target-health.elbv2.k8s.aws/web',
      );
    await eventually(async () => assert.equal((await gate())?.status, 'Unknown'));
    assert.equal((await gate())?.reason, 'Elb.InitialHealthChecking');
    const report = (state: 'healthy' | 'unhealthy') =>
      lab.cloud.reportHealth([{ targetGroupArn: arn, id: gated, port: 8080, health: { state } }]);
    await report('unhealthy');
    await eventually(async () => assert.equal((await gate())?.status, 'False'));
    await report('healthy');
    await eventually(async () => assert.equal((await gate())?.status, 'True'));

    // The old generation ends while the new one begins.
    await setEndpoints(bed, 'web', [
      { name: 'a', address: a, ready: false, terminating: true },
      { name: 'b', address: b },
      { name: 'gated', address: gated },
    ]);
    await eventually(async () =>
      assert.deepEqual(await targetsOf(bed, arn), [`${b}:8080`, `${gated}:8080`].sort()),
    );
    assert.deepEqual(await eventsOf(bed, 'FailedReconcile'), []);
  });

  test('nodes are targets where the group wants instances: ready ones that the selector names and nobody excludes', async (t) => {
    const bed = await startBed(t);
    const { lab, client, nodes } = bed;
    const arn = await createTargetGroup(lab, 'web', { Protocol: 'TCP', TargetType: 'instance' });
    const service = await addService(bed, 'web');
    const { nodePort } = (service as Service).spec!.ports![0]!;
    await startBindings(t, bed);
    await bind(bed, 'web', {
      targetGroupName: 'web',
      serviceRef: { name: 'web', port: 'http' },
      networking: from('10.0.0.0/16', nodePort!),
    });
    const ids = nodes.map(({ instance }) => `${instance}:${nodePort}`).sort();
    await eventually(async () => assert.deepEqual(await targetsOf(bed, arn), ids));
    assert.deepEqual(await rulesOf(bed), [`tcp ${nodePort}-${nodePort} 10.0.0.0/16`]);
    await client.patch('/api/v1/nodes/node-1', {
      metadata: { labels: { 'node.kubernetes.io/exclude-from-external-load-balancers': 'true' } },
    });
    await eventually(async () =>
      assert.deepEqual(await targetsOf(bed, arn), [`${nodes[1].instance}:${nodePort}`]),
    );
    await client.patch(
      '/api/v1/nodes/node-2/status',
      { status: { conditions: [{ type: 'Ready', status: 'False' }] } },
      'strategic',
    );
    await eventually(async () => assert.deepEqual(await targetsOf(bed, arn), []));
  });

  test('security groups have the fewest rules for all bindings, and lose those of what is gone, also after a restart', async (t) => {
    const bed = await startBed(t);
    const { lab, client, nodes } = bed;
    const address = nodes[0].addresses[0]!;
    await lab.ec2.send(
      new AuthorizeSecurityGroupIngressCommand({
        GroupId: lab.groupId,
        IpPermissions: [
          {
            IpProtocol: 'tcp',
            FromPort: 22,
            ToPort: 22,
            IpRanges: [{ CidrIp: '10.9.0.0/16', Description: 'mine' }],
          },
        ],
      }),
    );
    const mine = 'tcp 22-22 10.9.0.0/16 (mine)';
    await addPod(bed, 'a', 'node-1', address);
    const groups: string[] = [];
    for (const [name, port] of [
      ['one', 8080],
      ['two', 8081],
      ['far', 9000],
    ] as const) {
      groups.push(await createTargetGroup(lab, name));
      await addService(bed, name);
      await setEndpoints(bed, name, [{ name: 'a', address }], port);
    }
    const controller = await startBindings(t, bed);
    await bind(bed, 'broken', { targetGroupName: 'nowhere', serviceRef: { name: 'one', port: 80 } });
    for (const [i, name] of ['one', 'two', 'far'].entries())
      await bind(bed, name, {
        targetGroupARN: groups[i]!,
        serviceRef: { name, port: 80 },
        networking: from('10.0.0.0/16', [8080, 8081, 9000][i]!),
      });
    await eventually(async () =>
      assert.deepEqual(await rulesOf(bed), [mine, 'tcp 8080-8081 10.0.0.0/16', 'tcp 9000-9000 10.0.0.0/16']),
    );
    await client.delete(bindingPath('shop', 'far'));
    await eventually(async () => assert.deepEqual(await rulesOf(bed), [mine, 'tcp 8080-8081 10.0.0.0/16']));
    await eventually(() => assert.rejects(client.get(bindingPath('shop', 'far')), isNotFound));
    assert.deepEqual(await targetsOf(bed, groups[2]!), []);

    // Taken away while nobody looks, with what held it.
    await controller.disposeAsync();
    await client.patch(bindingPath('shop', 'two'), { metadata: { finalizers: null } });
    await client.delete(bindingPath('shop', 'two'));
    await startBindings(t, bed);
    await eventually(async () => assert.deepEqual(await rulesOf(bed), [mine, 'tcp 8080-8080 10.0.0.0/16']));
  });

  test('targets that are taken away by hand come back, and one broken binding is told and harms no other', async (t) => {
    const bed = await startBed(t);
    const { lab, nodes } = bed;
    const address = nodes[0].addresses[0]!;
    const arn = await createTargetGroup(lab, 'web');
    await addService(bed, 'web');
    await addPod(bed, 'a', 'node-1', address);
    await setEndpoints(bed, 'web', [{ name: 'a', address }]);
    await startBindings(t, bed, 100);
    await bind(bed, 'nowhere', { targetGroupName: 'nowhere', serviceRef: { name: 'web', port: 80 } });
    await bind(bed, 'no-port', { targetGroupARN: arn, serviceRef: { name: 'web', port: 81 } });
    await bind(bed, 'web', { targetGroupARN: arn, serviceRef: { name: 'web', port: 80 } });
    await eventually(async () => assert.deepEqual(await targetsOf(bed, arn), [`${address}:8080`]));
    await lab.elb.send(
      new DeregisterTargetsCommand({ TargetGroupArn: arn, Targets: [{ Id: address, Port: 8080 }] }),
    );
    await eventually(async () => assert.deepEqual(await targetsOf(bed, arn), [`${address}:8080`]));
    await eventually(async () => {
      const messages = await eventsOf(bed, 'FailedReconcile');
      assert.ok(
        messages.some((message) => /no target group nowhere: make it/.test(message!)),
        messages.join('\n'),
      );
      assert.ok(
        messages.some((message) => /Service shop\/web has no port 81/.test(message!)),
        messages.join('\n'),
      );
    });
  });

  test('a target whose security groups cannot be told apart is told, and keeps no other group open', async (t) => {
    const bed = await startBed(t);
    const { lab, client, nodes } = bed;
    const [plain, split] = [nodes[0].addresses[0]!, nodes[1].addresses[0]!];
    const both = await Promise.all(
      ['one', 'other'].map(async (GroupName) => {
        const input = { VpcId: lab.vpcId, GroupName, Description: GroupName };
        return (await lab.ec2.send(new CreateSecurityGroupCommand(input))).GroupId!;
      }),
    );
    const { Reservations } = await lab.ec2.send(
      new DescribeInstancesCommand({ InstanceIds: [nodes[1].instance] }),
    );
    const [eni] = Reservations![0]!.Instances![0]!.NetworkInterfaces!;
    await lab.ec2.send(
      new ModifyNetworkInterfaceAttributeCommand({
        NetworkInterfaceId: eni!.NetworkInterfaceId,
        Groups: both,
      }),
    );
    for (const [name, node, address] of [
      ['plain', 'node-1', plain],
      ['split', 'node-2', split],
    ] as const) {
      await addPod(bed, name, node, address);
      await addService(bed, name);
      await setEndpoints(bed, name, [{ name, address }]);
      await createTargetGroup(lab, name);
    }
    const controller = await startBindings(t, bed);
    for (const name of ['plain', 'split'])
      await bind(bed, name, {
        targetGroupName: name,
        serviceRef: { name, port: 80 },
        networking: from('10.0.0.0/16', 8080),
      });
    await eventually(async () => assert.deepEqual(await rulesOf(bed), ['tcp 8080-8080 10.0.0.0/16']));
    await eventually(async () =>
      assert.match((await eventsOf(bed, 'FailedReconcile')).join(), /tag exactly one of them/),
    );
    await controller.disposeAsync();
    await client.patch(bindingPath('shop', 'plain'), { metadata: { finalizers: null } });
    await client.delete(bindingPath('shop', 'plain'));
    await startBindings(t, bed);
    await eventually(async () => assert.deepEqual(await rulesOf(bed), []));
  });

  test('a target group that other clusters share is refused, and loses no target of theirs', async (t) => {
    const bed = await startBed(t);
    const { lab, client, nodes } = bed;
    const [own, theirs] = [nodes[0].addresses[0]!, '10.0.2.200'];
    const arn = await createTargetGroup(lab, 'web');
    await addService(bed, 'web');
    await addPod(bed, 'a', 'node-1', own);
    await setEndpoints(bed, 'web', [{ name: 'a', address: own }]);
    await startBindings(t, bed, 100);
    const spec = { targetGroupARN: arn, serviceRef: { name: 'web', port: 80 } };
    await bind(bed, 'web', { ...spec, networking: from('10.0.0.0/16', 8080) });
    await eventually(async () => assert.deepEqual(await targetsOf(bed, arn), [`${own}:8080`]));
    await client.patch(bindingPath('shop', 'web'), { spec: { multiClusterTargetGroup: true } });
    const refused = async () => (await eventsOf(bed, 'FailedReconcile')).join('\n');
    await eventually(async () =>
      assert.match(await refused(), /multiClusterTargetGroup is true, which is not/),
    );
    await lab.elb.send(
      new RegisterTargetsCommand({ TargetGroupArn: arn, Targets: [{ Id: theirs, Port: 8080 }] }),
    );
    await bind(bed, 'late', { ...spec, multiClusterTargetGroup: true });
    await bind(bed, 'elsewhere', { ...spec, vpcID: 'vpc-0123456789abcdef0' });
    await bind(bed, 'ipv6', { ...spec, ipAddressType: 'ipv6' });
    await eventually(async () => assert.match(await refused(), /vpcID is vpc-0123456789abcdef0: it may be/));
    await eventually(async () => assert.match(await refused(), /ipAddressType is ipv6: it may be ipv4/));
    for (const name of ['late', 'elsewhere', 'ipv6']) await client.delete(bindingPath('shop', name));
    assert.deepEqual(await targetsOf(bed, arn), [`${own}:8080`, `${theirs}:8080`].sort());
    assert.deepEqual(await rulesOf(bed), ['tcp 8080-8080 10.0.0.0/16']);
    await client.delete(bindingPath('shop', 'web'));
    await eventually(() => assert.rejects(client.get(bindingPath('shop', 'web')), isNotFound));
    assert.deepEqual(await targetsOf(bed, arn), [`${theirs}:8080`]);
    await eventually(async () => assert.deepEqual(await rulesOf(bed), []));
  });
});
