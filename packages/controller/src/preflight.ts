import { isNotFound, type KubeClient } from '@enid/kube';
import { GROUP_VERSION } from './network-policy/index.ts';

/** What EKS names for network policies. */
const MINIMUM = 25;
const NEEDED = ['clusternetworkpolicies', 'clusterpolicyendpoints', 'policyendpoints'];

/**
 * Sees whether a cluster can have network policies: its version, and our definitions in it.
 * @throws {Error} that says what is missing and how to get it.
 */
export async function preflight(client: KubeClient): Promise<void> {
  const { major, minor } = await client.get<{ major: string; minor: string }>('/version');
  if (Number(major) === 1 && Number.parseInt(minor, 10) < MINIMUM)
    throw new Error(`Kubernetes ${major}.${minor} is too old for network policies: they need 1.${MINIMUM}`);
  const found = await client
    .get<{ resources: { name: string }[] }>(`/apis/${GROUP_VERSION}`)
    .then(({ resources }) => resources.map(({ name }) => name))
    .catch((error): string[] => {
      if (isNotFound(error)) return [];
      throw error;
    });
  const missing = NEEDED.filter((name) => !found.includes(name));
  if (missing.length > 0)
    throw new Error(
      `the cluster has no ${missing.join(', ')} in ${GROUP_VERSION}: kubectl apply -f deploy/crds, then start again`,
    );
}
