/** The agents of a cluster, each reached by a command in its pod: they listen on nothing that others reach. */
import {
  type ApiAccess,
  type ExecStream,
  exec,
  inClusterAccess,
  KubeClient,
  kubeconfigAccess,
  type List,
  type Pod,
} from '@enid/kube';

const NAMESPACE = 'kube-system';
const SELECTOR = 'k8s-app=aws-node';
const CONTAINER = 'aws-node';

export class ClusterAgents implements Disposable {
  readonly client: KubeClient;
  readonly #access: ApiAccess;

  /** @throws when no cluster is named. */
  constructor(env: NodeJS.ProcessEnv = process.env) {
    this.#access = env.KUBECONFIG ? kubeconfigAccess(env.KUBECONFIG) : inClusterAccess(env);
    this.client = new KubeClient(this.#access);
  }

  /** The nodes where an agent runs, in order. */
  async nodes(): Promise<string[]> {
    return [...(await this.#pods()).keys()].sort();
  }

  /**
   * Runs a command beside a node's agent.
   * @returns what it prints.
   * @throws when no agent runs there, and with what the command complains of.
   */
  async run(node: string, command: readonly string[], stream?: ExecStream): Promise<string> {
    const running = await this.#pods();
    const pod = running.get(node);
    if (!pod) {
      const known = [...running.keys()].sort().join(', ') || 'none';
      throw new Error(`no agent runs on a node "${node}"; nodes with one: ${known}`);
    }
    const target = { namespace: NAMESPACE, pod, container: CONTAINER, command };
    const { stdout, stderr, exitCode } = await exec(this.#access, target, stream);
    if (exitCode === 0) return stdout;
    throw new Error(`${node}: ${stderr.trim().replace(/^enid: /, '') || `exit ${exitCode}`}`);
  }

  [Symbol.dispose](): void {
    this.client.close();
  }

  /** The pods of agents, by node. */
  async #pods(): Promise<Map<string, string>> {
    const path = `/api/v1/namespaces/${NAMESPACE}/pods`;
    const { items } = await this.client.get<List<Pod>>(path, { labelSelector: SELECTOR });
    return new Map(
      items
        .filter(({ status }) => status?.phase === 'Running')
        .map(({ metadata, spec }) => [spec?.nodeName ?? '', metadata!.name!]),
    );
  }
}
