/** The agent in a cluster. Import this file alone: it loads the client of the API server only where there is one. */
import type { Config } from '../config.ts';
import type { Logger } from '../log.ts';
import type { Kubernetes } from './kubernetes.ts';

export type { Kubernetes } from './kubernetes.ts';
export { maxPodsOf } from './max-pods.ts';

/**
 * Begins to follow the API server, in a pod (KUBERNETES_SERVICE_HOST) or with KUBECONFIG. It waits for nothing.
 * @returns undefined outside of a cluster, or when its credentials cannot be read, which is logged.
 */
export async function openKubernetes(
  env: NodeJS.ProcessEnv,
  { nodeName, annotatePodIp }: Pick<Config, 'nodeName' | 'annotatePodIp'>,
  log: Logger,
): Promise<Kubernetes | undefined> {
  if (!env.KUBERNETES_SERVICE_HOST && !env.KUBECONFIG) return undefined;
  const [{ accessOf }, { Kubernetes }] = await Promise.all([
    import('./access.ts'),
    import('./kubernetes.ts'),
  ]);
  try {
    return new Kubernetes({ access: accessOf(env), nodeName, annotatePodIps: annotatePodIp, log });
  } catch (error) {
    log.warn({ err: error }, 'the API server cannot be used; the agent works on without it');
    return undefined;
  }
}
