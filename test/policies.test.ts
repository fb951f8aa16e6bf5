/** Network policies on a whole cluster: what users write, and who reaches whom. */
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import type { CoreEvent, KubeObject, LabelSelector, List, Pod } from '@enid/kube';
import fc from 'fast-check';
import type {
  ClusterNetworkPolicy,
  ClusterSubject,
  NetworkPolicy,
} from '../packages/controller/src/network-policy/objects.ts';
import { allowed } from '../packages/controller/src/network-policy/oracle.fixture.ts';
import {
  clusterNetworkPolicies,
  labels,
  networkPolicies,
} from '../packages/controller/src/network-policy/policies.fixture.ts';
import { runWith, startWith } from './enid.ts';
import { GIVEN } from './given.ts';
import { NAMESPACES, PolicyBed } from './policy-bed.ts';
import type { Probe } from './probes.ts';
import { until } from './until.ts';

/** How many random sets of policies are tried: a cluster that is given is asked by commands in pods, which takes longer. */
const SETS = Number(process.env.ENID_POLICY_SETS || (GIVEN ? 20 : 40));
/** How many pods start at once, more or less: nodes that are given may be small. */
const STARTERS = GIVEN ? 50 : 200;
const SEED = Number(process.env.ENID_TEST_SEED || 1);

let bed: PolicyBed;

before(async () => {
  // A type that takes hundreds of pods, by prefixes.
  const prefixes = ['ENABLE_PREFIX_DELEGATION=true', 'WARM_PREFIX_TARGET=7'];
  bed = await PolicyBed.open('m5.4xlarge', ...prefixes);
  const http = { name: 'http', protocol: 'TCP', containerPort: 80 };
  const other = { name: 'http', protocol: 'TCP', containerPort: 8080 };
  const dns = { name: 'dns', protocol: 'UDP', containerPort: 81 };
  await bed.populate([
    ['red', 0, {}, [http, dns]],
    ['red', 1, {}, [other]],
    ['blue', 0, {}, [http]],
    ['blue', 1, {}, [dns]],
    ['green', 0, {}, [other, dns]],
    ['green', 1],
    ['red', 0],
  ]);
});
after(async () => {
  await bed?.[Symbol.asyncDispose]();
});

type Labels = Record<string, string>;

/** Sets the labels `app` and `tier` of all pods and namespaces. */
async function relabel(pods: readonly Labels[], namespaces: readonly Labels[]): Promise<void> {
  const patch = ({ app = null, tier = null }: Record<string, string | null>) => ({
    metadata: { labels: { app, tier } },
  });
  await Promise.all([
    ...bed.pods.map(({ name, namespace }, i) =>
      bed.client.patch(`/api/v1/namespaces/${namespace}/pods/${name}`, patch(pods[i] ?? {})),
    ),
    ...NAMESPACES.map((name, i) =>
      bed.client.patch(`/api/v1/namespaces/${name}`, patch(namespaces[i] ?? {})),
    ),
  ]);
}

const NAMESPACE_NAME = 'kubernetes.io/metadata.name';

/** Subjects in the namespaces of the test only: others of the cluster, its controller too, are to go on. */
function ours({ namespaces, pods }: ClusterSubject): ClusterSubject {
  const within = (selector?: LabelSelector): LabelSelector => ({
    ...selector,
    matchExpressions: [
      ...(selector?.matchExpressions ?? []),
      { key: NAMESPACE_NAME, operator: 'In', values: [...NAMESPACES] },
    ],
  });
  if (!pods) return { namespaces: within(namespaces) };
  return { pods: { ...pods, namespaceSelector: within(pods.namespaceSelector) } };
}

