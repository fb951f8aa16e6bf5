/** The address maps of a cluster's nodes, each asked of its own agent: those listen on no port that others reach. */
import type { AddressMap } from '@enid/agent';
import { exec, inClusterAccess, KubeClient, kubeconfigAccess, type List } from '@enid/kube';

const NAMESPACE = 'kube-system';
const SELECTOR = 'k8s-app=aws-node';
const CONTAINER = 'aws-node';

type Pod = {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly nodeName?: string };
  readonly status?: { readonly phase?: string };
};

/**
 * What reads the maps.
 * @param nodes names; every node that runs an agent when absent.
 * @throws when no cluster is named, or an agent cannot be asked.
 */
export function clusterMaps(
  nodes: readonly string[] | undefined,
  env: NodeJS.ProcessEnv = process.env,
): () => Promise<AddressMap[]> {
  const access = env.KUBECONFIG ? kubeconfigAccess(env.KUBECONFIG) : inClusterAccess(env);
  const client = new KubeClient(access);
  return async () => {
    const path = `/api/v1/namespaces/${NAMESPACE}/pods`;
    const { items } = await client.get<List<Pod>>(path, { labelSelector: SELECTOR });
    client.close();
    const running = new Map(
      items
        .filter(({ status }) => status?.phase === 'Running')
        .map(({ metadata, spec }) => [spec.nodeName ?? '', metadata.name]),
    );
    const wanted = nodes ?? [...running.keys()].sort();
    return Promise.all(
      wanted.map(async (node) => {
        const pod = running.get(node);
        if (!pod) {
          const known = [...running.keys()].sort().join(', ') || 'none';
          throw new Error(`no agent runs on a node "${node}"; nodes with one: ${known}`);
        }
        const command = ['enid', 'ips', '--json'];
        const result = await exec(access, { namespace: NAMESPACE, pod, container: CONTAINER, command });
        if (result.exitCode !== 0)
          throw new Error(`${node}: ${result.stderr.trim() || `exit ${result.exitCode}`}`);
        return JSON.parse(result.stdout) as AddressMap;
      }),
    );
  };
}
