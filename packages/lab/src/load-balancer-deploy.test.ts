/** Load balancers as they are planned and made in the lab's AWS: what is wanted is what there is, whatever happens. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  AuthorizeSecurityGroupIngressCommand,
  CreateSubnetCommand,
  RevokeSecurityGroupIngressCommand,
} from '@aws-sdk/client-ec2';
import {
  AddListenerCertificatesCommand,
  AddTagsCommand,
  CreateRuleCommand,
  DeleteListenerCommand,
  DeleteLoadBalancerCommand,
  DeleteRuleCommand,
  ModifyListenerCommand,
  ModifyLoadBalancerAttributesCommand,
  ModifyRuleCommand,
  ModifyTargetGroupAttributesCommand,
  ModifyTargetGroupCommand,
  RemoveListenerCertificatesCommand,
  RemoveTagsCommand,
  SetRulePrioritiesCommand,
  SetSecurityGroupsCommand,
  SetSubnetsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import {
  AwsError,
  type BindingStore,
  type Change,
  Deployments,
  type Existing,
  emptyStack,
  NotYet,
  openAws,
  type Stack,
} from '@enid/controller/load-balancing';
import fc from 'fast-check';
import { CREDENTIALS } from './cloud/cloud.fixture.ts';
import type { CloudOptions } from './cloud/cloud.ts';
import { requestCertificate, startLab, type TestLab } from './cloud/elbv2/elbv2.fixture.ts';
import {
  ALB,
  anyStack,
  application,
  forward,
  listener,
  NLB,
  network,
  pathRule,
  type Site,
} from './load-balancer-stacks.fixture.ts';

const seed = Number(process.env.ENID_TEST_SEED ?? 1);

/** Bindings of a cluster in which nobody holds them back. */
class Remembered implements BindingStore {
  bindings: Existing['bindings'] = [];

  async list(): Promise<Existing['bindings']> {
    return [...this.bindings];
  }

  create: BindingStore['create'] = async (_id, { name, arn }, spec, to) => {
    this.bindings.push({
      namespace: spec.namespace,
      name,
      targetGroupArn: arn,
      spec: {
        ...spec,
        networking: spec.networking.map(({ from, ports }) => ({
          ports,
          from: from.map((peer) =>
            'cidr' in peer ? peer : { securityGroup: { id: to.securityGroup(peer.securityGroup)! } },
          ),
        })),
      },
    });
  };

  replace: BindingStore['replace'] = async (group, spec, to) => {
    await this.delete([{ namespace: spec.namespace, name: group.name }]);
    await this.create(ALB, group, spec, to);
  };

  delete: BindingStore['delete'] = async (gone) => {
    this.bindings = this.bindings.filter(
      (other) => !gone.some(({ namespace, name }) => other.namespace === namespace && other.name === name),
    );
  };
}

type Bed = TestLab & {
  /** As a controller that has just been started. */
  readonly deployments: () => Deployments;
  readonly calls: string[];
  readonly changes: Change[];
  readonly bindings: Remembered;
};

async function startBed(t: TestContext, options: Partial<CloudOptions> = {}, maxAttempts = 3): Promise<Bed> {
  const lab = await startLab(t, { settings: { throttle: null }, ...options });
  const calls: string[] = [];
  const changes: Change[] = [];
  const bindings = new Remembered();
  const aws = openAws({
    region: 'us-east-1',
    endpoint: lab.cloud.endpoint,
    credentials: CREDENTIALS,
    pace: { fastest: 10_000, burst: 10_000 },
    maxAttempts,
    observe: ({ operation }) => calls.push(operation),
  });
  t.after(() => aws[Symbol.dispose]());
  const deployments = () =>
    new Deployments({
      aws,
      bindings,
      vpcId: lab.vpcId,
      clusterName: 'lab',
      onChange: (_id, change) => changes.push(change),
    });
  return { ...lab, deployments, calls, changes, bindings };
}

