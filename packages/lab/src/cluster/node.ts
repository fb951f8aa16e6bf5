import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { processesInCgroup, removeCgroup } from '@enid/linux';
import type { LabDirectory } from '../base/directory.ts';
import { Machine } from '../base/machine.ts';
import { LabProcesses, release } from '../base/processes.ts';
import type { Host, NodeRecord } from '../base/record.ts';
import { until } from '../base/until.ts';
import {
  containerdCommand,
  containerdConfig,
  prepareContainerdRoot,
  removeContainerdRoot,
} from '../containerd/index.ts';
import { type PreparedImages, SANDBOX_IMAGE } from '../images/index.ts';
import { INTERNET_SERVER } from '../internet/addresses.ts';
import { podCgroup } from '../kubelet/runtime/sandbox.ts';
import type { Pki } from '../pki/index.ts';
import type { KubeletConfig } from './kubelet.ts';

/** Plugins that a node's image brings, beside ours, which aws-node installs. */
const NODE_PLUGINS = ['loopback', 'portmap'];
const POD_LOGS = '/var/log/pods';
const CONTAINERD_SOCKET = '/run/containerd/containerd.sock';
const READY_TIMEOUT = 20_000;

/** What the kubelet tells the cluster of its instance. */
type InstanceFacts = Pick<KubeletConfig, 'providerID' | 'labels' | 'maxPods' | 'capacity' | 'apiServer'>;

/** What a node of a cluster is made of beside its EC2 instance. */
export type ClusterNodeParts = {
  readonly directory: LabDirectory;
  readonly host: Host;
  readonly record: NodeRecord;
};

/** A node of a cluster: a machine with containerd and a kubelet in it. */
export class ClusterNode {
  readonly record: NodeRecord;
  readonly machine: Machine;
  readonly #directory: LabDirectory;
  readonly #processes: LabProcesses;
  readonly #host: Host;

  constructor({ directory, host, record }: ClusterNodeParts) {
    this.record = record;
    this.#directory = directory;
    this.#processes = new LabProcesses(directory);
    this.#host = host;
    this.machine = new Machine({ network: record.namespace, folder: this.#file('machine') });
  }

  /** Above the control groups of all its containers. */
  get cgroup(): string {
    return `/${this.#directory.prefix}/${this.record.name}`;
  }

  /** Whether containerd and the kubelet run. */
  get isRunning(): boolean {
    return [this.#containerd, this.#kubelet].every((name) => this.#processes.get(name) !== undefined);
  }

  /** Makes the machine and what its programs find in it. */
  async create(images: PreparedImages, pki: Pki, instance: InstanceFacts): Promise<void> {
    const { dnsName, address } = this.record;
    const folders = ['kubelet', 'containerd', 'cni'].map((name) => this.#file(name));
    for (const folder of folders) mkdirSync(folder, { recursive: true, mode: 0o700 });
    const [kubelet, containerd, cni] = folders as [string, string, string];
    await prepareContainerdRoot({ prepared: images, root: containerd });
    for (const plugin of NODE_PLUGINS) cpSync(`${this.#host.cniBin[1]}/${plugin}`, `${cni}/${plugin}`);
    writeFileSync(
      `${kubelet}/containerd.toml`,
      containerdConfig({
        root: '/var/lib/containerd',
        state: '/run/containerd',
        socket: CONTAINERD_SOCKET,
        sandboxImage: SANDBOX_IMAGE,
        cniBin: '/opt/cni/bin',
        cniConf: '/etc/cni/net.d',
      }),
    );
    const client = await pki.authority.issueClient(`system:node:${dnsName}`, ['system:nodes']);
    const server = await pki.authority.issueServer([dnsName, address]);
    const authority = pki.authority.certificate;
    const kubeletConfig: KubeletConfig = {
      ...instance,
      nodeName: dnsName,
      nodeAddress: address,
      resolvConf: '/etc/resolv.conf',
      containerdSocket: CONTAINERD_SOCKET,
      cgroupParent: this.cgroup,
      images: images.images.flatMap(({ names }) => names),
      identity: { ...client, authority },
      server,
    };
    writeFileSync(`${kubelet}/enid-kubelet.json`, JSON.stringify(kubeletConfig), { mode: 0o600 });
    await this.machine.create({
      hostName: dnsName,
      folders: ['/etc/cni/net.d', POD_LOGS, '/run/containerd'],
      files: { '/etc/resolv.conf': `nameserver ${INTERNET_SERVER}\n` },
      binds: {
        '/var/lib/kubelet': kubelet,
        '/var/lib/containerd': containerd,
        '/opt/cni/bin': cni,
        [images.folder]: images.folder,
      },
    });
  }

  /** Starts what does not run. The node is ready when its DaemonSets have made it so, which is not waited for. */
  async start(): Promise<void> {
    if (!this.#processes.get(this.#containerd)) {
      const { command, env } = containerdCommand('/var/lib/kubelet/containerd.toml');
      this.#start(this.#containerd, command, env);
    }
    if (!this.#processes.get(this.#kubelet)) {
      this.#start(this.#kubelet, [
        ...this.#host.enid,
        'lab',
        'kubelet',
        '/var/lib/kubelet/enid-kubelet.json',
      ]);
    }
    await until(
      () => this.isRunning,
      (running) => running,
      `containerd and the kubelet of ${this.record.name}`,
      READY_TIMEOUT,
    );
  }

  #start(
    name: string,
    command: readonly [string, ...string[]],
    env: Readonly<Record<string, string>> = {},
  ): void {
    const { child } = this.#processes.start({
      name,
      command: this.machine.command(command),
      env: { PATH: process.env.PATH, ...env },
    });
    release(child);
  }

  /** Ends containerd and the kubelet, as an abrupt stop of the node would, with all containers on it. */
  async stop(): Promise<void> {
    for (const name of [this.#kubelet, this.#containerd]) await this.#processes.stop(name, 'SIGKILL');
    await LabProcesses.endInCgroup(this.cgroup);
    await LabProcesses.endInNamespaces([this.record.namespace]);
    removeCgroup(this.cgroup);
  }

  /** Takes the machine away after {@link stop}. */
  async remove(): Promise<void> {
    await this.stop();
    await this.machine.remove();
    await removeContainerdRoot(this.#file('containerd'));
  }

  /** The pods that are on it, by the logs that the kubelet keeps of them. */
  pods(): { namespace: string; name: string; uid: string }[] {
    return this.machine.list(POD_LOGS).flatMap((entry) => {
      const [namespace, name, uid] = entry.split('_');
      return namespace && name && uid ? [{ namespace, name, uid }] : [];
    });
  }

  /** One of the processes of a pod. */
  processOf(uid: string): number | undefined {
    return processesInCgroup(podCgroup(this.cgroup, uid))[0];
  }

  /** The process of the node agent, which its DaemonSet keeps here. */
  get agentPid(): number | undefined {
    return this.pods()
      .filter(({ namespace, name }) => namespace === 'kube-system' && name.startsWith('aws-node-'))
      .flatMap(({ uid }) => processesInCgroup(podCgroup(this.cgroup, uid)))
      .find((pid) => commandOf(pid).includes('agent'));
  }

  logTail(what: 'containerd' | 'kubelet'): string {
    return this.#processes.logTail(what === 'kubelet' ? this.#kubelet : this.#containerd);
  }

  get #containerd(): string {
    return `containerd-${this.record.name}`;
  }

  get #kubelet(): string {
    return `kubelet-${this.record.name}`;
  }

  #file(name: string): string {
    return this.#directory.file('nodes', this.record.name, name);
  }
}

function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return []; // It has ended meanwhile.
  }
}
