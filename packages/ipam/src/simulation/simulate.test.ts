import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instanceLimits } from '../instance-limits.ts';
import { poolSettings } from '../settings.ts';
import { type Scenario, ScenarioError, type SimulationObserver, simulate } from './simulate.ts';
import { type Churn, churnWorkload, readTrace } from './workload.ts';

const COOLDOWN = 30_000;

/** A cluster of m5.large with these settings, unless told otherwise. */
function run(
  env: Record<string, string>,
  given: Partial<Churn> & Partial<Pick<Scenario, 'subnets' | 'workload'>> = {},
  observer: SimulationObserver = {},
) {
  const churn = {
    nodes: 40,
    hours: 6,
    changesPerNodeHour: 20,
    podsPerNode: 10,
    burst: 1,
    podLimit: 20,
    seed: 1,
    ...given,
  };
  const scenario: Scenario = {
    instanceType: 'm5.large',
    spec: instanceLimits('m5.large')!,
    settings: poolSettings(env),
    subnets: given.subnets ?? [{ name: 'a', length: 18 }],
    nodes: churn.nodes,
    hours: churn.hours,
    workload: given.workload ?? churnWorkload(churn),
    seed: churn.seed,
  };
  return simulate(scenario, observer);
}

const PREFIXES = { ENABLE_PREFIX_DELEGATION: 'true' };
const TIGHT = [
  { name: 'a', length: 24 },
  { name: 'b', length: 25 },
];
/** Settings and clusters that take every way through: growing, shrinking, refused, throttled, dry. */
const ALL = [
  [{}, {}],
  [{ WARM_IP_TARGET: '1' }, { burst: 9 }],
  [
    { WARM_IP_TARGET: '2', MINIMUM_IP_TARGET: '8' },
    { nodes: 300, changesPerNodeHour: 200, hours: 1 },
  ],
  [{ WARM_ENI_TARGET: '0' }, { nodes: 30, subnets: TIGHT }],
  [PREFIXES, { burst: 20 }],
  [
    { ...PREFIXES, WARM_IP_TARGET: '2' },
    { nodes: 20, subnets: TIGHT },
  ],
  [{ AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG: 'true' }, { podLimit: 18 }],
] as const;

test('no address has two holders, nor one that has not rested', () => {
  for (const [env, given] of ALL) {
    const holders = new Map<string, number>();
    const released = new Map<string, number>();
    let assigned = 0;
    run(env, given, {
      assigned(address, pod, at) {
        assert.equal(holders.get(address), undefined, `${address} went to ${pod} as well`);
        assert.ok(at - (released.get(address) ?? -Infinity) >= COOLDOWN, `${address} had not rested`);
        holders.set(address, pod);
        assigned++;
      },
      released(address, pod, at) {
        assert.equal(holders.get(address), pod);
        holders.delete(address);
        released.set(address, at);
      },
    });
    assert.ok(assigned > 500, `${assigned} addresses were given`);
  }
});

test('when all pods have gone the subnets have back what they had', () => {
  // Targets under which a pool without pods comes to one rest only, whatever it went through.
  const custom = { AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG: 'true' };
  for (const env of [{}, { WARM_IP_TARGET: '1' }, PREFIXES, { ...PREFIXES, WARM_IP_TARGET: '2' }, custom]) {
    for (const subnets of [TIGHT, [{ name: 'a', length: 18 }]]) {
      const churn = { hours: 1, changesPerNodeHour: 300, podsPerNode: 12, burst: 6, podLimit: 18, seed: 3 };
      const { initial, events } = churnWorkload({ ...churn, nodes: 20 });
      const running = new Map(initial.flatMap((pods, node) => pods.map((pod) => [pod, node] as const)));
      for (const { pod, node, kind } of events) {
        if (kind === 'add') running.set(pod, node);
        else running.delete(pod);
      }
      const last = [...running].map(([pod, node]) => ({ at: 3_600_000, node, pod, kind: 'delete' }) as const);
      const gone = { initial, events: [...events, ...last] };
      const never = { initial: initial.map(() => []), events: [] };
      const [after, before] = [gone, never].map((workload) =>
        run(env, { nodes: 20, hours: 5, subnets, workload }),
      );
      const free = (result: typeof after) => result!.subnets.map(({ freeAtEnd }) => freeAtEnd);
      assert.deepEqual(free(after), free(before), JSON.stringify(env));
      assert.ok(after!.calls.total > 0 && after!.pods.waiting === 0);
    }
  }
});

