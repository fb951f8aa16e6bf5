/** A cluster of a lab for the tests of network policies: pods in three namespaces on two nodes, and the nodes themselves. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { KubeClient, type KubeObject, kubeconfigAccess, type Pod } from '@enid/kube';
import { Lab } from '@enid/lab';
import type { LabStatus } from '@enid/lab/status';
import { NetNamespace } from '@enid/linux';
import { host } from '../packages/cli/src/host.ts';
import { run } from './enid.ts';
import { PATIENCE, type Peer, type Probe, Prober, type Protocol, QUIET } from './probes.ts';

export const NAME = 'policytest';
export const NODES = ['node-1', 'node-2'] as const;
export const NAMESPACES = ['red', 'blue', 'green'] as const;
/** What listens at every pod and node, and what is tried. */
export const PORTS = [80, 81, 8080] as const;
const TRIED: readonly (readonly [Protocol, number])[] = [
  ['TCP', 80],
  ['TCP', 81],
  ['TCP', 8080],
  ['UDP', 80],
  ['UDP', 81],
  ['SCTP', 80],
];
const PAUSE = 'registry.k8s.io/pause:3.9';

export type PodPlace = Peer & { readonly node: string; readonly pod: Pod };
export type Place = PodPlace | (Peer & { readonly node: string; readonly pod?: undefined });

export class PolicyBed implements AsyncDisposable {
  readonly client: KubeClient;
  readonly kubeconfig: string;
  readonly lab: Lab;
  readonly pods: PodPlace[] = [];
  readonly nodes: Place[] = [];
  #prober: Prober | undefined;

  private constructor(status: LabStatus) {
    this.kubeconfig = status.kubernetes!.kubeconfig;
    this.client = new KubeClient(kubeconfigAccess(this.kubeconfig));
    this.lab = Lab.open(NAME, host);
    for (const { name, enis } of status.nodes) {
      const ns = NetNamespace.named(this.lab.node(name).record.namespace);
      this.nodes.push({ name, node: name, address: enis[0]!.addresses[0]!, ns });
    }
  }

  /** @param settings of the agents, `NAME=value`. */
  static async open(instanceType: string, ...settings: string[]): Promise<PolicyBed> {
    await run('lab', 'down', '--name', NAME);
    const set = settings.flatMap((setting) => ['--set', setting]);
    const type = ['--instance-type', instanceType];
    const up = await run('lab', 'up', '--name', NAME, '--nodes', '2', ...type, ...set);
    assert.equal(up.status, 0, up.stderr);
    const { stdout } = await run('lab', 'status', '--name', NAME, '--json');
    return new PolicyBed(JSON.parse(stdout));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#prober?.[Symbol.asyncDispose]();
    for (const { ns } of [...this.pods, ...this.nodes]) ns.close();
    this.client.close();
    await run('lab', 'down', '--name', NAME);
  }

