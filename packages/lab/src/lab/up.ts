import type { EC2Client } from '@aws-sdk/client-ec2';
import { LabDirectory } from '../base/directory.ts';
import { LabProcesses } from '../base/processes.ts';
import { type Host, LAB_RECORD, type LabRecord, type NodeRecord } from '../base/record.ts';
import { Cluster, clusterImages } from '../cluster/cluster.ts';
import { instanceNamespaceName } from '../fabric/names.ts';
import type { CloudReady } from '../lab-cloud.ts';
import { claimLab } from './claim.ts';
import { ec2Client } from './ec2.ts';
import { createInternetHost } from './internet-host.ts';
import { Lab, LabError } from './lab.ts';
import { createVpc, runInstance, terminateInstance } from './topology.ts';

export type LabOptions = {
  readonly name: string;
  /** How many nodes, from 1. */
  readonly nodes: number;
  /** An EC2 instance type, such as `t3.medium`. */
  readonly instanceType: string;
  /** Environment of every agent. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether it is a cluster; otherwise its nodes have agents alone, and pods are network namespaces. */
  readonly kubernetes: boolean;
};

/** Told what is being done, a line at a time. */
export type Progress = (line: string) => void;

/**
 * Builds a lab. When it resolves, every node is ready for pods.
 * @throws {LabError} when a lab of that name exists; whatever else fails takes down what was built by then.
 */
export async function labUp(options: LabOptions, host: Host, progress: Progress): Promise<Lab> {
  const { name, nodes: count, instanceType, env, kubernetes } = options;
  const directory = new LabDirectory(name);
  if (!directory.create()) {
    throw new LabError(
      `lab "${name}" exists already: end it with "enid lab down --name ${name}", or choose another --name`,
    );
  }
  try {
    const images = kubernetes ? clusterImages(progress) : undefined;
    images?.catch(() => {}); // It is waited for when nodes need it.
    progress('starting the AWS APIs of the lab');
    const cloud = await startCloud(directory, host);
    await createInternetHost(directory);
    const ec2 = ec2Client(cloud);

    progress('building the VPC: subnets in two zones, route tables, internet and NAT gateways');
    const topology = await createVpc(ec2, name, cloud.region);
    const empty: LabRecord = { ...cloud, topology, nodes: [], kubernetes, env };
    const cluster = kubernetes ? new Cluster(directory, host) : undefined;
    if (cluster) progress('starting the control plane');
    const launched = Array.from({ length: count }, (_, index) =>
      launch(directory, empty, ec2, { instanceType, number: index + 1 }, progress),
    );
    const [nodes] = await Promise.all([Promise.all(launched), cluster?.create(empty, env)]);
    directory.write({ ...empty, nodes }, LAB_RECORD);
    const lab = Lab.open(name, host);
    if (cluster) {
      const prepared = await images!;
      progress('starting containerd and a kubelet on every node');
      await Promise.all(nodes.map((node) => cluster.join(node, prepared)));
      progress('waiting for the nodes to be ready');
      await cluster.ready(nodes);
    } else {
      progress('starting the agents');
      await Promise.all(lab.nodes.map((node) => node.startAgent()));
    }
    return lab;
  } catch (error) {
    await Lab.down(name);
    throw error;
  }
}

/** Starts an EC2 instance for a node. */
async function launch(
  directory: LabDirectory,
  { topology, env }: LabRecord,
  ec2: EC2Client,
  { instanceType, number }: { instanceType: string; number: number },
  progress: Progress,
): Promise<NodeRecord> {
  const subnet = topology.subnets[(number - 1) % topology.subnets.length]!;
  const name = `node-${number}`;
  progress(`starting ${name}, a ${instanceType} in ${subnet.name} (${subnet.cidr})`);
  const instance = await runInstance(ec2, topology, { lab: directory.lab, name, subnet, instanceType });
  return {
    name,
    ...instance,
    instanceType,
    subnet: subnet.name,
    availabilityZone: subnet.availabilityZone,
    namespace: instanceNamespaceName(directory.prefix, instance.instanceId),
    env,
  };
}