test('no pod waits where enough is kept', () => {
  assert.deepEqual(run({}).startDelaySeconds, { p50: 0, p99: 0, max: 0 });
  assert.deepEqual(run({ WARM_IP_TARGET: '17' }, { burst: 3 }).startDelaySeconds, { p50: 0, p99: 0, max: 0 });
});

test('the more is kept, the fewer pods wait and the more is idle', () => {
  const results = [1, 2, 4, 8].map((warm) => run({ WARM_IP_TARGET: `${warm}` }, { burst: 3 }));
  for (const [index, { pods, wasted }] of results.entries()) {
    const next = results[index + 1];
    if (!next) continue;
    assert.ok(pods.waited > next.pods.waited, `${pods.waited} wait, then ${next.pods.waited}`);
    assert.ok(wasted.mean < next.wasted.mean, `${wasted.mean} are idle, then ${next.wasted.mean}`);
  }
});

test('with nothing kept warm each pod that comes waits, and those that were there have their addresses', () => {
  const { pods } = run({ MINIMUM_IP_TARGET: '1' });
  assert.ok(pods.waited > 0.9 * pods.added && pods.waited <= pods.added, `${pods.waited} of ${pods.added}`);
});

test('a pod waits for a call or an ENI, not longer, while EC2 gives', () => {
  const { startDelaySeconds, throttles } = run({ WARM_IP_TARGET: '1' }, { burst: 4 });
  assert.equal(throttles.total, 0);
  assert.ok(startDelaySeconds.p99 >= 0.3 && startDelaySeconds.max < 15, JSON.stringify(startDelaySeconds));
});

test('a large cluster that calls for each pod is throttled, and its pods wait for it', () => {
  const env = { WARM_IP_TARGET: '1' };
  const busy = { changesPerNodeHour: 150, hours: 0.5 };
  const small = run(env, { nodes: 20, ...busy });
  const large = run(env, { nodes: 400, ...busy });
  const warm = run({}, { nodes: 400, ...busy });
  assert.equal(small.throttles.total, 0);
  assert.ok(large.throttles.byName.AssignPrivateIpAddresses! > 1000);
  assert.ok(large.startDelaySeconds.p99 > 10 * Math.max(small.startDelaySeconds.p99, 0.3));
  assert.ok(warm.calls.total < large.calls.total / 2);
});

test('a small subnet runs dry, and prefixes need whole blocks', () => {
  const dry = run({}, { nodes: 30, subnets: [{ name: 'a', length: 24 }], podsPerNode: 12 });
  assert.ok(dry.subnets[0]!.dryAtHours !== null && dry.pods.waiting > 0);
  assert.equal(run({}).subnets[0]!.dryAtHours, null);
  const prefixes = run(PREFIXES, { nodes: 30, subnets: [{ name: 'a', length: 24 }], podsPerNode: 5 });
  assert.ok(prefixes.subnets[0]!.dryAtHours !== null, 'primary addresses break the blocks up');
  assert.ok(prefixes.subnets[0]!.leastFree > 20);
  assert.throws(() => run({}, { nodes: 30, subnets: [{ name: 'a', length: 28 }] }), ScenarioError);
});

test('1,000 nodes for 24 hours at 5 pod changes a node and hour take less than a minute: a tenth of that, 6 s', () => {
  const begun = process.cpuUsage();
  const part = { nodes: 1_000, hours: 2.4, changesPerNodeHour: 5, subnets: [{ name: 'a', length: 16 }] };
  const { pods } = run({}, part);
  // Time of the processor, whatever else this machine does.
  const { user, system } = process.cpuUsage(begun);
  const seconds = (user + system) / 1e6;
  // As many come as go.
  assert.ok(Math.abs(pods.added / 6_000 - 1) < 0.05, `${pods.added} pods came`);
  assert.ok(seconds < 6, `${seconds} s`);
});

test('the same seed gives the same, another one something else', () => {
  const of = (seed: number) => run({ WARM_IP_TARGET: '2' }, { burst: 4, seed });
  assert.deepEqual(of(5), of(5));
  assert.notDeepEqual(of(5), of(6));
});

test('a trace decides which pods come', () => {
  const lines = Array.from({ length: 12 }, (_, pod) => `10,node-1,add,web-${pod}`);
  const workload = readTrace(`seconds,node,event,pod\n${lines.join('\n')}\n60,node-1,delete,web-3\n`, 2);
  const found = run({ WARM_IP_TARGET: '2' }, { nodes: 2, hours: 1, workload });
  assert.deepEqual(found.pods, { added: 12, waited: 10, waiting: 0 });
  assert.ok(found.startDelaySeconds.max > 2 && found.startDelaySeconds.max < 10);
});