/** With certificates, and a subnet in a third zone that nobody asks for. */
async function siteOf(bed: Bed): Promise<Site & { readonly thirdSubnetId: string }> {
  const certificates: string[] = [];
  for (const name of ['a.test', 'b.test', 'c.test']) certificates.push(await requestCertificate(bed, name));
  const { Subnet } = await bed.ec2.send(
    new CreateSubnetCommand({
      VpcId: bed.vpcId,
      CidrBlock: '10.0.3.0/24',
      AvailabilityZone: 'us-east-1c',
    }),
  );
  return { ...bed, certificates, thirdSubnetId: Subnet!.SubnetId! };
}

/** What the account has of load balancers, without what AWS gives by itself. */
function holdings({ cloud }: TestLab) {
  const { loadBalancers, listeners, rules, targetGroups, securityGroups } = cloud.state;
  return {
    loadBalancers: Object.keys(loadBalancers).length,
    listeners: Object.keys(listeners).length,
    rules: Object.keys(rules).length,
    targetGroups: Object.keys(targetGroups).length,
    securityGroups: Object.values(securityGroups).filter(({ name }) => name.startsWith('k8s-')).length,
  };
}

const NOTHING = { loadBalancers: 0, listeners: 0, rules: 0, targetGroups: 0, securityGroups: 0 };

/** Deploys as the controller does: again, soon, as long as something is not yet. */
async function deploy(bed: Bed, deployments: Deployments, stack: Stack): Promise<Existing> {
  for (;;) {
    try {
      const existing = await deployments.deploy(stack);
      // Interfaces of what is gone go.
      await bed.clock.advance(0);
      return existing;
    } catch (error) {
      if (!(error instanceof NotYet)) throw error;
      await bed.clock.advance(1_000);
    }
  }
}

test('a load balancer is made with its listeners, rules and target groups, and goes with all of them', async (t) => {
  const bed = await startBed(t);
  const deployments = bed.deployments();
  const stack = application(bed, [
    listener(80, [pathRule('/a', forward('a')), pathRule('/b', forward('b'))]),
  ]);
  const { loadBalancers } = await deployments.deploy(stack);
  assert.match(loadBalancers[0]!.dnsName, /^internal-k8s-shop-web-.*\.elb\.amazonaws\.com$/);
  assert.deepEqual(holdings(bed), {
    loadBalancers: 1,
    listeners: 1,
    rules: 2,
    targetGroups: 2,
    securityGroups: 2,
  });
  const made = Object.values(bed.cloud.state.loadBalancers)[0]!;
  assert.deepEqual(made.tags, {
    'elbv2.k8s.aws/cluster': 'lab',
    'ingress.k8s.aws/stack': 'shop/web',
    'ingress.k8s.aws/resource': 'LoadBalancer',
  });
  assert.equal(made.securityGroups.length, 2);
  assert.deepEqual(bed.bindings.bindings.map(({ spec }) => spec.service.name).sort(), ['a', 'b']);

  bed.calls.length = 0;
  await deployments.deploy(stack);
  assert.deepEqual(bed.calls, [], 'what is as it should be costs no call');
  assert.deepEqual(await bed.deployments().plan(stack), [], 'nor anything after a restart');

  await deploy(bed, deployments, emptyStack(ALB));
  assert.ok(deployments.backend.isUnused);
  await deployments.backend.deleteIfUnused();
  assert.deepEqual(holdings(bed), NOTHING);
  assert.deepEqual(bed.bindings.bindings, []);
});

test('a network load balancer likewise, beside another that is left alone', async (t) => {
  const bed = await startBed(t);
  const deployments = bed.deployments();
  await deployments.deploy(application(bed, [listener(80, [pathRule('/a', forward('a'))])]));
  const before = holdings(bed);
  await deployments.deploy(network(bed));
  assert.deepEqual(await bed.deployments().plan(network(bed)), []);
  await deploy(bed, deployments, emptyStack(NLB));
  assert.deepEqual(holdings(bed), before);
});

