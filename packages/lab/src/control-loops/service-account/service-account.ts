import { type ConfigMap, isAlreadyExists, type KubeObject, keyOf } from '@enid/kube';
import type { Cluster, Loop } from '../shared/cluster.ts';
import { reconciler } from '../shared/loop.ts';

/** Gives each namespace what its pods need to speak to the API server: an account, and the server's CA. */
export function startServiceAccounts(cluster: Cluster, ca: string | undefined): Loop {
  const { state, client } = cluster;
  const loop = reconciler(cluster, 'service-account', reconcile);
  const addNamespace = (object: KubeObject) => loop.queue.add(object.metadata?.namespace ?? '');
  loop.on(
    state.namespaces.onChange((old, now) => loop.queue.add(keyOf((now ?? old)!))),
    state.serviceAccounts.onChange((old, now) => addNamespace((now ?? old)!)),
    state.rootCertificates.onChange((old, now) => addNamespace((now ?? old)!)),
  );
  return loop;

  async function reconcile(namespace: string): Promise<void> {
    if (state.namespaces.get(namespace)?.status?.phase !== 'Active') return;
    if (!state.serviceAccounts.get(`${namespace}/default`)) {
      await create(`/api/v1/namespaces/${namespace}/serviceaccounts`, {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: 'default', namespace },
      });
    }
    if (ca !== undefined) await publishCertificate(namespace, ca);
  }

  async function publishCertificate(namespace: string, ca: string): Promise<void> {
    const name = 'kube-root-ca.crt';
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const data = { 'ca.crt': ca };
    const found = state.rootCertificates.get(`${namespace}/${name}`);
    if (!found) {
      const annotations = {
        'kubernetes.io/description':
          'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc.',
      };
      const map: ConfigMap = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name, namespace, annotations },
        data,
      };
      await create(path, map);
    } else if (found.data?.['ca.crt'] !== ca) await client.patch(`${path}/${name}`, { data });
  }

  async function create(path: string, object: KubeObject): Promise<void> {
    try {
      await client.create(path, object);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}
