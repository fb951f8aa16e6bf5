import type { ApiAccess, Clock, Taint } from '@enid/kube';
import type { Logger } from 'pino';

export type KubeletOptions = {
  readonly nodeName: string;
  readonly api: ApiAccess;
  /** containerd's, for CRI and its events. */
  readonly containerdSocket: string;
  /** /var/lib/kubelet when absent: volumes of pods, and what is mounted into containers. */
  readonly rootDirectory?: string;
  /** /var/log/pods when absent. */
  readonly podLogsDirectory?: string;
  /** InternalIP of the node. */
  readonly nodeAddress: string;
  readonly hostName: string;
  /** `aws:///us-east-1a/i-0123456789abcdef0`. */
  readonly providerID?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Put on the node when it is created. */
  readonly taints?: readonly Taint[];
  readonly maxPods: number;
  /** Quantities by resource: cpu, memory, ephemeral-storage ... Also what pods may allocate. */
  readonly capacity: { readonly cpu: string; readonly memory: string; readonly [resource: string]: string };
  /** Addresses of the cluster's DNS service. */
  readonly clusterDNS: readonly string[];
  readonly clusterDomain: string;
  /** The node's resolver configuration, for pods with dnsPolicy Default. /etc/resolv.conf when absent. */
  readonly resolvConf?: string;
  /** Above the cgroups of all containers: `/enid-lab/node-1`. */
  readonly cgroupParent: string;
  readonly server: KubeletServerOptions;
  /** Names of the images that exist, to be shown when one does not. */
  readonly images?: readonly string[];
  /** What to do about a missing image, to be shown with it. */
  readonly knownImagesHint?: string;
  /** Whether registries can be reached. If not, an image that the node does not have is missing at once. */
  readonly registries?: boolean;
  readonly clock?: Clock;
  readonly log?: Logger;
};

export type KubeletServerOptions = {
  readonly host: string;
  /** 10250; 0 takes a free one, which is then the node's daemon endpoint. */
  readonly port: number;
  /** PEM, as the key. */
  readonly certificate: string;
  readonly key: string;
  /** PEM: whoever has a certificate of this authority may do everything. */
  readonly clientCa: string;
};