test('certificates of a listener are added and taken away one a call, as AWS takes them', async (t) => {
  const bed = await startBed(t);
  const { certificates } = await siteOf(bed);
  const deployments = bed.deployments();
  const wanting = (...arns: string[]) =>
    application(bed, [
      listener(443, [], {
        protocol: 'HTTPS',
        certificates: arns,
        sslPolicy: 'ELBSecurityPolicy-TLS13-1-2-2021-06',
      }),
    ]);
  const [a, b, c] = certificates as [string, string, string];
  for (const arns of [[a, b, c], [a], [c, a, b], [b]]) {
    await deployments.deploy(wanting(...arns));
    const [made] = Object.values(bed.cloud.state.listeners);
    assert.equal(made!.certificates[0], arns[0]);
    assert.deepEqual([...made!.certificates].sort(), [...arns].sort());
    assert.deepEqual(await deployments.plan(wanting(...arns)), [], 'by what is remembered');
    assert.deepEqual(await bed.deployments().plan(wanting(...arns)), [], 'by what is read');
  }
});

test('any stack becomes any other, and then there is nothing left to do', async (t) => {
  const bed = await startBed(t);
  const site = await siteOf(bed);
  await fc.assert(
    fc.asyncProperty(fc.array(anyStack(site), { minLength: 2, maxLength: 3 }), async (stacks) => {
      const deployments = bed.deployments();
      for (const stack of stacks) {
        await deploy(bed, deployments, stack);
        assert.deepEqual(await deployments.plan(stack), [], 'by what is remembered');
        assert.deepEqual(await bed.deployments().plan(stack), [], 'by what is read');
        const rules = stack.loadBalancer?.listeners.flatMap((each) => each.rules) ?? [];
        const { backend } = deployments;
        assert.deepEqual(holdings(bed), {
          loadBalancers: stack.loadBalancer ? 1 : 0,
          listeners: stack.loadBalancer?.listeners.length ?? 0,
          rules: rules.length,
          targetGroups: stack.targetGroups.length,
          securityGroups: (stack.securityGroup ? 1 : 0) + (backend.id ? 1 : 0),
        });
      }
    }),
    { seed, numRuns: 8, endOnFailure: true },
  );
});

