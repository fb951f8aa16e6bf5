import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Node, Pod, PodSpec, Taint } from '@enid/kube';
import { decide } from './decide.ts';
import { nodeInfo, type Snapshot } from './node-info.ts';

type NodeOptions = {
  readonly labels?: Record<string, string>;
  readonly taints?: Taint[];
  readonly cpu?: string;
  readonly pods?: string;
  readonly unschedulable?: boolean;
};

function node(name: string, options: NodeOptions = {}, pods: Pod[] = []) {
  const { labels, taints, cpu = '4', pods: most = '110', unschedulable } = options;
  const made: Node = {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
    spec: { taints, unschedulable },
    status: { allocatable: { cpu, memory: '8Gi', pods: most } },
  };
  return nodeInfo(made, pods);
}

let made = 0;
function pod(app: string, spec: Partial<PodSpec> = {}, cpu?: string): Pod {
  const resources = cpu ? { requests: { cpu } } : undefined;
  return {
    metadata: { name: `${app}-${made++}`, namespace: 'default', uid: `${made}`, labels: { app } },
    spec: { containers: [{ name: 'main', resources }], ...spec },
  };
}

const snapshot = (...nodes: ReturnType<typeof node>[]): Snapshot => ({
  nodes,
  namespaceLabels: (name) => ({ 'kubernetes.io/metadata.name': name }),
  likenessOf: (like) => ({ matchLabels: { app: like.metadata!.labels!.app! } }),
});

const choice = (what: Pod, ...nodes: ReturnType<typeof node>[]) => {
  const { node: chosen, message } = decide(what, snapshot(...nodes), () => 0);
  return chosen?.name ?? message;
};

const zone = (value: string) => ({ 'topology.kubernetes.io/zone': value });
const like = (app: string) => ({ matchLabels: { app } });

