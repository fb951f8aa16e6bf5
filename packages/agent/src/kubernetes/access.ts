import { type ApiAccess, inClusterAccess, kubeconfigAccess } from '@enid/kube';

/**
 * How the agent reaches the API server: by KUBECONFIG, else by its service account.
 * @throws when what is named cannot be read.
 */
export function accessOf(env: NodeJS.ProcessEnv): ApiAccess {
  return env.KUBECONFIG ? kubeconfigAccess(env.KUBECONFIG) : inClusterAccess(env);
}