/** Any hand in what is managed. */
async function meddle(
  bed: Bed,
  { certificates, subnetId, thirdSubnetId, groupId }: Awaited<ReturnType<typeof siteOf>>,
  choice: number,
): Promise<void> {
  const { loadBalancers, listeners, rules, targetGroups, securityGroups } = bed.cloud.state;
  const [loadBalancer] = Object.values(loadBalancers);
  const any = <T>(of: Readonly<Record<string, T>>): T | undefined => Object.values(of)[choice % 97];
  const group = Object.values(securityGroups).find(({ id }) => loadBalancer?.securityGroups[0] === id);
  const rule = any(rules);
  const listening = any(listeners) ?? Object.values(listeners)[0];
  const secure = Object.values(listeners).find((each) => each.certificates.length > 0);
  const certificate = certificates[choice % certificates.length]!;
  const [binding] = bed.bindings.bindings;
  const target = any(targetGroups) ?? Object.values(targetGroups)[0];
  const permission = { IpProtocol: 'tcp', FromPort: 22, ToPort: 22, IpRanges: [{ CidrIp: '0.0.0.0/0' }] };
  const hands: (() => Promise<unknown> | undefined | false)[] = [
    () => rule && bed.elb.send(new DeleteRuleCommand({ RuleArn: rule.arn })),
    () =>
      rule &&
      bed.elb.send(
        new ModifyRuleCommand({
          RuleArn: rule.arn,
          Conditions: [{ Field: 'path-pattern', PathPatternConfig: { Values: ['/hand'] } }],
        }),
      ),
    () =>
      rule &&
      bed.elb.send(
        new SetRulePrioritiesCommand({ RulePriorities: [{ RuleArn: rule.arn, Priority: 40_000 + choice }] }),
      ),
    () =>
      listening &&
      bed.elb.send(
        new CreateRuleCommand({
          ListenerArn: listening.arn,
          Priority: 30_000 + choice,
          Conditions: [{ Field: 'path-pattern', Values: [`/hand-${choice}`] }],
          Actions: [{ Type: 'fixed-response', FixedResponseConfig: { StatusCode: '418' } }],
        }),
      ),
    () => listening && bed.elb.send(new DeleteListenerCommand({ ListenerArn: listening.arn })),
    () =>
      loadBalancer &&
      bed.elb.send(
        new ModifyLoadBalancerAttributesCommand({
          LoadBalancerArn: loadBalancer.arn,
          Attributes: [{ Key: 'idle_timeout.timeout_seconds', Value: '7' }],
        }),
      ),
    () => loadBalancer && bed.elb.send(new DeleteLoadBalancerCommand({ LoadBalancerArn: loadBalancer.arn })),
    () =>
      loadBalancer &&
      bed.elb.send(
        new AddTagsCommand({
          ResourceArns: [loadBalancer.arn],
          Tags: [
            { Key: 'by', Value: 'hand' },
            { Key: 'team', Value: 'hand' },
          ],
        }),
      ),
    () =>
      target &&
      bed.elb.send(new RemoveTagsCommand({ ResourceArns: [target.arn], TagKeys: ['team', 'stage'] })),
    () =>
      target &&
      bed.elb.send(new ModifyTargetGroupCommand({ TargetGroupArn: target.arn, HealthCheckPath: '/hand' })),
    () =>
      group &&
      bed.ec2.send(
        new AuthorizeSecurityGroupIngressCommand({ GroupId: group.id, IpPermissions: [permission] }),
      ),
    () =>
      group &&
      bed.ec2.send(
        new RevokeSecurityGroupIngressCommand({
          GroupId: group.id,
          SecurityGroupRuleIds: group.ingress.map(({ id }) => id),
        }),
      ),
    () =>
      secure &&
      bed.elb.send(
        new AddListenerCertificatesCommand({
          ListenerArn: secure.arn,
          Certificates: [{ CertificateArn: certificate }],
        }),
      ),
    () =>
      secure &&
      bed.elb.send(
        new RemoveListenerCertificatesCommand({
          ListenerArn: secure.arn,
          Certificates: [{ CertificateArn: secure.certificates.at(-1)! }],
        }),
      ),
    () =>
      secure &&
      bed.elb.send(
        new ModifyListenerCommand({
          ListenerArn: secure.arn,
          Certificates: [{ CertificateArn: certificate }],
        }),
      ),
    () =>
      secure &&
      bed.elb.send(
        new ModifyListenerCommand({
          ListenerArn: secure.arn,
          SslPolicy: 'ELBSecurityPolicy-FS-1-2-Res-2020-10',
        }),
      ),
    () =>
      secure?.protocol === 'TLS' &&
      bed.elb.send(new ModifyListenerCommand({ ListenerArn: secure.arn, AlpnPolicy: ['HTTP1Only'] })),
    () =>
      loadBalancer &&
      bed.elb.send(
        new SetSubnetsCommand({
          LoadBalancerArn: loadBalancer.arn,
          Subnets: [subnetId, thirdSubnetId],
        }),
      ),
    () =>
      loadBalancer &&
      bed.elb.send(
        new SetSecurityGroupsCommand({ LoadBalancerArn: loadBalancer.arn, SecurityGroups: [groupId] }),
      ),
    () =>
      target &&
      bed.elb.send(
        new ModifyTargetGroupAttributesCommand({
          TargetGroupArn: target.arn,
          Attributes: [{ Key: 'deregistration_delay.timeout_seconds', Value: '7' }],
        }),
      ),
    () => binding && bed.bindings.delete([binding]),
    async () => {
      if (binding) binding.spec = { ...binding.spec, service: { name: 'hand', port: 1 }, networking: [] };
    },
  ];
  // A hand may find nothing to take hold of any more.
  const work = hands[choice % hands.length]!();
  if (work) await work.catch(() => {});
}

test('whatever a hand changes in what is managed is put back', async (t) => {
  const bed = await startBed(t);
  const site = await siteOf(bed);
  await fc.assert(
    fc.asyncProperty(
      anyStack(site),
      fc.array(fc.nat({ max: 10_000 }), { minLength: 1, maxLength: 4 }),
      async (stack, choices) => {
        await deploy(bed, bed.deployments(), stack);
        const before = holdings(bed);
        for (const choice of choices) await meddle(bed, site, choice);
        await bed.clock.advance(0);
        await deploy(bed, bed.deployments(), stack);
        assert.deepEqual(await bed.deployments().plan(stack), []);
        assert.deepEqual(holdings(bed), before);
      },
    ),
    { seed, numRuns: 20, endOnFailure: true },
  );
});

