import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { EC2Client } from '@aws-sdk/client-ec2';
import { NetNamespace } from '@enid/linux';
import { instanceNamespaceName, internetNamespaceName, vpcNamespaceName } from '../fabric/names.ts';
import type { CloudReady } from '../lab-cloud.ts';
import { CREDENTIALS } from './credentials.ts';
import { LabDirectory } from './directory.ts';
import { type Host, LabNode, type NodeRecord } from './node.ts';
import { collect, type Output } from './output.ts';
import { LabPods } from './pod.ts';
import { LabProcesses } from './processes.ts';
import { createVpc, runInstance, type Topology } from './topology.ts';

export type LabOptions = {
  readonly name: string;
  /** How many nodes, from 1. */
  readonly nodes: number;
  /** An EC2 instance type, such as `t3.medium`. */
  readonly instanceType: string;
  /** Environment of every agent. */
  readonly env: Readonly<Record<string, string>>;
};

/** Told what is being done, a line at a time. */
export type Progress = (line: string) => void;

type LabRecord = {
  readonly ec2Endpoint: string;
  readonly region: string;
  readonly topology: Topology;
  readonly nodes: readonly NodeRecord[];
};

const CLOUD = 'cloud';

/** The lab is not in the state that was asked for; the message says what to do. */
export class LabError extends Error {
  override readonly name = 'LabError';
}

/** A running lab: a VPC under emulated AWS APIs, and the nodes in it. */
export class Lab {
  readonly directory: LabDirectory;
  readonly nodes: readonly LabNode[];
  readonly pods: LabPods;
  readonly record: LabRecord;

  readonly #host: Host;

  private constructor(directory: LabDirectory, host: Host, record: LabRecord) {
    this.#host = host;
    this.directory = directory;
    this.record = record;
    this.nodes = record.nodes.map((node) => new LabNode(node, directory, host));
    this.pods = new LabPods(directory);
  }

  /**
   * Builds a lab. When it resolves, every node is ready for pods.
   * @throws {LabError} when a lab of that name exists; whatever else fails takes down what was built by then.
   */
  static async up(options: LabOptions, host: Host, progress: Progress): Promise<Lab> {
    const directory = new LabDirectory(options.name);
    if (!directory.create()) {
      throw new LabError(
        `lab "${options.name}" exists already: end it with "enid lab down --name ${options.name}", or choose another --name`,
      );
    }
    try {
      progress('starting the AWS APIs of the lab');
      const processes = new LabProcesses(directory);
      const { child } = processes.start({
        name: CLOUD,
        command: [...host.enid, 'lab', 'cloud', '--name', options.name],
        env: { PATH: process.env.PATH },
      });
      const cloud = (await processes.firstMessage(child, CLOUD)) as CloudReady;
      const ec2 = ec2Client(cloud);

      progress('building the VPC: subnets in two zones, route tables, internet and NAT gateways');
      const topology = await createVpc(ec2, options.name, cloud.region);

      const nodes: NodeRecord[] = [];
      for (let index = 0; index < options.nodes; index++) {
        const subnet = topology.subnets[index % topology.subnets.length]!;
        const name = `node-${index + 1}`;
        progress(`starting ${name}, a ${options.instanceType} in ${subnet.name} (${subnet.cidr})`);
        const instance = await runInstance(ec2, topology, {
          lab: options.name,
          name,
          subnet,
          instanceType: options.instanceType,
        });
        nodes.push({
          name,
          ...instance,
          subnet: subnet.name,
          namespace: instanceNamespaceName(directory.prefix, instance.instanceId),
          env: options.env,
        });
      }
      const record: LabRecord = { ...cloud, topology, nodes };
      directory.write(record, 'lab.json');
      const lab = new Lab(directory, host, record);
      progress('starting the agents');
      await Promise.all(lab.nodes.map((node) => node.startAgent()));
      return lab;
    } catch (error) {
      await Lab.down(options.name);
      throw error;
    }
  }

  /** @throws {LabError} when there is no such lab, or it was not finished. */
  static open(name: string, host: Host): Lab {
    const directory = new LabDirectory(name);
    const record = directory.read<LabRecord>('lab.json');
    if (!record) throw new LabError(`there is no lab "${name}": start it with "enid lab up --name ${name}"`);
    return new Lab(directory, host, record);
  }

  /**
   * Takes a lab away, also one that is half built or whose processes were killed. Idempotent.
   * @returns false when there was nothing to take away.
   */
  static async down(name: string): Promise<boolean> {
    const directory = new LabDirectory(name);
    await new LabProcesses(directory).stopAll();
    const namespaces = NetNamespace.list().filter((entry) => entry.startsWith(`${directory.prefix}-`));
    await LabProcesses.endInNamespaces(namespaces);
    for (const entry of namespaces) NetNamespace.delete(entry);
    const existed = namespaces.length > 0 || LabDirectory.list().includes(name);
    directory.remove();
    return existed;
  }

  ec2(): EC2Client {
    return ec2Client(this.record);
  }

  /** @param name `node-1`, its instance id, or its DNS name. @throws {LabError} that names those there are. */
  node(name: string): LabNode {
    const node = this.nodes.find(({ record }) =>
      [record.name, record.instanceId, record.dnsName].includes(name),
    );
    if (!node)
      throw new LabError(`there is no node "${name}"; there are ${this.nodes.map((n) => n.name).join(', ')}`);
    return node;
  }

  /**
   * Runs a command in the network namespace of a node, of a pod (`name` or `namespace/name`), of the VPC (`vpc`)
   * or of the internet (`internet`).
   * @throws {LabError} when the target is none of these.
   */
  spawn(target: string, command: readonly string[], stdio: StdioOptions): ChildProcess {
    using namespace = NetNamespace.named(this.#namespaceOf(target));
    const [file, ...args] = command;
    return namespace.run(() => spawn(file!, args, { stdio }));
  }

  /** Runs a command to its end, as {@link spawn} does, and collects what it prints. */
  async run(target: string, command: readonly string[]): Promise<Output> {
    return await collect(this.spawn(target, command, ['ignore', 'pipe', 'pipe']));
  }

  /** Starts an HTTP server on a node's own network, as a host-network pod would; it tells who asks and who answers. */
  async startWhoami(node: LabNode): Promise<void> {
    const processes = new LabProcesses(this.directory);
    const name = `whoami-${node.name}`;
    using namespace = node.openNamespace();
    const { child } = processes.start({
      name,
      command: [...this.#host.enid, 'lab', 'whoami', '--port', '8080'],
      env: { PATH: process.env.PATH },
      namespace,
    });
    await processes.firstMessage(child, name);
  }

  #namespaceOf(target: string): string {
    const node = this.nodes.find(({ record }) =>
      [record.name, record.instanceId, record.dnsName].includes(target),
    );
    const pod = this.pods.find(target);
    const { prefix } = this.directory;
    if (node) return node.record.namespace;
    if (pod) return pod.netns;
    if (target === 'vpc') return vpcNamespaceName(prefix, this.record.topology.vpcId);
    if (target === 'internet') return internetNamespaceName(prefix);
    const targets = [
      ...this.nodes.map(({ name }) => name),
      ...this.pods.list().map(({ name }) => name),
      'vpc',
      'internet',
    ];
    throw new LabError(`there is no node or pod "${target}"; there are ${targets.join(', ')}`);
  }
}

function ec2Client(cloud: { ec2Endpoint: string; region: string }): EC2Client {
  return new EC2Client({ endpoint: cloud.ec2Endpoint, region: cloud.region, credentials: CREDENTIALS });
}
