/**
 * A cluster for the tests of network policies, of a lab or one that is given: pods in three namespaces on two nodes, and the
 * nodes themselves.
 */
import assert from 'node:assert/strict';
import { cidrOf, contains, parseIpv4 } from '@enid/ip';
import type { DaemonSet, KubeClient, KubeObject, List, Pod } from '@enid/kube';
import { Lab } from '@enid/lab';
import { host } from '../packages/cli/src/host.ts';
import { labUp, run, tracesOf } from './enid.ts';
import { ExecProber } from './exec-prober.ts';
import { GIVEN } from './given.ts';
import { NamespaceProber } from './namespace-prober.ts';
import type { Peer, Probe, Prober, Protocol } from './probes.ts';
import { type Station, Stations } from './stations.ts';
import { until } from './until.ts';

const NAME = 'policytest';
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
const AGENTS = '/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node';

export class PolicyBed implements AsyncDisposable {
  readonly kubeconfig: string;
  readonly client: KubeClient;
  readonly pods: Station[] = [];
  /** Pods that stand for the nodes. */
  readonly nodes: Station[] = [];
  readonly #stations: Stations;
  /** Undefined: the cluster is given. */
  readonly #lab: Lab | undefined;
  readonly #stack = new AsyncDisposableStack();
  /** Paths of policies. */
  readonly #policies = new Set<string>();
  #prober!: Prober;

  private constructor(kubeconfig: string, lab?: Lab) {
    this.kubeconfig = kubeconfig;
    this.#stations = this.#stack.use(new Stations(kubeconfig));
    this.client = this.#stations.client;
    this.#lab = lab;
  }