test('who reaches whom is what the specification says, for random policies on random labels', async (t) => {
  const pairs = bed.pairs();
  const addresses = bed.pods.map(({ address }) => address);
  const blocks = [
    { cidr: bed.network },
    { cidr: '0.0.0.0/0', except: [`${addresses[1]}/32`, `${addresses[2]}/32`] },
    { cidr: `${addresses[0]}/32` },
    { cidr: bed.network, except: [`${bed.nodes[0]!.address}/32`] },
    { cidr: `${addresses[3]!.replace(/\.\d+$/, '.0')}/24`, except: [`${addresses[3]}/32`] },
  ];
  const sets = fc.sample(
    fc.record({
      pods: fc.array(labels, { minLength: bed.pods.length, maxLength: bed.pods.length }),
      namespaces: fc.array(labels, { minLength: NAMESPACES.length, maxLength: NAMESPACES.length }),
      policies: fc.array(networkPolicies(blocks), { minLength: 1, maxLength: 4 }),
      cluster: fc.array(clusterNetworkPolicies([bed.network, '0.0.0.0/0', `${addresses[5]}/32`]), {
        maxLength: 2,
      }),
    }),
    { seed: SEED, numRuns: SETS },
  );
  const took: number[] = [];
  let closed = 0;
  for (const set of sets) {
    const policies = set.policies.map(
      (policy, i): NetworkPolicy => ({
        ...policy,
        ...kind('networking.k8s.io/v1', 'NetworkPolicy', { ...policy.metadata, name: `policy-${i}` }),
      }),
    );
    const cluster = set.cluster.map(
      (policy, i): ClusterNetworkPolicy => ({
        ...policy,
        ...kind('networking.k8s.aws/v1alpha1', 'ClusterNetworkPolicy', { name: `policytest-${i}` }),
        spec: {
          ...policy.spec,
          // Of two with one priority the specification does not say which comes first.
          priority: 2 * Math.floor(Math.min(policy.spec.priority, 998) / 2) + i,
          subject: ours(policy.spec.subject),
        },
      }),
    );
    const namespaces = new Map(
      NAMESPACES.map((name, i) => [name, { ...set.namespaces[i], [NAMESPACE_NAME]: name }]),
    );
    const now = new Map(
      bed.pods.map(({ name, pod }, i) => [
        name,
        { ...pod, metadata: { ...pod.metadata, labels: set.pods[i]! } } satisfies Pod,
      ]),
    );
    const side = ({ name, address }: Probe['from']) => ({ ip: address, pod: now.get(name) });
    const opens = ({ from, to, protocol, port }: Probe) =>
      bed.isOwn({ from, to }) ||
      allowed(policies, cluster, { from: side(from), to: side(to), protocol, port }, namespaces);
    await Promise.all([relabel(set.pods, set.namespaces), bed.apply([...policies, ...cluster])]);
    took.push(await bed.expect(pairs, opens, { told: JSON.stringify({ ...set, policies, cluster }) }));
    closed += pairs.filter((probe) => !opens(probe)).length;
  }
  took.sort((a, b) => a - b);
  t.diagnostic(
    `${sets.length} sets, ${pairs.length} connections each, ${closed} of them closed; ${Math.round(took[took.length >> 1]!)} ms a set`,
  );
  assert.ok(closed > (sets.length * pairs.length) / 10, 'policies that close nothing tell nothing');
});

const kind = (apiVersion: string, name: string, metadata: object) => ({ apiVersion, kind: name, metadata });

const policy = (namespace: string, name: string, spec: object): KubeObject => ({
  ...kind('networking.k8s.io/v1', 'NetworkPolicy', { namespace, name }),
  ...{ spec },
});

