import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { NetNamespace, removeCgroup } from '@enid/linux';
import { LabNode } from '../bare/node.ts';
import { LabPods } from '../bare/pod.ts';

import { LabDirectory } from '../base/directory.ts';
import { Machine } from '../base/machine.ts';
import { collect, type Output } from '../base/output.ts';
import { LabProcesses } from '../base/processes.ts';
import { type Host, LAB_RECORD, type LabRecord } from '../base/record.ts';
import { Cluster } from '../cluster/cluster.ts';
import { internetNamespaceName, vpcNamespaceName } from '../fabric/names.ts';
import { LoadBalancers } from '../load-balancers/index.ts';
import { onInternetHost } from './internet-host.ts';

/** The lab is not in the state that was asked for; the message says what to do. */
export class LabError extends Error {
  override readonly name = 'LabError';
}

/** A running lab: a VPC under emulated AWS APIs, and the nodes in it. */
export class Lab {
  readonly directory: LabDirectory;
  readonly nodes: readonly LabNode[];
  /** Of a lab without Kubernetes. */
  readonly pods: LabPods;
  /** Of a lab with Kubernetes. */
  readonly cluster: Cluster | undefined;
  readonly record: LabRecord;

  /** Use {@link Lab.open}, or `labUp` for a new one. */
  private constructor(directory: LabDirectory, host: Host, record: LabRecord) {
    this.directory = directory;
    this.record = record;
    this.nodes = record.nodes.map((node) => new LabNode(node, directory, host));
    this.pods = new LabPods(directory);
    this.cluster = record.kubernetes ? new Cluster(directory, host) : undefined;
  }

  /** @throws {LabError} when there is no such lab, or it was not finished. */
  static open(name: string, host: Host): Lab {
    const directory = new LabDirectory(name);
    const record = directory.read<LabRecord>(LAB_RECORD);
    if (!record) throw new LabError(`there is no lab "${name}": start it with "enid lab up --name ${name}"`);
    return new Lab(directory, host, record);
  }

  /**
   * Takes a lab away, also one that is half built or whose processes were killed. Idempotent.
   * @returns false when there was nothing to take away.
   */
  static async down(name: string): Promise<boolean> {
    const directory = new LabDirectory(name);
    // First of all, so that what is started from now on knows that it comes too late: see `spawn`.
    directory.delete(LAB_RECORD);
    await new LabProcesses(directory).stopAll();
    await LoadBalancers.remove(directory.loadBalancers);
    await LabProcesses.endInCgroup(`/${directory.prefix}`);
    const namespaces = NetNamespace.list().filter((entry) => entry.startsWith(`${directory.prefix}-`));
    await LabProcesses.endInNamespaces(namespaces);
    for (const node of directory.entries('nodes')) {
      await new Machine({ network: '', folder: directory.file('nodes', node, 'machine') }).remove();
    }
    removeCgroup(`/${directory.prefix}`);
    for (const entry of namespaces) NetNamespace.delete(entry);
    const existed = namespaces.length > 0 || LabDirectory.list().includes(name);
    directory.remove();
    return existed;
  }

  /** @param name `node-1`, its instance id, or its DNS name. @throws {LabError} that names those there are. */
  node(name: string): LabNode {
    const node = this.#findNode(name);
    if (!node)
      throw new LabError(`there is no node "${name}"; there are ${this.nodes.map((n) => n.name).join(', ')}`);
    return node;
  }

  /**
   * Runs a command on a node of a cluster, among that machine's files, or in the network namespace of another node, of a
   * pod (`name` or `namespace/name`), of the VPC (`vpc`) or of the internet (`internet`).
   * @throws {LabError} when the target is none of these, or the lab is being taken away.
   */
  spawn(target: string, command: readonly [string, ...string[]], stdio: StdioOptions): ChildProcess {
    const child = this.#start(target, command, stdio);
    // Whoever takes the lab away has perhaps looked for processes already.
    if (this.directory.read(LAB_RECORD)) return child;
    child.once('error', () => {}).kill('SIGKILL');
    throw new LabError(`lab "${this.directory.lab}" is being taken away`);
  }

  #start(target: string, command: readonly [string, ...string[]], stdio: StdioOptions): ChildProcess {
    const machine = this.#machineOf(target);
    if (machine) {
      const [file, ...args] = machine.command(command);
      return spawn(file, args, { stdio });
    }
    using namespace = this.#namespaceOf(target);
    const [file, ...args] = target === 'internet' ? onInternetHost(this.directory, command) : command;
    return namespace.run(() => spawn(file, args, { stdio }));
  }

  /** Runs a command to its end, as {@link spawn} does, and collects what it prints. */
  async run(target: string, command: readonly [string, ...string[]]): Promise<Output> {
    return await collect(this.spawn(target, command, ['ignore', 'pipe', 'pipe']));
  }

  /** {@link pods}, to be changed. @throws {LabError} in a cluster, whose pods are made by its API. */
  get barePods(): LabPods {
    if (!this.cluster) return this.pods;
    throw new LabError(
      `pods of lab "${this.directory.lab}" are made by its Kubernetes API: export KUBECONFIG=${this.cluster.kubeconfigFile}, and use kubectl`,
    );
  }

  #findNode(name: string): LabNode | undefined {
    return this.nodes.find(({ record }) => [record.name, record.instanceId, record.dnsName].includes(name));
  }

  #machineOf(target: string): Machine | undefined {
    const node = this.#findNode(target);
    return node && this.cluster?.node(node.record).machine;
  }

  #namespaceOf(target: string): NetNamespace {
    const node = this.#findNode(target);
    if (node) return NetNamespace.named(node.record.namespace);
    const { prefix } = this.directory;
    if (target === 'vpc') return NetNamespace.named(vpcNamespaceName(prefix, this.record.topology.vpcId));
    if (target === 'internet') return NetNamespace.named(internetNamespaceName(prefix));
    const pod = this.cluster
      ? this.cluster.podNamespace(target, this.record.nodes)
      : this.pods.namespace(target);
    if (pod) return pod;
    const targets = [
      ...this.nodes.map(({ name }) => name),
      ...(this.cluster?.podNames(this.record.nodes) ?? this.pods.list().map(({ name }) => name)),
      'vpc',
      'internet',
    ];
    throw new LabError(`there is no node or pod "${target}"; there are ${targets.join(', ')}`);
  }
}
