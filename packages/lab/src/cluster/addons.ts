/** What EKS adds to a cluster: aws-node, kube-proxy and CoreDNS, from the manifests that anybody can apply. */
import { readFileSync } from 'node:fs';
import { applyObjects, type KubeClient } from '@enid/kube';
import { parseAllDocuments } from 'yaml';
import { until } from '../base/until.ts';
import { NODE_EC2_ENDPOINT } from '../cloud/node-endpoints.ts';

const DEFINITIONS = {
  '/apis/networking.k8s.aws/v1alpha1': [
    'clusternetworkpolicies',
    'clusterpolicyendpoints',
    'policyendpoints',
  ],
  '/apis/elbv2.k8s.aws/v1beta1': ['ingressclassparams', 'targetgroupbindings'],
};
const MANIFESTS = [
  ...Object.values(DEFINITIONS)
    .flat()
    .map((plural) => `deploy/crds/${plural}.yaml`),
  'deploy/ingressclass.yaml',
  'deploy/aws-node.yaml',
  'deploy/kube-proxy.yaml',
  'packages/lab/src/cluster/coredns.yaml',
];

type Variable = { name: string; value: string };
type Manifest = {
  kind: string;
  metadata: { name: string };
  spec?: { template?: { spec?: { containers?: { name: string; env?: Variable[] }[] } } };
};

/**
 * @param root where this checkout stands.
 * @param env of aws-node, beyond what its manifest says.
 * @param apiServer address of the API server in the VPC: who makes services work cannot be reached by one.
 */
export async function applyAddons(
  client: KubeClient,
  options: {
    root: string;
    lab: string;
    env: Readonly<Record<string, string>>;
    apiServer: string;
  },
): Promise<void> {
  const added: Record<string, Record<string, string>> = {
    'aws-node': { AWS_ENDPOINT_URL_EC2: NODE_EC2_ENDPOINT, CLUSTER_NAME: options.lab, ...options.env },
    'kube-proxy': { KUBERNETES_SERVICE_HOST: options.apiServer, KUBERNETES_SERVICE_PORT: '443' },
  };
  for (const file of MANIFESTS) {
    const manifests = parseAllDocuments(readFileSync(`${options.root}/${file}`, 'utf8')).map(
      (document) => document.toJS() as Manifest,
    );
    for (const { spec } of manifests) {
      for (const container of spec?.template?.spec?.containers ?? []) {
        const variables = added[container.name] ?? {};
        const others = (container.env ?? []).filter(({ name }) => !(name in variables));
        container.env = [...others, ...Object.entries(variables).map(([name, value]) => ({ name, value }))];
      }
    }
    await applyObjects(client, manifests, 'eks');
  }
  for (const [path, plurals] of Object.entries(DEFINITIONS)) {
    await until(
      () => client.get<{ resources: { name: string }[] }>(path).catch(() => ({ resources: [] })),
      ({ resources }) => plurals.every((plural) => resources.some(({ name }) => name === plural)),
      `the definitions of ${plurals.join(', ')}`,
    );
  }
}