  /** @param settings of the agents, `NAME=value`, and the type of the nodes: a cluster that is given has its own. */
  static async open(instanceType: string, ...settings: string[]): Promise<PolicyBed> {
    if (GIVEN) return new PolicyBed(GIVEN);
    const set = settings.flatMap((setting) => ['--set', setting]);
    const { kubernetes } = await labUp(NAME, '--nodes', '2', '--instance-type', instanceType, ...set);
    const bed = new PolicyBed(kubernetes!.kubeconfig, Lab.open(NAME, host));
    bed.#stack.defer(async () => {
      await run('lab', 'down', '--name', NAME);
      assert.deepEqual(tracesOf(NAME), []);
    });
    return bed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }

  /** Makes pods, which are `<namespace>-<n>`: `[namespace, which node, labels, named ports]`; and what stands for the nodes. */
  async populate(
    pods: readonly (readonly [
      namespace: (typeof NAMESPACES)[number],
      node: 0 | 1,
      labels?: Record<string, string>,
      ports?: readonly { name: string; protocol: string; containerPort: number }[],
    ])[],
  ): Promise<void> {
    const ofNodes = `${NAME}-nodes`;
    const made: string[] = [];
    if (!this.#lab) this.#stack.defer(() => this.#stations.remove(...made));
    for (const name of [...NAMESPACES, ofNodes]) {
      await this.#stations.namespace(name);
      made.push(name);
    }
    this.#stack.defer(() => this.clear());
    const nodes = (await this.#stations.nodes(2)).slice(0, 2);
    const stations = await this.#stations.start([
      ...pods.map(([namespace, node, labels = {}, ports = []], i) => {
        return { name: `${namespace}-${i}`, namespace, node: nodes[node]!, labels, ports };
      }),
      ...nodes.map((node, i) => ({ name: `node-${i + 1}`, namespace: ofNodes, node, ofNode: true })),
    ]);
    this.pods.push(...stations.slice(0, pods.length));
    this.nodes.push(...stations.slice(pods.length));
    this.#prober = this.#lab
      ? await NamespaceProber.open(this.#sitesIn(this.#lab, stations), PORTS)
      : await ExecProber.open(this.#stations, stations, PORTS);
    this.#stack.use(this.#prober);
  }

  #sitesIn({ cluster, record }: Lab, stations: readonly Station[]) {
    return stations.map(({ name, namespace, address }) => {
      return { name, address, ns: cluster!.podNamespace(`${namespace}/${name}`, record.nodes)! };
    });
  }

  pod(name: string): Station {
    const found = this.pods.find((each) => each.name === name);
    assert.ok(found, `there is no pod ${name}`);
    return found;
  }

  /** The node that a pod is on. */
  nodeOf({ node }: Station): Station {
    return this.nodes.find((each) => each.node === node)!;
  }

  isNode(peer: Peer): boolean {
    return this.nodes.some((node) => node === peer);
  }

  /** Whether a node asks itself or its own pods: no policy binds it. */
  isOwn({ from, to }: Pick<Probe, 'from' | 'to'>): boolean {
    return this.isNode(from) && (from as Station).node === (to as Station).node;
  }

  /** The smallest block that all are in. */
  get network(): string {
    const addresses = [...this.pods, ...this.nodes].map(({ address }) => parseIpv4(address));
    for (let length = 31; ; length--) {
      const block = cidrOf(addresses[0]!, length);
      if (addresses.every((address) => contains(block, address))) return block;
    }
  }

  /** Every two that can tell something of a policy: not a pod and itself, nor two nodes. */
  pairs(): Probe[] {
    const all = [...this.pods, ...this.nodes];
    const tried = TRIED.filter(([protocol]) => this.#prober.protocols.includes(protocol));
    return all.flatMap((from) =>
      all
        .filter((to) => from !== to && !(this.isNode(from) && this.isNode(to)))
        .flatMap((to) => tried.map(([protocol, port]) => ({ from, to, protocol, port }))),
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
    { patience = 4 * this.#prober.patience, told = '' } = {},
  ): Promise<number> {
    const began = performance.now();
    const wanted = probes.map(expected);
    // What was dropped is sent again after a second: to ask anew is sooner, at first.
    const { quiet, patience: most } = this.#prober;
    for (let each = patience > 0 ? quiet : most; ; each = Math.min(1.5 * each, most)) {
      const passed = await this.#prober.run(probes, wanted, each);
      const wrong = probes.filter((_, i) => passed[i] !== wanted[i]);
      if (wrong.length === 0) return performance.now() - began;
      if (performance.now() - began < patience) continue;
      const lines = wrong
        .slice(0, 20)
        .map((probe) => `${show(probe)} ${expected(probe) ? 'fails' : 'gets through'}`);
      assert.fail(`${wrong.length} of ${probes.length} connections are wrong: ${lines.join(', ')} ${told}`);
    }
  }

  /** Makes a Service whose port 9000 is port 80 of the pods. @returns it as a peer to connect to. */
  async service(namespace: string, name: string, selector: Record<string, string>): Promise<Peer> {
    const path = `/api/v1/namespaces/${namespace}/services`;
    const ports = (['TCP', 'UDP'] as const).map((protocol) => {
      return { name: protocol.toLowerCase(), protocol, port: 9000, targetPort: 80 };
    });
    const { spec } = await this.client.create<KubeObject & { spec: { clusterIP: string } }>(path, {
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { name } },
      spec: { selector, ports },
    } as never);
    return { name, address: spec.clusterIP };
  }

  /** Puts these policies, and no others of the test, into force. */
  async apply(policies: readonly KubeObject[]): Promise<void> {
    await this.clear();
    await Promise.all(policies.map((policy) => this.add(policy)));
  }

  /** Puts a policy into force, beside others. */
  async add(policy: KubeObject): Promise<KubeObject> {
    const { namespace, name } = policy.metadata!;
    const path =
      policy.kind === 'ClusterNetworkPolicy'
        ? '/apis/networking.k8s.aws/v1alpha1/clusternetworkpolicies'
        : `/apis/networking.k8s.io/v1/namespaces/${namespace}/networkpolicies`;
    const made = await this.client.create(path, policy);
    this.#policies.add(`${path}/${name}`);
    return made;
  }

  /** Waits until what was written before is in force: a policy that was made and taken away after it has been. */
  async settled(): Promise<void> {
    const path = '/apis/networking.k8s.io/v1/namespaces/green/networkpolicies';
    const to = this.pods.find(({ namespace }) => namespace === 'green')!;
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

  /** Takes away the policies of the test. */
  async clear(): Promise<void> {
    await Promise.all(
      [...this.#policies].map(async (path) => {
        await this.client.delete(path);
        this.#policies.delete(path);
      }),
    );
  }

  /** The DaemonSet of Enid's agents; undefined: the cluster has another, or none. */
  async agents(): Promise<DaemonSet | undefined> {
    const found = await this.client.get<DaemonSet>(AGENTS).catch(() => undefined);
    return found?.metadata?.labels?.['app.kubernetes.io/part-of'] === 'enid' ? found : undefined;
  }

  /** The agent of each node of {@link nodes}. */
  async agentPods(): Promise<Pod[]> {
    const { items } = await this.client.get<List<Pod>>('/api/v1/namespaces/kube-system/pods', {
      labelSelector: 'k8s-app=aws-node',
    });
    return this.nodes.map(({ node }) => items.find(({ spec }) => spec!.nodeName === node)!);
  }

  /** Kills the agents of the nodes, and waits until they are there again. */
  async killAgents(): Promise<void> {
    const restarts = async () => {
      const pods = await this.agentPods();
      return pods.map(({ status }) => status!.containerStatuses![0]!);
    };
    const [pods, before] = await Promise.all([this.agentPods(), restarts()]);
    await Promise.all(pods.map((pod, i) => this.#stations.kill(this.nodes[i]!, pod, ' agent')));
    await until(async () => {
      for (const [i, { restartCount, ready }] of (await restarts()).entries()) {
        assert.ok(ready && restartCount > before[i]!.restartCount, 'the agent is not there again');
      }
    }, 60_000);
  }

  /** Changes the DaemonSet of the agents, and waits until all of them are new. */
  async rollOut(template: object, how: 'merge' | 'strategic' = 'strategic'): Promise<void> {
    const { metadata } = await this.client.patch<DaemonSet>(AGENTS, { spec: { template } }, how);
    await until(async () => {
      const { status } = await this.client.get<DaemonSet>(AGENTS);
      const { desiredNumberScheduled: all } = status!;
      assert.ok(status!.observedGeneration! >= metadata!.generation!);
      assert.deepEqual([status!.updatedNumberScheduled, status!.numberReady], [all, all]);
    }, 120_000);
  }

  /** What a command prints in the place, or in another container of its node. */
  run(
    at: Pick<Station, 'name' | 'namespace'>,
    command: readonly string[],
    container?: string,
  ): Promise<string> {
    return this.#stations.output(at, command, container);
  }
}

export const show = ({ from, to, protocol, port }: Probe) => `${from.name} to ${to.name} ${protocol} ${port}`;
