/** Where the kubelet keeps what on the node. */
import { join } from 'node:path';
import type { Pod } from '@enid/kube';
import { nameOf, namespaceOf, uidOf } from '../pod.ts';

export class Paths {
  readonly #root: string;
  readonly #logs: string;

  constructor(rootDirectory = '/var/lib/kubelet', podLogsDirectory = '/var/log/pods') {
    this.#root = rootDirectory;
    this.#logs = podLogsDirectory;
  }

  /** The directories of all pods, by uid. */
  get pods(): string {
    return join(this.#root, 'pods');
  }

  pod(uid: string): string {
    return join(this.pods, uid);
  }

  volume(uid: string, plugin: string, name: string): string {
    return join(this.pod(uid), 'volumes', `kubernetes.io~${plugin}`, name);
  }

  etcHosts(uid: string): string {
    return join(this.pod(uid), 'etc-hosts');
  }

  /** What a container is to say when it ends: a file for each time that it runs. */
  terminationMessage(uid: string, container: string, attempt: number): string {
    return join(this.pod(uid), 'containers', container, `${attempt}`);
  }

  get allLogs(): string {
    return this.#logs;
  }

  logs(pod: Pod): string {
    return join(this.#logs, `${namespaceOf(pod)}_${nameOf(pod)}_${uidOf(pod)}`);
  }

  /** Below {@link logs}. */
  log(container: string, attempt: number): string {
    return join(container, `${attempt}.log`);
  }
}