/** The examples of https://kubernetes.io/docs/concepts/services-networking/network-policies/, on our names. */
test('the scenarios of the documentation', async (t) => {
  await bed.clear();
  // red-0 is the database, red-6 the front end; the project is blue; green is nobody.
  await relabel(
    [{ app: 'db' }, {}, {}, {}, { app: 'frontend' }, {}, { app: 'frontend' }],
    [{}, { tier: 'myproject' }, {}],
  );
  const pairs = bed.pairs();
  const namespaceOf = (name: string) => name.split('-')[0]!;
  const inRed = (name: string) => namespaceOf(name) === 'red';
  const check = async (
    name: string,
    policies: readonly KubeObject[],
    opens: (probe: Probe & { readonly own: boolean }) => boolean,
  ) =>
    t.test(name, async () => {
      await bed.apply(policies);
      await bed.expect(pairs, (probe) => {
        const own = bed.isOwn(probe);
        return own || opens({ ...probe, own });
      });
    });
  const isRedPod = ({ name }: Probe['from']) => inRed(name);
  const deny = { podSelector: {}, policyTypes: ['Ingress'] };

  await check('no policy: everybody reaches everybody', [], () => true);
  await check('default deny all ingress traffic', [policy('red', 'deny', deny)], ({ to }) => !isRedPod(to));
  await check(
    'allow all ingress traffic',
    [
      policy('red', 'deny', deny),
      policy('red', 'allow', { podSelector: {}, ingress: [{}], policyTypes: ['Ingress'] }),
    ],
    () => true,
  );
  await check(
    'default deny all egress traffic',
    [policy('red', 'deny', { podSelector: {}, policyTypes: ['Egress'] })],
    ({ from }) => !isRedPod(from),
  );
  await check(
    'allow all egress traffic',
    [
      policy('red', 'deny', { podSelector: {}, policyTypes: ['Egress'] }),
      policy('red', 'allow', { podSelector: {}, egress: [{}], policyTypes: ['Egress'] }),
    ],
    () => true,
  );
  await check(
    'default deny all ingress and all egress traffic',
    [policy('red', 'deny', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] })],
    ({ from, to }) => !isRedPod(from) && !isRedPod(to),
  );
  const block = { cidr: bed.network, except: [`${bed.pod('green-5').address}/32`] };
  await check(
    'the NetworkPolicy resource: blocks, a namespace, pods, and ports in both directions',
    [
      policy('red', 'test-network-policy', {
        podSelector: { matchLabels: { app: 'db' } },
        policyTypes: ['Ingress', 'Egress'],
        ingress: [
          {
            from: [
              { ipBlock: { cidr: `${bed.pod('green-5').address}/32` } },
              { namespaceSelector: { matchLabels: { tier: 'myproject' } } },
              { podSelector: { matchLabels: { app: 'frontend' } } },
            ],
            ports: [{ protocol: 'TCP', port: 80 }],
          },
        ],
        egress: [{ to: [{ ipBlock: block }], ports: [{ protocol: 'TCP', port: 81 }] }],
      }),
    ],
    ({ from, to, protocol, port }) => {
      if (to.name === 'red-0') {
        const peer = ['green-5', 'blue-2', 'blue-3', 'red-6'].includes(from.name);
        return peer && protocol === 'TCP' && port === 80;
      }
      if (from.name === 'red-0') return to.name !== 'green-5' && protocol === 'TCP' && port === 81;
      return true;
    },
  );
  const from = (peers: object[]) =>
    policy('red', 'from', { podSelector: { matchLabels: { app: 'db' } }, ingress: [{ from: peers }] });
  const project = { matchLabels: { tier: 'myproject' } };
  const frontend = { matchLabels: { app: 'frontend' } };
  await check(
    'namespaceSelector and podSelector in one entry: both',
    [from([{ namespaceSelector: {}, podSelector: frontend }])],
    ({ from, to }) => to.name !== 'red-0' || ['green-4', 'red-6'].includes(from.name),
  );
  await check(
    'namespaceSelector and podSelector in two entries: either',
    [from([{ namespaceSelector: project }, { podSelector: frontend }])],
    ({ from, to }) => to.name !== 'red-0' || ['blue-2', 'blue-3', 'red-6'].includes(from.name),
  );
  await check(
    'targeting a range of ports',
    [
      policy('red', 'range', {
        podSelector: { matchLabels: { app: 'db' } },
        policyTypes: ['Egress'],
        egress: [
          {
            to: [{ ipBlock: { cidr: bed.network } }],
            ports: [{ protocol: 'TCP', port: 81, endPort: 9000 }],
          },
        ],
      }),
    ],
    ({ from, protocol, port }) => from.name !== 'red-0' || (protocol === 'TCP' && port >= 81),
  );
  await check(
    'targeting a namespace by its name',
    [from([{ namespaceSelector: { matchLabels: { [NAMESPACE_NAME]: 'green' } } }])],
    ({ from, to }) => to.name !== 'red-0' || ['green-4', 'green-5'].includes(from.name),
  );
  const several = { key: NAMESPACE_NAME, operator: 'In', values: ['blue', 'green'] };
  await check(
    'targeting multiple namespaces by label',
    [
      policy('red', 'to', {
        podSelector: { matchLabels: { app: 'db' } },
        policyTypes: ['Egress'],
        egress: [{ to: [{ namespaceSelector: { matchExpressions: [several] } }] }],
      }),
    ],
    ({ from, to }) => from.name !== 'red-0' || /^(blue|green)-/.test(to.name),
  );
  await check(
    'a named port is each pod’s own',
    [
      policy('red', 'named', {
        podSelector: {},
        ingress: [{ ports: [{ port: 'http' }] }],
      }),
    ],
    ({ to, protocol, port }) =>
      !isRedPod(to) ||
      (protocol === 'TCP' &&
        ((to.name === 'red-0' && port === 80) || (to.name === 'red-1' && port === 8080))),
  );
  await check('and free again, when the last policy goes', [], () => true);
});