  /** Makes namespaces, and pods in them: `[namespace, node, labels, named ports]`. They are `<namespace>-<n>`. */
  async populate(
    pods: readonly (readonly [
      namespace: string,
      node: string,
      labels?: Record<string, string>,
      ports?: readonly { name: string; protocol: string; containerPort: number }[],
    ])[],
  ): Promise<void> {
    for (const name of new Set(pods.map(([namespace]) => namespace))) {
      await this.client.create<object>('/api/v1/namespaces', {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name },
      });
      await until(() => this.client.get(`/api/v1/namespaces/${name}/serviceaccounts/default`));
    }
    const names = pods.map(([namespace], i) => ({ namespace, name: `${namespace}-${i}` }));
    for (const [i, [namespace, node, labels = {}, ports = []]] of pods.entries()) {
      await this.client.create(`/api/v1/namespaces/${namespace}/pods`, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: names[i]!.name, labels },
        spec: {
          nodeName: this.lab.node(node).record.dnsName,
          terminationGracePeriodSeconds: 0,
          containers: [{ name: 'net', image: PAUSE, ports }],
        },
      } as object);
    }
    for (const [i, { namespace, name }] of names.entries()) {
      const pod = await until(async () => {
        const found = await this.client.get<Pod>(`/api/v1/namespaces/${namespace}/pods/${name}`);
        assert.ok(found.status?.podIP && found.status.phase === 'Running', `pod ${name} does not run`);
        return found;
      });
      const ns = this.lab.cluster!.podNamespace(`${namespace}/${name}`, this.lab.record.nodes)!;
      this.pods.push({ name, node: pods[i]![1], address: pod.status!.podIP!, ns, pod });
    }
    this.#prober = await Prober.open([...this.pods, ...this.nodes], PORTS);
  }

  pod(name: string): PodPlace {
    const found = this.pods.find((each) => each.name === name);
    assert.ok(found, `there is no pod ${name}`);
    return found;
  }

  /** Every two that can tell something of a policy: not a pod and itself, nor two nodes. */
  pairs(): Probe[] {
    const all: Place[] = [...this.pods, ...this.nodes];
    return all.flatMap((from) =>
      all
        .filter((to) => from !== to && (from.pod ?? to.pod))
        .flatMap((to) => TRIED.map(([protocol, port]) => ({ from, to, protocol, port }))),
    );
  }

  /**
   * Tries until all connections end as expected, as they do when policies are in force.
   * @returns the time that took, in milliseconds.
   * @throws with those that end otherwise for longer than `patience` milliseconds.
   */
  async expect(
    probes: readonly Probe[],
    expected: (probe: Probe) => boolean,
    { patience = 5000, told = '' } = {},
  ): Promise<number> {
    const began = performance.now();
    const wanted = probes.map(expected);
    // What was dropped is sent again after a second: to ask anew is sooner, at first.
    for (let each = patience && QUIET; ; each = Math.min(1.5 * each, PATIENCE)) {
      const passed = await this.#prober!.run(probes, wanted, each || PATIENCE);
      const wrong = probes.filter((_, i) => passed[i] !== wanted[i]);
      if (wrong.length === 0) return performance.now() - began;
      if (performance.now() - began < patience) continue;
      const lines = wrong
        .slice(0, 20)
        .map((probe) => `${show(probe)} ${expected(probe) ? 'fails' : 'gets through'}`);
      assert.fail(`${wrong.length} of ${probes.length} connections are wrong: ${lines.join(', ')} ${told}`);
    }
  }

  /** Makes a Service whose port 9000 is port 80 of the pods. @returns it as a place to connect to. */
  async service(namespace: string, name: string, selector: Record<string, string>): Promise<Place> {
    const path = `/api/v1/namespaces/${namespace}/services`;
    const ports = (['TCP', 'UDP'] as const).map((protocol) => {
      return { name: protocol.toLowerCase(), protocol, port: 9000, targetPort: 80 };
    });
    const { spec } = await this.client.create<KubeObject & { spec: { clusterIP: string } }>(path, {
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { name } },
      spec: { selector, ports },
    } as never);
    const { node, ns } = this.nodes[0]!;
    return { name, address: spec.clusterIP, node, ns };
  }

  /** Puts these policies, and no others, into force. */
  async apply(policies: readonly KubeObject[]): Promise<void> {
    const paths = policies.map(({ kind, metadata }) =>
      kind === 'ClusterNetworkPolicy'
        ? '/apis/networking.k8s.aws/v1alpha1/clusternetworkpolicies'
        : `/apis/networking.k8s.io/v1/namespaces/${metadata!.namespace}/networkpolicies`,
    );
    await this.clear();
    await Promise.all(policies.map((policy, i) => this.client.create(paths[i]!, policy)));
  }

  /** Waits until what was written before is in force: a policy that was made and taken away after it has been. */
  async settled(): Promise<void> {
    const path = '/apis/networking.k8s.io/v1/namespaces/green/networkpolicies';
    const to = this.pods.find(({ pod }) => pod.metadata!.namespace === 'green')!;
    const from = this.nodes.find(({ node }) => node !== to.node)!;
    const probes = [{ from, to, protocol: 'TCP' as const, port: 80 }];
    await this.client.create<object>(path, {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'marker' },
      spec: { podSelector: {}, policyTypes: ['Ingress'] },
    });
    await this.expect(probes, () => false);
    await this.client.delete(`${path}/marker`);
    await this.expect(probes, () => true);
  }

  async clear(): Promise<void> {
    const all = [
      '/apis/networking.k8s.aws/v1alpha1/clusternetworkpolicies',
      ...NAMESPACES.map((name) => `/apis/networking.k8s.io/v1/namespaces/${name}/networkpolicies`),
    ];
    await Promise.all(
      all.map(async (path) => {
        const { items } = await this.client.get<{ items: KubeObject[] }>(path);
        await Promise.all(items.map(({ metadata }) => this.client.delete(`${path}/${metadata!.name}`)));
      }),
    );
  }
}

export const show = ({ from, to, protocol, port }: Probe) => `${from.name} to ${to.name} ${protocol} ${port}`;

/** Tries until it does not throw. */
export async function until<T>(attempt: () => Promise<T>, patience = 20_000): Promise<T> {
  for (const deadline = Date.now() + patience; ; ) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}
