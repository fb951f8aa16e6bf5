/** Load balancers as they are planned and made in the lab's AWS: what is wanted is what there is, whatever happens. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
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
import { startLab, type TestLab } from './cloud/elbv2/elbv2.fixture.ts';
import {
  ALB,
  anyStack,
  application,
  forward,
  listener,
  NLB,
  network,
  pathRule,
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

async function startBed(t: TestContext, options: Partial<CloudOptions> = {}): Promise<Bed> {
  const lab = await startLab(t, { settings: { throttle: null }, ...options });
  const calls: string[] = [];
  const changes: Change[] = [];
  const bindings = new Remembered();
  const aws = openAws({
    region: 'us-east-1',
    endpoint: lab.cloud.endpoint,
    credentials: CREDENTIALS,
    pace: { fastest: 10_000, burst: 10_000 },
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

test('any stack becomes any other, and then there is nothing left to do', async (t) => {
  const bed = await startBed(t);
  await fc.assert(
    fc.asyncProperty(fc.array(anyStack(bed), { minLength: 2, maxLength: 3 }), async (stacks) => {
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
          securityGroups: (stack.loadBalancer ? 1 : 0) + (backend.id ? 1 : 0),
        });
      }
    }),
    { seed, numRuns: 12, endOnFailure: true },
  );
});