test('a Service is reached by its ClusterIP where its pods are, and never where they are not', async () => {
  await bed.clear();
  // blue-2 and green-4 are behind it, red-0 and red-1 ask, of which red-1 is on the other node.
  await relabel([{}, {}, { app: 'web', tier: 'a' }, { app: 'web', tier: 'b' }, { app: 'other' }], []);
  const service = await bed.service('blue', 'web', { app: 'web' });
  const probes = ['red-0', 'red-1'].flatMap((name) =>
    (['TCP', 'UDP'] as const).map((protocol) => ({
      ...{ from: bed.pod(name), to: service, protocol, port: 9000 },
    })),
  );
  const egress = (rules: object[]) =>
    policy('red', 'out', { podSelector: {}, policyTypes: ['Egress'], egress: rules });
  const blue = { namespaceSelector: { matchLabels: { [NAMESPACE_NAME]: 'blue' } } };
  const web = { ...blue, podSelector: { matchLabels: { app: 'web' } } };
  const cases: [string, KubeObject[], (probe: Probe) => boolean][] = [
    ['no policy', [], () => true],
    ['nothing is allowed', [egress([])], () => false],
    ['its pods, all ports', [egress([{ to: [web] }])], () => true],
    [
      "its pods, by the pods' port",
      [egress([{ to: [web], ports: [{ port: 80 }] }])],
      ({ protocol }) => protocol === 'TCP',
    ],
    [
      "its pods, by the Service's port, which is none of theirs",
      [egress([{ to: [web], ports: [{ port: 9000 }] }])],
      () => false,
    ],
    [
      'one of its pods',
      [egress([{ to: [{ ipBlock: { cidr: `${bed.pod('blue-2').address}/32` } }] }])],
      () => false,
    ],
    [
      'each of its pods, by a rule of its own',
      [egress(['a', 'b'].map((tier) => ({ to: [{ ...blue, podSelector: { matchLabels: { tier } } }] })))],
      () => true,
    ],
    [
      'other pods',
      [egress([{ to: [{ namespaceSelector: {}, podSelector: { matchLabels: { app: 'other' } } }] }])],
      () => false,
    ],
    [
      'everybody on a port',
      [egress([{ ports: [{ protocol: 'UDP', port: 80 }] }])],
      ({ protocol }) => protocol === 'UDP',
    ],
    [
      'the other side has its say',
      [
        egress([{ to: [blue] }]),
        policy('blue', 'in', { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] }),
      ],
      () => false,
    ],
  ];
  for (const [told, policies, opens] of cases) {
    await bed.apply(policies);
    await bed.expect(probes, opens, { told });
  }
  // What stands behind it changes: the pod that comes is no peer, and the Service may lead to it.
  await bed.apply([egress([{ to: [{ ...blue, podSelector: { matchLabels: { app: 'web', tier: 'a' } } }] }])]);
  await relabel([{}, {}, { app: 'web', tier: 'a' }, { app: 'web', tier: 'a' }], []);
  await bed.expect(probes, () => true);
  await relabel([{}, {}, { app: 'web', tier: 'a' }, { app: 'web' }], []);
  await bed.expect(probes, () => false);
  await bed.client.delete('/api/v1/namespaces/blue/services/web');
});

