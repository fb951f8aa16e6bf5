import type { Clock, EventRecorder, KubeClient, Pod } from '@enid/kube';
import type { Logger } from 'pino';
import type { CriClient } from '../cri/client.ts';
import type { DnsConfig } from '../cri/types.ts';
import type { EnvironmentSources } from '../env/environment.ts';
import type { Images } from '../images/images.ts';
import type { ObjectCache } from '../objects/object-cache.ts';
import { fieldPathOf, type KindedContainer } from '../pod.ts';
import type { Prober } from '../probes/prober.ts';
import type { ClusterDns } from '../runtime/dns.ts';
import type { Paths } from '../runtime/paths.ts';
import type { StatusWriter } from '../status/status-writer.ts';
import type { Tokens } from '../volumes/tokens.ts';
import type { Volumes } from '../volumes/volumes.ts';
import type { Backoff } from './backoff.ts';

/** What the pods of a node share. */
export type PodContext = {
  readonly client: KubeClient;
  readonly cri: CriClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly events: EventRecorder;
  readonly images: Images;
  readonly volumes: Volumes;
  readonly tokens: Tokens;
  readonly objects: ObjectCache;
  readonly environment: EnvironmentSources;
  readonly prober: Prober;
  readonly statuses: StatusWriter;
  readonly paths: Paths;
  readonly crashes: Backoff;
  readonly pulls: Backoff;
  readonly hostIPs: readonly string[];
  readonly clusterDns: ClusterDns;
  /** The node's resolver configuration, as it is now. */
  readonly hostDns: () => DnsConfig;
  /** In bytes. */
  readonly nodeMemory: number;
  readonly cgroupParent: string;
  /** Whether a container or sandbox is known to have ended, which CRI may not know yet. */
  readonly hasExited: (id: string) => boolean;
  /** Why the runtime cannot give pods a network; undefined when it can. */
  readonly networkProblem: () => string | undefined;
};

/** Tells users of a pod what happened to it. */
export function tell(
  { events }: Pick<PodContext, 'events'>,
  pod: Pod,
  type: 'Normal' | 'Warning',
  reason: string,
  message: string,
  container?: KindedContainer,
): void {
  const about = { ...pod, apiVersion: 'v1', kind: 'Pod' };
  events.event(about, type, reason, message, container && fieldPathOf(container));
}
