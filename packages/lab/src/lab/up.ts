import { instanceNamespaceName } from '../fabric/names.ts';
import type { CloudReady } from '../lab-cloud.ts';
import { LabDirectory } from './directory.ts';
import { ec2Client } from './ec2.ts';
import { Lab, LabError, type LabRecord } from './lab.ts';
import type { Host, NodeRecord } from './node.ts';
import { LabProcesses } from './processes.ts';
import { createVpc, runInstance } from './topology.ts';

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

/**
 * Builds a lab. When it resolves, every node is ready for pods.
 * @throws {LabError} when a lab of that name exists; whatever else fails takes down what was built by then.
 */
export async function labUp(options: LabOptions, host: Host, progress: Progress): Promise<Lab> {
  const directory = new LabDirectory(options.name);
  if (!directory.create()) {
    throw new LabError(
      `lab "${options.name}" exists already: end it with "enid lab down --name ${options.name}", or choose another --name`,
    );
  }
  try {
    progress('starting the AWS APIs of the lab');
    const cloud = await startCloud(directory, host);
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
    const lab = Lab.open(options.name, host);
    progress('starting the agents');
    await Promise.all(lab.nodes.map((node) => node.startAgent()));
    return lab;
  } catch (error) {
    await Lab.down(options.name);
    throw error;
  }
}

/**
 * Starts again what does not run: the AWS APIs, which go on with the lab's account, and the agents.
 * @returns what was started.
 * @throws {LabError} when there is no such lab.
 */
export async function labResume(name: string, host: Host): Promise<string[]> {
  const lab = Lab.open(name, host);
  const started: string[] = [];
  if (!new LabProcesses(lab.directory).get(CLOUD)) {
    await startCloud(lab.directory, host);
    started.push('the AWS APIs');
  }
  const down = lab.nodes.filter((node) => node.agentPid === undefined);
  await Promise.all(down.map((node) => node.startAgent()));
  return [...started, ...down.map((node) => `the agent of ${node.name}`)];
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
