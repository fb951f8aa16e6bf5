import assert from 'node:assert/strict';
import {
  type Clock,
  Informer,
  isNotFound,
  KubeClient,
  keyOf,
  type Node,
  type Pod,
  systemClock,
  timestamp,
} from '@enid/kube';
import { eventually } from '@enid/kube/testing';
import { startTestApiServer, type TestApiServer } from '../../apiserver/apiserver.fixture.ts';
import { startControlLoops } from '../index.ts';

/** For tests: an API server, all control loops, and nodes whose kubelets only say that they run what they are given. */
export class TestCluster implements AsyncDisposable {
  readonly client: KubeClient;
  readonly pods: Informer<Pod>;
  /** What loops could not do at once. */
  readonly errors: string[];
  /** Pods of which a kubelet says that they are not ready. */
  readonly broken = new Set<string>();
  /** What becomes of the pods of Jobs. */
  outcome: (pod: Pod) => 'Succeeded' | 'Failed' | 'Running' = () => 'Running';
  readonly #server: TestApiServer;
  readonly #loops: { close(): Promise<void> };
  readonly #silent = new Set<string>();
  #addresses = 0;

  private constructor(server: TestApiServer, loops: { close(): Promise<void> }, errors: string[]) {
    this.#server = server;
    this.#loops = loops;
    this.errors = errors;
    this.client = new KubeClient(server.access);
    this.pods = new Informer<Pod>({
      client: this.client,
      path: '/api/v1/pods',
      onError: (error) => errors.push(error.message),
    });
    this.pods.onChange((_old, now) => {
      if (now?.spec?.nodeName && !this.#silent.has(now.spec.nodeName)) void this.#play(now);
    });
  }

  /** @param speed how much faster time passes for the loops. */
  static async start(nodes: readonly string[], speed = 1): Promise<TestCluster> {
    const server = await startTestApiServer();
    const errors: string[] = [];
    const onError = (error: Error) => errors.push(error.message);
    const clock = fastClock(speed);
    const loops = await startControlLoops({ api: server.access, onError, clock });
    const cluster = new TestCluster(server, loops, errors);
    await cluster.pods.synced;
    for (const [i, name] of nodes.entries()) await cluster.addNode(name, `zone-${i % 2}`);
    await eventually(() => cluster.client.get('/api/v1/namespaces/default/serviceaccounts/default'));
    return cluster;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#loops.close();
    await this.pods.stop();
    this.client.close();
    await this.#server.stop();
  }

  /** Resolves when the scheduler may use the node. */
  async addNode(name: string, zone: string, more: Partial<NonNullable<Node['spec']>> = {}): Promise<void> {
    const time = timestamp(Date.now());
    const ready = { type: 'Ready', status: 'True', lastHeartbeatTime: time, lastTransitionTime: time };
    const allocatable = { cpu: '64', memory: '128Gi', pods: '300' };
    await this.client.create<Node>('/api/v1/nodes', {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name,
        labels: {
          'kubernetes.io/hostname': name,
          'kubernetes.io/os': 'linux',
          'topology.kubernetes.io/zone': zone,
        },
      },
      spec: more,
      status: { allocatable, capacity: allocatable, conditions: [ready] },
    });
    await eventually(async () => {
      const { spec } = await this.client.get<Node>(`/api/v1/nodes/${name}`);
      const notReady = spec?.taints?.some(({ key }) => key === 'node.kubernetes.io/not-ready');
      assert.ok(!notReady, `${name} is still tainted`);
    });
  }

  /** Ends the API server and starts it again: all connections break. */
  restartServer(): Promise<void> {
    return this.#server.restart();
  }

  /** The node's kubelet says nothing from now on. */
  silence(node: string): void {
    this.#silent.add(node);
  }

  /** The pods of a namespace whose names begin so, by name. */
  podsOf(prefix: string, namespace = 'default'): Pod[] {
    return this.pods
      .list()
      .filter((pod) => keyOf(pod).startsWith(`${namespace}/${prefix}`))
      .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  }

  /** What a kubelet says of the pod. */
  async #play(pod: Pod): Promise<void> {
    const path = `/api/v1/namespaces/${pod.metadata?.namespace}/pods/${pod.metadata?.name}`;
    try {
      if (pod.metadata?.deletionTimestamp) {
        await this.client.delete(path, { gracePeriodSeconds: 0, preconditions: { uid: pod.metadata.uid! } });
        return;
      }
      const phase = this.outcome(pod);
      const ready = phase === 'Running' && !this.broken.has(pod.metadata!.name!) && !this.#isBroken(pod);
      if (pod.status?.phase === phase && isReady(pod) === ready) return;
      const time = timestamp(Date.now());
      const condition = { type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: time };
      const podIP = pod.status?.podIP ?? `10.0.${this.#addresses >> 8}.${this.#addresses++ & 255}`;
      const status = { phase, podIP, podIPs: [{ ip: podIP }], conditions: [condition] };
      await this.client.patch(
        `${path}/status`,
        { metadata: { uid: pod.metadata!.uid }, status },
        'strategic',
      );
    } catch (error) {
      if (!isNotFound(error)) this.errors.push(`kubelet: ${error}`);
    }
  }

  /** An image with this name never becomes ready. */
  #isBroken(pod: Pod): boolean {
    return pod.spec?.containers.some(({ image }) => image === 'broken') ?? false;
  }
}

/** Time that passes faster than the machine's: what takes minutes in a cluster takes a second in a test. */
function fastClock(speed: number): Clock {
  const begun = Date.now();
  return {
    now: () => begun + (Date.now() - begun) * speed,
    after: (ms, task) => systemClock.after(ms / speed, task),
  };
}

const isReady = (pod: Pod) => pod.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';

/** A pod's template with a label and an image. */
export function template(app: string, image = 'app:1') {
  return { metadata: { labels: { app } }, spec: { containers: [{ name: 'main', image }] } };
}