test('whoever dies between two calls is succeeded by one who finds everything again', async (t) => {
  const bed = await startBed(t);
  const stack = application(bed, [
    listener(80, [pathRule('/a', forward('a')), pathRule('/b', forward('a', 'b'))]),
    listener(81, []),
  ]);
  const whole = (await deploy(bed, bed.deployments(), stack)) && holdings(bed);
  class Death extends Error {}
  /** @returns whether it came to its end before. */
  const dieAfter = async (calls: number, wanted: Stack) => {
    let left = calls;
    const deployments = bed.deployments();
    const work = async () => {
      for (;;) {
        try {
          await deployments.deploy(wanted, () => {
            if (left-- === 0) throw new Death();
          });
          return;
        } catch (error) {
          if (!(error instanceof NotYet)) throw error;
          await bed.clock.advance(1_000);
        }
      }
    };
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Death)) throw error;
      return false;
    }
    return true;
  };
  const takeAway = async () => {
    const deployments = bed.deployments();
    await deploy(bed, deployments, emptyStack(ALB));
    if (deployments.backend.isUnused) await deployments.backend.deleteIfUnused();
  };
  for (let calls = 0; ; calls++) {
    const isOver = await dieAfter(calls, emptyStack(ALB));
    await takeAway();
    assert.deepEqual(holdings(bed), NOTHING, `after ${calls} calls of taking away`);
    await deploy(bed, bed.deployments(), stack);
    if (isOver) break;
  }
  await takeAway();
  for (let calls = 0; ; calls++) {
    const isOver = await dieAfter(calls, stack);
    // Half of them are not wanted any more when there is a successor.
    if (calls % 2 === 0) {
      await deploy(bed, bed.deployments(), stack);
      assert.deepEqual(holdings(bed), whole, `after ${calls} calls of making`);
    }
    await takeAway();
    assert.deepEqual(holdings(bed), NOTHING);
    if (isOver) break;
  }
});

const fault = { drop: false, when: 'before', delayMs: 0, probability: 1 } as const;

/** Tries until it has come about, as the controller does. @returns how often it failed. */
async function persist(bed: Bed, deployments: Deployments, stack: Stack): Promise<number> {
  for (let failures = 0; ; failures++) {
    try {
      await deploy(bed, deployments, stack);
      return failures;
    } catch (error) {
      if (!(error instanceof AwsError) || failures > 100) throw error;
      await bed.clock.advance(1_000);
    }
  }
}

for (const [what, injected] of [
  ['is throttled', { ...fault, code: 'Throttling', probability: 0.5, times: 8 }],
  ['loses the answers', { ...fault, drop: true, when: 'after', probability: 0.3 }],
  ['fails within', { ...fault, code: 'InternalFailure', status: 500, probability: 0.4 }],
] as const) {
  test(`an AWS that ${what} gets there, with nothing twice and nothing left`, async (t) => {
    const bed = await startBed(t, {}, 1);
    const stack = application(bed, [
      listener(80, [pathRule('/a', forward('a')), pathRule('/b', forward('b'))]),
    ]);
    const deployments = bed.deployments();
    bed.cloud.faults.add({ ...injected, operation: '*' });
    const failures = await persist(bed, deployments, stack);
    assert.ok(failures > 0);
    assert.deepEqual(holdings(bed), {
      loadBalancers: 1,
      listeners: 1,
      rules: 2,
      targetGroups: 2,
      securityGroups: 2,
    });
    await persist(bed, deployments, emptyStack(ALB));
    bed.cloud.faults.clear();
    await deployments.backend.deleteIfUnused();
    assert.deepEqual(holdings(bed), NOTHING);
  });
}