/**
 * Adds a node to a cluster. When it resolves, the node is ready for pods.
 * @throws {LabError} when the lab is no cluster, or another process works on it.
 */
export async function addNode(
  name: string,
  instanceType: string,
  host: Host,
  progress: Progress,
): Promise<NodeRecord> {
  using _claim = await claimLab(name);
  const lab = Lab.open(name, host);
  const cluster = clusterOf(lab);
  const images = await clusterImages(progress);
  const number = 1 + Math.max(0, ...lab.record.nodes.map((node) => Number(node.name.split('-')[1])));
  const node = await launch(
    lab.directory,
    lab.record,
    ec2Client(lab.record),
    { instanceType, number },
    progress,
  );
  lab.directory.write({ ...lab.record, nodes: [...lab.record.nodes, node] }, LAB_RECORD);
  progress('starting containerd and a kubelet on it');
  await cluster.join(node, images);
  await cluster.nodesReady([node]);
  return node;
}

/**
 * Takes a node out of a cluster and ends its instance. Draining it is the caller's to do before, as on EKS.
 * @param node as {@link Lab.node} takes it.
 * @throws {LabError} when there is no such node, the lab is no cluster, or another process works on it.
 */
export async function removeNode(name: string, node: string, host: Host): Promise<NodeRecord> {
  using _claim = await claimLab(name);
  const lab = Lab.open(name, host);
  const cluster = clusterOf(lab);
  const { record } = lab.node(node);
  await cluster.node(record).remove();
  await terminateInstance(ec2Client(lab.record), record.instanceId);
  await cluster.forget(record);
  lab.directory.write(
    { ...lab.record, nodes: lab.record.nodes.filter(({ name: each }) => each !== record.name) },
    LAB_RECORD,
  );
  return record;
}

/**
 * Ends all that runs on a node at once, as if its power failed; {@link labResume} starts it again.
 * @throws {LabError} when there is no such node, or the lab is no cluster.
 */
export async function stopNode(name: string, node: string, host: Host): Promise<NodeRecord> {
  const lab = Lab.open(name, host);
  const { record } = lab.node(node);
  await clusterOf(lab).node(record).stop();
  return record;
}

function clusterOf(lab: Lab): Cluster {
  if (lab.cluster) return lab.cluster;
  throw new LabError(`lab "${lab.directory.lab}" has no Kubernetes: it was started with --bare`);
}

/**
 * Starts again what does not run: the AWS APIs, which go on with the lab's account, the control plane, and what nodes run.
 * @returns what was started.
 * @throws {LabError} when there is no such lab, or another process works on it.
 */
export async function labResume(name: string, host: Host): Promise<string[]> {
  using _claim = await claimLab(name);
  const lab = Lab.open(name, host);
  const started: string[] = [];
  if (!new LabProcesses(lab.directory).get(CLOUD)) {
    await startCloud(lab.directory, host);
    started.push('the AWS APIs');
  }
  if (!lab.cluster) {
    const down = lab.nodes.filter((node) => node.agentPid === undefined);
    await Promise.all(down.map((node) => node.startAgent()));
    return [...started, ...down.map((node) => `the agent of ${node.name}`)];
  }
  const { cluster } = lab;
  if (!cluster.isRunning) {
    await cluster.start();
    started.push('the control plane');
  }
  if (!cluster.isControllerRunning) {
    cluster.startController(lab.record);
    started.push('the controller');
  }
  const down = lab.record.nodes.filter((record) => !cluster.node(record).isRunning);
  await Promise.all(down.map((record) => cluster.node(record).start()));
  await cluster.ready(lab.record.nodes);
  return [...started, ...down.map((record) => `containerd and the kubelet of ${record.name}`)];
}

const CLOUD = 'cloud';

async function startCloud(directory: LabDirectory, host: Host): Promise<CloudReady> {
  const processes = new LabProcesses(directory);
  const { child } = processes.start({
    name: CLOUD,
    command: [...host.enid, 'lab', 'cloud', '--name', directory.lab],
    env: { PATH: process.env.PATH },
  });
  return (await processes.firstMessage(child, CLOUD)) as CloudReady;
}