test('bad policies are refused, or close what they are for, with a word why, and bind nobody else', async (t) => {
  await bed.clear();
  await relabel([{ app: 'a' }, { app: 'b' }], []);
  const path = '/apis/networking.k8s.io/v1/namespaces/red/networkpolicies';
  const one = { matchLabels: { app: 'a' } };
  const from = (cidr: string, except?: string[]) =>
    policy('red', 'bad', {
      podSelector: one,
      ingress: [{ from: [{ ipBlock: { cidr, ...(except && { except }) } }] }],
    });
  for (const bad of [
    from('10.0.0.0/33'),
    from('all'),
    from('10.0.0.0/16', ['10.1.0.0/16']),
    policy('red', 'bad', { podSelector: one, ingress: [{ ports: [{ port: 70_000 }] }] }),
    policy('red', 'bad', { podSelector: one, ingress: [{ ports: [{ port: 90, endPort: 80 }] }] }),
    policy('red', 'bad', { podSelector: { matchExpressions: [{ key: 'app', operator: 'Like' }] } }),
  ])
    await assert.rejects(bed.client.create(path, bad), /nvalid|must|equal/, JSON.stringify(bad));

  // A cluster policy's blocks are text to the API server: the controller says so, and others go on.
  const { metadata } = await bed.add({
    ...kind('networking.k8s.aws/v1alpha1', 'ClusterNetworkPolicy', { name: 'policytest-bad' }),
    spec: {
      ...{ tier: 'Admin', priority: 5, subject: ours({ pods: { namespaceSelector: {}, podSelector: one } }) },
      ingress: [
        { action: 'Accept', from: [{ networks: ['10.0.0.0/99'] }] },
        { action: 'Deny', from: [{ networks: ['0.0.0.0/0'] }] },
      ],
    },
  } as never);
  const pairs = bed.pairs();
  const isClosed = ({ from, to }: Probe) => to.name === 'red-0' && !bed.isOwn({ from, to });
  await bed.expect(pairs, (probe) => !isClosed(probe));
  await until(async () => {
    const { items } = await bed.client.get<List<CoreEvent>>('/api/v1/events');
    const told = items.find(
      ({ reason, involvedObject }) => reason === 'InvalidPeer' && involvedObject.uid === metadata!.uid,
    );
    assert.match(told?.message ?? '', /ingress\[0\].*10\.0\.0\.0\/99.*left out/);
  });

  await t.test('10,000 ports, and a selector that matches everything', async () => {
    // Every other one, so that none go together; 80 is one of them, 81 is not.
    const ports = Array.from({ length: 10_000 }, (_, i) => ({ protocol: 'TCP', port: 2 * i + 2 }));
    await bed.apply([
      policy('red', 'ports', { podSelector: {}, ingress: [{ from: [{ namespaceSelector: {} }], ports }] }),
      policy('blue', 'all', {
        podSelector: {},
        ingress: [{ from: [{ namespaceSelector: {}, podSelector: {} }] }],
      }),
    ]);
    await bed.expect(
      pairs,
      ({ from, to, protocol, port }) => {
        if (bed.isOwn({ from, to })) return true;
        const isPod = !bed.isNode(from);
        if (to.name.startsWith('red-')) return isPod && protocol === 'TCP' && port % 2 === 0;
        return isPod || !to.name.startsWith('blue-');
      },
      { patience: 20_000 },
    );
  });
  await bed.clear();
  await bed.expect(pairs, () => true);
});

const on = (node: string) => {
  const matchFields = [{ key: 'metadata.name', operator: 'In', values: [node] }];
  const required = { nodeSelectorTerms: [{ matchFields }] };
  return { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
};

/** Runs so many pods that connect to a pod when they start. @returns how those ended that did not succeed. */
async function start(count: number, app: string, script: string): Promise<string[]> {
  const path = '/api/v1/namespaces/red/pods';
  const labelSelector = `app=${app}`;
  for (let n = 0; n < count; n++) {
    await bed.client.create<object>(path, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `${app}-${n}`, labels: { app } },
      spec: {
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 0,
        // By the scheduler: it waits for room on the node.
        affinity: on(bed.nodes[n % 2]!.node),
        containers: [
          {
            ...{ name: 'starter', image: 'nicolaka/netshoot', imagePullPolicy: 'IfNotPresent' },
            command: ['bash', '-c', script],
          },
        ],
      },
    });
  }
  const ended = await until(async () => {
    const { items } = await bed.client.get<{ items: Pod[] }>(path, { labelSelector });
    const ends = items.map(({ metadata, status }) => ({
      name: metadata!.name,
      ...status?.containerStatuses?.[0]?.state?.terminated,
    }));
    const running = ends.filter(({ exitCode }) => exitCode === undefined).length;
    assert.equal(running, 0, `${running} of ${count} pods have not ended`);
    return ends;
  }, 180_000);
  await bed.client.request('DELETE', path, { query: { labelSelector } });
  await until(async () => {
    const { items } = await bed.client.get<{ items: Pod[] }>(path, { labelSelector });
    assert.equal(items.length, 0, 'pods are gone');
  }, 60_000);
  return ended
    .filter(({ exitCode }) => exitCode !== 0)
    .map(({ name, exitCode, reason, message }) => `${name}: ${exitCode} ${reason} ${message ?? ''}`);
}

