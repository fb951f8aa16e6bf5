import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import { startKubelet } from '../kubelet/index.ts';
import type { Credential } from '../pki/index.ts';

/** What the kubelet's process of a node reads when it starts. */
export type KubeletConfig = {
  readonly nodeName: string;
  readonly nodeAddress: string;
  readonly providerID: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly maxPods: number;
  readonly capacity: { readonly cpu: string; readonly memory: string };
  /** The API server as the node reaches it. */
  readonly apiServer: string;
  readonly identity: Credential & { readonly authority: string };
  readonly server: Credential;
  readonly containerdSocket: string;
  readonly cgroupParent: string;
  readonly resolvConf: string;
  readonly images: readonly string[];
};

/** EKS's: the tenth address of the services. */
const CLUSTER_DNS = '10.100.0.10';

/** The kubelet's process of a node. Resolves at SIGTERM; what it started goes on without it. */
export async function runKubelet(file: string): Promise<void> {
  const { apiServer, identity, server, ...config } = JSON.parse(readFileSync(file, 'utf8')) as KubeletConfig;
  const kubelet = await startKubelet({
    ...config,
    api: { server: apiServer, ...identity },
    hostName: config.nodeName,
    clusterDNS: [CLUSTER_DNS],
    clusterDomain: 'cluster.local',
    server: { host: config.nodeAddress, port: 10250, ...server, clientCa: identity.authority },
    knownImagesHint: 'the lab reaches no registry',
    registries: false,
    log: pino(),
  });
  await new Promise((resolve) => process.once('SIGTERM', resolve).once('SIGINT', resolve));
  await kubelet.close();
}