describe('decide', () => {
  it('tells why no node will do, as the real scheduler does', () => {
    const full = node('a', { pods: '1' }, [pod('x')]);
    const busy = node('b', { cpu: '1' }, [pod('x', {}, '600m')]);
    assert.equal(
      choice(pod('new', {}, '500m'), full, busy),
      '0/2 nodes are available: 1 Insufficient cpu, 1 Too many pods. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.',
    );
    const tainted = node('c', { taints: [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }] });
    const cordoned = node('d', { unschedulable: true });
    assert.equal(
      choice(pod('new', { nodeSelector: { disk: 'ssd' } }), tainted, cordoned, node('e'), node('f')),
      "0/4 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were unschedulable, 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.",
    );
    assert.equal(choice(pod('new')), 'no nodes available to schedule pods');
  });

  it('counts init containers, sidecars and overhead', () => {
    const container = (cpu: string, restartPolicy?: string) => ({
      name: 'c',
      restartPolicy,
      resources: { requests: { cpu } },
    });
    // The sidecar runs beside the second init container and beside the main one: 1 + 2.5, and 0.5 for the runtime.
    const spec = {
      initContainers: [container('3'), container('1', 'Always'), container('2500m')],
      containers: [container('2')],
      overhead: { cpu: '500m' },
    };
    assert.equal(choice(pod('a', spec), node('exact', { cpu: '4' })), 'exact');
    assert.match(choice(pod('a', spec), node('short', { cpu: '3999m' }))!, /1 Insufficient cpu/);
  });

  it('keeps host ports apart by address and protocol', () => {
    const ports = (hostPort: number, hostIP?: string, protocol = 'TCP') => ({
      containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort, hostIP, protocol }] }],
    });
    const taken = node('a', {}, [pod('x', ports(80, '10.0.0.1'))]);
    assert.match(choice(pod('y', ports(80)), taken)!, /didn't have free ports/);
    assert.equal(choice(pod('y', ports(80, '10.0.0.2')), taken), 'a');
    assert.equal(choice(pod('y', ports(80, undefined, 'UDP')), taken), 'a');
  });

  it('binds a daemon to its node by field, over taints that it tolerates', () => {
    const affinity = {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['b'] }] }],
        },
      },
    };
    const tolerations = [
      { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
    ];
    const cordoned = node('b', { unschedulable: true });
    assert.equal(choice(pod('d', { affinity, tolerations }), node('a'), cordoned), 'b');
    assert.match(choice(pod('d', { affinity }), node('a'), cordoned)!, /1 node\(s\) were unschedulable/);
  });

  it('holds to anti-affinity in both directions, and to affinity, of which the first pod has none', () => {
    const term = (app: string, topologyKey: string) => [{ labelSelector: like(app), topologyKey }];
    const away = (app: string, key = 'kubernetes.io/hostname') => ({
      affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: term(app, key) } },
    });
    const near = (app: string) => ({
      affinity: {
        podAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: term(app, 'topology.kubernetes.io/zone'),
        },
      },
    });
    const a = (...pods: Pod[]) => node('a', { labels: zone('1') }, pods);
    const b = (...pods: Pod[]) => node('b', { labels: zone('2') }, pods);
    assert.equal(choice(pod('web', away('web')), a(pod('web')), b()), 'b');
    assert.equal(choice(pod('web'), a(pod('db', away('web'))), b()), 'b');
    assert.match(
      choice(pod('web'), a(pod('db', away('web'))))!,
      /didn't satisfy existing pods anti-affinity/,
    );
    assert.equal(choice(pod('web', near('db')), a(), b(pod('db'))), 'b');
    assert.match(choice(pod('web', near('db')), a(), b())!, /2 node\(s\) didn't match pod affinity rules/);
    assert.equal(choice(pod('db', near('db')), a()), 'a', 'the first of its kind');
    assert.match(choice(pod('db', near('db')), node('c'))!, /affinity rules/, 'but not without the label');
  });

  it('spreads as constraints say', () => {
    const spread = (more: object = {}) => ({
      topologySpreadConstraints: [
        {
          maxSkew: 1,
          topologyKey: 'topology.kubernetes.io/zone',
          whenUnsatisfiable: 'DoNotSchedule',
          labelSelector: like('web'),
          ...more,
        },
      ],
    });
    const a = node('a', { labels: zone('1') }, [pod('web'), pod('web')]);
    const b = node('b', { labels: zone('2') }, [pod('web')]);
    assert.equal(choice(pod('web', spread()), a, b), 'b');
    assert.match(
      choice(pod('web', spread({ minDomains: 3 })), a, b)!,
      /2 node\(s\) didn't match pod topology/,
    );
    assert.match(choice(pod('web', spread()), node('c'))!, /\(missing required label\)/);
    // A domain that the pod cannot use counts, unless taints are honoured.
    const closed = node('d', { labels: zone('3'), taints: [{ key: 'k', effect: 'NoSchedule' }] });
    assert.match(choice(pod('web', spread()), a, b, closed)!, /2 node\(s\) didn't match pod topology/);
    assert.equal(choice(pod('web', spread({ nodeTaintsPolicy: 'Honor' })), a, b, closed), 'b');
    // Only pods of the same revision count.
    const versioned = pod('web', spread({ matchLabelKeys: ['pod-template-hash'] }));
    versioned.metadata!.labels = { app: 'web', 'pod-template-hash': 'new' };
    assert.ok(decide(versioned, snapshot(a), () => 0).node);
  });

  it('prefers empty nodes, few of the same kind, and what the pod prefers', () => {
    assert.equal(choice(pod('new', {}, '1'), node('a', {}, [pod('x', {}, '3')]), node('b')), 'b');
    assert.equal(choice(pod('web'), node('a', {}, [pod('web')]), node('b', {}, [pod('other')])), 'b');
    const preferred = {
      affinity: {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            {
              weight: 1,
              preference: { matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] },
            },
          ],
        },
      },
    };
    assert.equal(choice(pod('db', preferred), node('a'), node('b', { labels: { disk: 'ssd' } })), 'b');
    const shunned = node('a', { taints: [{ key: 'old', effect: 'PreferNoSchedule' }] });
    assert.equal(choice(pod('new'), shunned, node('b', {}, [pod('x', {}, '1')])), 'b');
  });
});