test(`none of ${STARTERS} pods has an unguarded instant, nor one in which it is shut off`, async () => {
  await bed.clear();
  await relabel([{}, { app: 'server' }], []);
  const [allowed, denied, server] = ['blue-3', 'blue-2', 'red-1'].map((name) => bed.pod(name).address);
  const starter = { podSelector: { matchLabels: { app: 'starter' } } };
  const to = [allowed, server].map((address) => ({ ipBlock: { cidr: `${address}/32` } }));
  await bed.apply([
    policy('red', 'out', { ...starter, policyTypes: ['Egress'], egress: [{ to, ports: [{ port: 80 }] }] }),
    policy('red', 'in', { podSelector: { matchLabels: { app: 'server' } }, ingress: [{ from: [starter] }] }),
  ]);
  await bed.settled();
  const accepted = async () =>
    Number(await bed.run(bed.pod('blue-2'), ['awk', '/^Tcp: [0-9]/ { print $7 }', '/proc/net/snmp']));
  const before = await accepted();
  // What is denied and what is allowed at once, as they start. Of the latter no SYN is sent twice, however long a busy machine
  // takes; the kernel tells it of this one connection. The other side must hear of the pod before it lets it in, by the
  // controller, which shares the machine with all that start.
  const script = `
    for try in 1 2 3; do timeout 0.3 nc ${denied} 80 </dev/null >/dev/null 2>&1; done & guarded=$!
    exec 3<>/dev/tcp/${allowed}/80 || exit 9
    case $(ss -tinH dst ${allowed}) in *retrans*) exit 10 ;; *cwnd*) ;; *) exit 11 ;; esac
    nc -w 10 ${server} 80 </dev/null >/dev/null || exit 8
    wait $guarded; exit 0`;
  assert.deepEqual(await start(STARTERS, 'starter', script), []);
  assert.equal((await accepted()) - before, 0, 'connections got through to whom they are denied');
});

/** A function of sh(1) that fails with 7 when it gets through to an address. */
const tryIn = (name: string, address: string) =>
  `${name}() { for n in 1 2 3; do nc -w 1 ${address} 80 </dev/null >/dev/null && return 7; done; return 0; }`;

const NO_AGENTS = 'the DaemonSet aws-node of the cluster is not of Enid';

/** Three policies: one for who comes in, one for what goes out, and one for both. */
const THREE = [
  policy('red', 'in', {
    podSelector: {},
    ingress: [
      { from: [{ namespaceSelector: { matchLabels: { tier: 'myproject' } } }], ports: [{ port: 80 }] },
    ],
  }),
  policy('green', 'out', {
    podSelector: {},
    policyTypes: ['Egress'],
    egress: [{ ports: [{ port: 81 }, { protocol: 'UDP', port: 81 }] }],
  }),
  policy('blue', 'both', {
    podSelector: {},
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [{ namespaceSelector: {} }] }],
    egress: [{ to: [{ namespaceSelector: {} }], ports: [{ port: 80 }] }],
  }),
];

