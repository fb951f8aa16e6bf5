import { type DaemonSet, isNotFound, type KubeClient, type List, type Node } from '@enid/kube';
import { GROUP_VERSION as LOAD_BALANCER_VERSION } from './load-balancing/targets/objects.ts';
import { GROUP_VERSION } from './network-policy/index.ts';

/** What EKS names for network policies: the minor version of Kubernetes, and the versions of the others. */
const KUBERNETES = 25;
const KERNEL = [5, 10] as const;
const VPC_CNI = [1, 14] as const;
const NEEDED_BY_LOAD_BALANCERS = ['ingressclassparams', 'targetgroupbindings'];
const NEEDED = ['clusternetworkpolicies', 'clusterpolicyendpoints', 'policyendpoints'];

/**
 * Sees whether a cluster can have network policies, and load balancers if they are wanted: its version, and our definitions
 * in it.
 * @throws {Error} that says what is missing and how to get it.
 */
export async function preflight(
  client: KubeClient,
  { loadBalancers = false }: { readonly loadBalancers?: boolean } = {},
): Promise<void> {
  const { major, minor } = await client.get<{ major: string; minor: string }>('/version');
  if (Number(major) === 1 && Number.parseInt(minor, 10) < KUBERNETES)
    throw new Error(
      `Kubernetes ${major}.${minor} is too old for network policies: they need 1.${KUBERNETES}`,
    );
  await need(client, GROUP_VERSION, NEEDED);
  if (loadBalancers) await need(client, LOAD_BALANCER_VERSION, NEEDED_BY_LOAD_BALANCERS);
}

async function need(client: KubeClient, version: string, kinds: readonly string[]): Promise<void> {
  const found = await client
    .get<{ resources: { name: string }[] }>(`/apis/${version}`)
    .then(({ resources }) => resources.map(({ name }) => name))
    .catch((error): string[] => {
      if (isNotFound(error)) return [];
      throw error;
    });
  const missing = kinds.filter((name) => !found.includes(name));
  if (missing.length > 0)
    throw new Error(
      `the cluster has no ${missing.join(', ')} in ${version}: kubectl apply -f deploy/crds, then start again`,
    );
}

/** Why policies may not be in force on some nodes, a sentence each: it is no reason to resolve them for none. */
export async function shortcomings(client: KubeClient): Promise<string[]> {
  const look = <T>(path: string, read: (found: T) => string[]) =>
    client.get<T>(path).then(read, (error: Error) => {
      return isNotFound(error) ? [] : [`${path} could not be looked at: ${error.message}`];
    });
  const [nodes, agents] = await Promise.all([
    look<List<Node>>('/api/v1/nodes', ({ items }) => items.flatMap(ofNode)),
    look<DaemonSet>('/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node', ofAgents),
  ]);
  return [...nodes, ...agents];
}

function ofNode({ metadata, status }: Node): string[] {
  const version = status?.nodeInfo?.kernelVersion ?? '';
  return isOlder(version, KERNEL)
    ? [
        `node ${metadata?.name} has Linux ${version}, where no policy is enforced: it takes ${KERNEL.join('.')}`,
      ]
    : [];
}

function ofAgents({ spec }: DaemonSet): string[] {
  const container = spec?.template.spec?.containers.find(({ name }) => name === 'aws-node');
  const [, amazons] = /amazon-k8s-cni:v?([\d.]+)/.exec(container?.image ?? '') ?? [];
  if (amazons)
    return isOlder(amazons, VPC_CNI)
      ? [`aws-node is Amazon's VPC CNI ${amazons}, which enforces no policy: it takes ${VPC_CNI.join('.')}`]
      : [];
  const isOn = container?.env?.some(
    ({ name, value }) => name === 'ENABLE_NETWORK_POLICY' && value === 'true',
  );
  return isOn ? [] : ['aws-node enforces no policy: set ENABLE_NETWORK_POLICY=true'];
}

function isOlder(version: string, [major, minor]: readonly [number, number]): boolean {
  const [is, its] = /^(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? [];
  return is !== undefined && (is < major || (is === major && its! < minor));
}
