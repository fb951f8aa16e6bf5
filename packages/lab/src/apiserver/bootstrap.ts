/** What is there before anybody has made anything: as the real server makes it, on every start, where it is missing. */
import type { Fields } from './object.ts';
import type { Call } from './registry/call.ts';
import type { Catalog } from './registry/catalog.ts';
import { patchObject } from './registry/patches.ts';
import type { Cluster } from './registry/strategy.ts';
import { createObject } from './registry/writes.ts';
import { ApiError } from './status.ts';

export type Endpoint = { readonly address: string; readonly port: number };

type Wanted = {
  readonly apiVersion: string;
  readonly plural: string;
  readonly namespace?: string;
  readonly object: Fields;
};

/**
 * @param endpoint where pods reach the server itself, behind the `kubernetes` service.
 * @param address the first of the services' addresses.
 */
export async function bootstrap(
  cluster: Cluster,
  catalog: Catalog,
  call: Call,
  address: string,
  endpoint: Endpoint,
): Promise<void> {
  for (const { apiVersion, plural, namespace = '', object } of wanted(address, endpoint)) {
    const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
    const resource = catalog.find(group!, version!, plural)!;
    const name = (object.metadata as { name: string }).name;
    try {
      await createObject(cluster, resource, namespace, object, call);
    } catch (error) {
      if (!(error instanceof ApiError && error.reason === 'AlreadyExists')) throw error;
      // The endpoint may be another one than before; what users have changed of the rest is theirs.
      if (plural !== 'endpoints' && plural !== 'endpointslices') continue;
      await patchObject(
        cluster,
        { resource, namespace, name },
        'application/merge-patch+json',
        object,
        call,
        'main',
      );
    }
  }
}

function wanted(address: string, { address: ip, port }: Endpoint): Wanted[] {
  const kubernetes = { name: 'kubernetes', namespace: 'default' };
  const labels = { component: 'apiserver', provider: 'kubernetes' };
  const inDefault = { namespace: 'default' };
  return [
    ...['default', 'kube-system', 'kube-public', 'kube-node-lease'].map((name) => ({
      apiVersion: 'v1',
      plural: 'namespaces',
      object: { metadata: { name } },
    })),
    ...[
      { name: 'system-cluster-critical', value: 2_000_000_000 },
      { name: 'system-node-critical', value: 2_000_001_000 },
    ].map(({ name, value }) => ({
      apiVersion: 'scheduling.k8s.io/v1',
      plural: 'priorityclasses',
      object: {
        metadata: { name },
        value,
        description: `Used for pods that must not be moved from their ${name.split('-')[1]}.`,
      },
    })),
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      plural: 'clusterroles',
      object: {
        metadata: { name: 'cluster-admin' },
        rules: [
          { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
          { nonResourceURLs: ['*'], verbs: ['*'] },
        ],
      },
    },
    {
      apiVersion: 'v1',
      plural: 'services',
      ...inDefault,
      object: {
        metadata: { ...kubernetes, labels },
        spec: {
          clusterIP: address,
          ports: [{ name: 'https', port: 443, targetPort: port, protocol: 'TCP' }],
        },
      },
    },
    {
      apiVersion: 'v1',
      plural: 'endpoints',
      ...inDefault,
      object: {
        metadata: { ...kubernetes, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
        subsets: [{ addresses: [{ ip }], ports: [{ name: 'https', port, protocol: 'TCP' }] }],
      },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      plural: 'endpointslices',
      ...inDefault,
      object: {
        metadata: { ...kubernetes, labels: { 'kubernetes.io/service-name': 'kubernetes' } },
        addressType: 'IPv4',
        endpoints: [{ addresses: [ip], conditions: { ready: true, serving: true, terminating: false } }],
        ports: [{ name: 'https', port, protocol: 'TCP' }],
      },
    },
  ];
}