test('what is in force stays in force while agents are killed, start again and are replaced', async (t) => {
  if (!(await bed.agents())) return t.skip(NO_AGENTS);
  await bed.clear();
  await relabel([], [{}, { tier: 'myproject' }, {}]);
  await bed.apply(THREE);
  const opens = ({ from, to, protocol, port }: Probe) => {
    if (bed.isOwn({ from, to })) return true;
    const [namespace, target] = [from, to].map(({ name }) => name.split('-')[0]);
    const isPod = !bed.isNode(from);
    const toPod = !bed.isNode(to);
    if (target === 'red' && !(namespace === 'blue' && protocol === 'TCP' && port === 80)) return false;
    if (namespace === 'green' && !(port === 81 && protocol !== 'SCTP')) return false;
    if (namespace === 'blue' && !(toPod && protocol === 'TCP' && port === 80)) return false;
    return !(target === 'blue' && !isPod);
  };
  const pairs = bed.pairs();
  await bed.expect(pairs, opens);
  let isOver = false;
  let rounds = 0;
  const load = (async () => {
    for (; !isOver; rounds++) await bed.expect(pairs, opens, { patience: 0, told: `in round ${rounds}` });
  })();
  load.catch(() => {});
  await t.test('killed', () => bed.killAgents());
  await t.test('replaced', () => {
    const restartedAt = new Date().toISOString();
    return bed.rollOut({ metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': restartedAt } } });
  });
  // Those that came last have looked at everything.
  const at = rounds;
  await until(async () => assert.ok(rounds > at + 5), 60_000);
  isOver = true;
  await load;
  t.diagnostic(`${rounds} times ${pairs.length} connections`);
  // And they follow what changes.
  await bed.clear();
  await bed.expect(pairs, () => true);
});

test('who decides is explained, and told as it happens', async (t) => {
  if (!(await bed.agents())) return t.skip(NO_AGENTS);
  await bed.clear();
  await relabel([], [{}, { tier: 'myproject' }, {}]);
  await bed.apply(THREE);
  await bed.settled();
  const env = { KUBECONFIG: bed.kubeconfig };
  const explain = async (from: string, to: string, port: number) => {
    const ends = ['--from', from, '--to', to, '--port', `${port}`];
    const { stdout, stderr, status } = await runWith(env, 'policy', 'explain', ...ends, '--json');
    assert.equal(status, 0, stderr);
    const { verdict, sides } = JSON.parse(stdout);
    const by = ({ direction, decidedBy }: { direction: string; decidedBy: object }) => [
      direction,
      ...Object.values(decidedBy),
    ];
    return [verdict, ...sides.map(by)];
  };
  assert.deepEqual(await explain('blue/blue-3', 'red/red-0', 80), [
    'allow',
    ['egress', 'NetworkPolicy', 'NetworkPolicy blue/both', 0],
    ['ingress', 'NetworkPolicy', 'NetworkPolicy red/in', 0],
  ]);
  assert.deepEqual(await explain('green/green-4', bed.pod('red-0').address, 81), [
    'deny',
    ['egress', 'NetworkPolicy', 'NetworkPolicy green/out', 0],
    ['ingress', 'NetworkPolicy', 'NetworkPolicy red/in'],
  ]);
  assert.deepEqual(await explain('red/red-0', '198.51.100.10', 443), ['allow', ['egress', 'Default']]);
  const nobody = await runWith(
    env,
    'policy',
    'explain',
    '--from',
    'red/x',
    '--to',
    'red/red-0',
    '--port',
    '1',
  );
  assert.deepEqual([nobody.status, nobody.stderr.trim()], [1, 'enid: there is no pod red/x']);

  const { child, result } = startWith(env, 'ebpf', 'trace', '--pod', 'red/red-0', '--json');
  t.after(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const [from, denied, to] = ['blue-3', 'red-1', 'red-0'].map((name) => bed.pod(name));
  const probes = [from!, denied!].map((peer) => ({
    from: peer,
    to: to!,
    protocol: 'TCP' as const,
    port: 80,
  }));
  let isOver = false;
  const load = (async () => {
    while (!isOver) await bed.expect(probes, (probe) => probe.from === from);
  })();
  const told = new Map<string, object>();
  while (told.size < 2) {
    const { value, done } = await lines.next();
    assert.ok(!done, 'the trace has ended');
    const { time, source, destination, ...rest } = JSON.parse(value);
    assert.ok(Math.abs(Date.parse(time) - Date.now()) < 10_000, time);
    assert.deepEqual(destination, { address: to!.address, port: 80, pod: 'red/red-0' });
    if (rest.direction === 'ingress') told.set(source.address, rest);
  }
  isOver = true;
  await load;
  const common = { direction: 'ingress', pod: 'red/red-0', protocol: 'TCP', tier: 'NetworkPolicy' };
  const policyName = 'NetworkPolicy red/in';
  assert.deepEqual(told.get(from!.address), { verdict: 'allow', ...common, policy: policyName, rule: 0 });
  assert.deepEqual(told.get(denied!.address), { verdict: 'deny', ...common, policy: policyName });
  child.kill('SIGINT');
  assert.equal((await result).status, 0);
  // Nor does anything go on in the agent's container, however who listens there ends.
  const another = startWith(env, 'ebpf', 'trace', '--pod', 'red/red-0', '--json');
  const tracing = async () => {
    const agent = (await bed.agentPods())[bed.nodes.findIndex(({ node }) => node === to!.node)]!;
    const at = { name: agent.metadata!.name!, namespace: 'kube-system' };
    const script = 'grep -lza "until-input[-]ends" /proc/[0-9]*/cmdline 2>/dev/null; true';
    return (await bed.run(at, ['sh', '-c', script], 'aws-node')).split('\n').length - 1;
  };
  await until(async () => assert.equal(await tracing(), 1));
  another.child.kill('SIGKILL');
  await another.result;
  await until(async () => assert.equal(await tracing(), 0));

  const node = bed.nodeOf(to!);
  const agent = (await bed.agentPods())[bed.nodes.indexOf(node)]!.metadata!;
  const file = '/var/log/aws-routed-eni/network-policy-agent.log';
  const log = await bed.run({ name: agent.name!, namespace: agent.namespace! }, ['cat', file], 'aws-node');
  const logged = log.trim().split('\n');
  // Others may have been denied since: what was sent before may be sent again.
  const { time, source, ...rest } = logged
    .map((line) => JSON.parse(line))
    .findLast((line) => line.source.address === denied!.address && line.destination.address === to!.address);
  assert.ok(Date.now() - Date.parse(time) < 60_000, time);
  assert.equal(source.pod, 'red/red-1');
  const destination = { address: to!.address, port: 80, pod: 'red/red-0' };
  assert.deepEqual(rest, { verdict: 'deny', ...common, destination, policy: policyName });
  const metrics = await bed.run(node, ['curl', '-s', '127.0.0.1:61678/metrics']);
  for (const verdict of ['allow', 'deny'])
    for (const what of ['packets', 'flows'])
      assert.match(
        metrics,
        new RegExp(`^networkpolicy_${what}_total\\{direction="ingress",verdict="${verdict}"\\} [1-9]`, 'm'),
      );
});

test('in strict mode nobody is open whom no policy opens', async (t) => {
  const agents = await bed.agents();
  if (!agents) return t.skip(NO_AGENTS);
  await bed.clear();
  // What the cluster itself needs stays open, as the controller that is to follow policies.
  const open = { podSelector: {}, policyTypes: ['Ingress', 'Egress'], ingress: [{}], egress: [{}] };
  const system = '/apis/networking.k8s.io/v1/namespaces/kube-system/networkpolicies';
  await bed.client.create(system, policy('kube-system', 'policytest', open));
  await bed.settled();
  t.after(async () => {
    await bed.rollOut({ spec: { containers: agents.spec!.template.spec!.containers } }, 'merge');
    await bed.client.delete(`${system}/policytest`);
  });
  const env = [{ name: 'NETWORK_POLICY_ENFORCING_MODE', value: 'strict' }];
  await bed.rollOut({ spec: { containers: [{ name: 'aws-node', env }] } });
  const pairs = bed.pairs();
  const own = (probe: Probe) => bed.isOwn(probe);
  await bed.expect(pairs, own);
  // Both ends must be open: red and blue are, to each other.
  await bed.apply([policy('red', 'open', open), policy('blue', 'open', open)]);
  const isOpen = (side: Probe['from']) => bed.isNode(side) || !side.name.startsWith('green');
  await bed.expect(pairs, (probe) => own(probe) || (isOpen(probe.from) && isOpen(probe.to)));
  await bed.apply([]);
  const script = `${tryIn('denied', bed.nodes[0]!.address)}; denied`;
  assert.deepEqual(await start(20, 'strict', script), []);
});
