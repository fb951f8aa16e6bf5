/**
 * Pods in which tests run commands. By them a given cluster is asked, of which there are no network namespaces to enter:
 * from a pod, and from a node by a pod that shares the node's network.
 */
import assert from 'node:assert/strict';
import {
  type ApiAccess,
  type ExecResult,
  exec,
  KubeClient,
  kubeconfigAccess,
  type List,
  type Node,
  type Pod,
} from '@enid/kube';
import { until } from '../packages/lab/src/base/until.ts';

const IMAGE = 'nicolaka/netshoot';

export type Station = {
  readonly name: string;
  readonly namespace: string;
  readonly node: string;
  readonly address: string;
  readonly pod: Pod;
};

export type StationSpec = {
  readonly name: string;
  readonly namespace: string;
  /** Where it runs; undefined: anywhere. */
  readonly node?: string;
  /** Whether it stands for the node itself: it has the node's network, and its processes. */
  readonly ofNode?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly ports?: readonly { name: string; protocol: string; containerPort: number }[];
  /** What runs in it, by sh(1); undefined: nothing. */
  readonly script?: string;
  /** Containers that share its network. */
  readonly beside?: readonly object[];
};

export class Stations implements Disposable {
  readonly client: KubeClient;
  readonly #access: ApiAccess;

  /** @param kubeconfig path of the cluster's. */
  constructor(kubeconfig: string) {
    this.#access = kubeconfigAccess(kubeconfig);
    this.client = new KubeClient(this.#access);
  }

  [Symbol.dispose](): void {
    this.client.close();
  }

  /** Names of nodes that take pods. @throws when they are fewer than asked for. */
  async nodes(atLeast: number): Promise<string[]> {
    const { items } = await this.client.get<List<Node>>('/api/v1/nodes');
    const ready = items.filter(
      ({ spec, status }) =>
        !spec?.unschedulable &&
        !spec?.taints?.length &&
        status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
    );
    assert.ok(ready.length >= atLeast, `of the cluster's nodes ${ready.length} take pods: ${atLeast} must`);
    return ready.map(({ metadata }) => metadata!.name!);
  }

  /** Makes a namespace that pods can be made in. */
  async namespace(name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.client.create<object>('/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels },
    });
    await until(
      () => this.client.get(`/api/v1/namespaces/${name}/serviceaccounts/default`).catch(() => undefined),
      Boolean,
      `the service account of ${name}`,
    );
  }

  /** Takes namespaces away, with what is in them, and waits until they are gone. */
  async remove(...namespaces: readonly string[]): Promise<void> {
    for (const name of namespaces)
      await this.client.request('DELETE', `/api/v1/namespaces/${name}`).catch(() => undefined);
    await until(
      () => this.client.get<List<Pod>>('/api/v1/namespaces'),
      ({ items }) => items.every(({ metadata }) => !namespaces.includes(metadata!.name!)),
      `the end of ${namespaces}`,
      120_000,
    );
  }

  /** Makes pods, all at once, and waits until they run. */
  async start(specs: readonly StationSpec[]): Promise<Station[]> {
    for (const {
      name,
      namespace,
      node,
      ofNode = false,
      labels = {},
      ports = [],
      script,
      beside = [],
    } of specs) {
      const command = ['sh', '-c', script ? `${script}\nwait` : 'sleep infinity'];
      await this.client.create<object>(`/api/v1/namespaces/${namespace}/pods`, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, labels },
        spec: {
          ...(node && { nodeName: node }),
          hostNetwork: ofNode,
          hostPID: ofNode,
          terminationGracePeriodSeconds: 0,
          containers: [
            { name: 'net', image: IMAGE, command, ports, securityContext: { privileged: ofNode } },
            ...beside,
          ],
        },
      });
    }
    return Promise.all(
      specs.map(async ({ name, namespace }) => {
        const pod = await until(
          () => this.client.get<Pod>(`/api/v1/namespaces/${namespace}/pods/${name}`),
          ({ status }) => status?.phase === 'Running' && status.podIP !== undefined,
          `pod ${namespace}/${name}`,
          120_000,
        );
        return { name, namespace, node: pod.spec!.nodeName!, address: pod.status!.podIP!, pod };
      }),
    );
  }

  /** Runs a command in a pod to its end, for 30 s at most. */
  run(
    { name, namespace }: Pick<Station, 'name' | 'namespace'>,
    command: readonly string[],
    container = 'net',
  ): Promise<ExecResult> {
    return exec(this.#access, { namespace, pod: name, container, command });
  }

  /** The same. @returns what it prints. @throws with what it complains of when it fails. */
  async output(
    station: Pick<Station, 'name' | 'namespace'>,
    command: readonly string[],
    container?: string,
  ): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(station, command, container);
    assert.equal(exitCode, 0, `${station.name}: ${stderr}${stdout}`);
    return stdout;
  }

  /**
   * Kills processes of a pod at once, from a station of its node.
   * @param words of their command line.
   */
  async kill(ofNode: Station, { metadata }: Pod, words: string): Promise<void> {
    // Control groups are named by the pod, with underscores where systemd keeps them.
    const script = `
      for file in $(grep -lE '${metadata!.uid!.replaceAll('-', '[-_]')}' /proc/[0-9]*/cgroup 2>/dev/null); do
        process=\${file%/cgroup}
        tr '\\0' ' ' <$process/cmdline | grep -q '${words}' && kill -9 \${process#/proc/} && echo killed
      done`;
    const { stdout, stderr } = await this.run(ofNode, ['sh', '-c', script]);
    assert.match(stdout, /killed/, `no process of ${metadata!.name} was killed: ${stderr}`);
  }
}