test('an AWS that shows late what was done gets there, whoever looks meanwhile', async (t) => {
  const bed = await startBed(t, { settings: { throttle: null, describeLagMs: 5_000 } });
  const one = application(bed, [listener(80, [pathRule('/a', forward('a'))])]);
  const other = application(bed, [listener(80, [pathRule('/b', forward('b'))]), listener(81, [])]);
  for (const stack of [one, other, one, emptyStack(ALB)]) {
    // Each finds what was a while ago.
    await persist(bed, bed.deployments(), stack);
    await bed.clock.advance(6_000);
    await persist(bed, bed.deployments(), stack);
    await bed.clock.advance(6_000);
    const deployments = bed.deployments();
    assert.deepEqual(await deployments.plan(stack), []);
    if (stack.loadBalancer) continue;
    await deployments.backend.deleteIfUnused();
    assert.deepEqual(holdings(bed), NOTHING);
  }
});

test('a load balancer that is protected from deletion stays whole, and it is told how to let it go', async (t) => {
  const bed = await startBed(t);
  const attributes = { 'deletion_protection.enabled': 'true' };
  await bed.deployments().deploy(application(bed, [listener(80, [])], { attributes }));
  const before = holdings(bed);
  await assert.rejects(
    bed.deployments().deploy(emptyStack(ALB)),
    /^Error: Ingress shop\/web: its load balancer .* is protected from deletion: aws elbv2 modify-load-balancer-attributes/,
  );
  assert.deepEqual(holdings(bed), before);
});

test('a load balancer that is protected from deletion goes, and is replaced, when its owner says that it need not be', async (t) => {
  const bed = await startBed(t);
  const protection = (said: string) => ({ attributes: { 'deletion_protection.enabled': said } });
  const stack = (said: string, scheme: 'internal' | 'internet-facing') =>
    application(bed, [listener(80, [])], { ...protection(said), scheme });
  await bed.deployments().deploy(stack('true', 'internal'));
  await assert.rejects(
    bed.deployments().deploy(stack('true', 'internet-facing')),
    /would have to be replaced, and is protected from deletion/,
  );
  await deploy(bed, bed.deployments(), stack('false', 'internet-facing'));
  const [made] = Object.values(bed.cloud.state.loadBalancers);
  assert.equal(made!.scheme, 'internet-facing');
  await bed.deployments().deploy(stack('true', 'internet-facing'));
  const deployments = bed.deployments();
  await deploy(bed, deployments, { ...emptyStack(ALB), liftsProtection: true });
  await deployments.backend.deleteIfUnused();
  assert.deepEqual(holdings(bed), NOTHING);
});

test('whoever does not lead any more changes nothing, and does not wait for what is under way', async (t) => {
  const bed = await startBed(t);
  const leading = new AbortController();
  const aws = openAws({
    region: 'us-east-1',
    endpoint: bed.cloud.endpoint,
    credentials: CREDENTIALS,
    signal: leading.signal,
  });
  t.after(() => aws[Symbol.dispose]());
  const { bindings } = bed;
  const deployments = new Deployments({
    aws,
    bindings,
    vpcId: bed.vpcId,
    clusterName: 'lab',
    signal: leading.signal,
  });
  const stack = application(bed, [
    listener(80, [pathRule('/a', forward('a')), pathRule('/b', forward('b'))]),
  ]);
  // What is under way when it ends is answered far too late.
  bed.cloud.faults.add({ ...fault, operation: 'CreateListener', delayMs: 20_000 });
  const begun = performance.now();
  let changes = 0;
  const work = deployments.deploy(stack, () => {
    changes++;
    if (bed.cloud.state.loadBalancers && Object.keys(bed.cloud.state.loadBalancers).length > 0)
      setTimeout(() => leading.abort(), 100);
  });
  await assert.rejects(work);
  assert.ok(performance.now() - begun < 10_000);
  const done = [changes, bindings.bindings.length];
  await assert.rejects(deployments.deploy(stack));
  assert.deepEqual([changes, bindings.bindings.length], done);
  assert.deepEqual(holdings(bed), { ...NOTHING, loadBalancers: 1, securityGroups: 2 });
});
