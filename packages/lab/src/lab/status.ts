import { DescribeInstancesCommand, DescribeNetworkInterfacesCommand } from '@aws-sdk/client-ec2';
import type { NodeRecord } from '../base/record.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { ClusterPods } from '../cluster/pods.ts';
import { ec2Client } from './ec2.ts';
import type { Lab } from './lab.ts';
import { describeLoadBalancer, type LoadBalancerStatus, loadBalancersOf } from './load-balancers.ts';

export type LabStatus = {
  readonly name: string;
  readonly ec2Endpoint: string;
  readonly vpcId: string;
  /** Of a cluster. */
  readonly kubernetes?: { readonly running: boolean; readonly kubeconfig: string };
  readonly loadBalancers: readonly LoadBalancerStatus[];
  readonly nodes: readonly {
    readonly name: string;
    readonly instanceId: string;
    readonly instanceType: string;
    readonly subnet: string;
    readonly address: string;
    readonly publicAddress?: string;
    /** Of a cluster: whether containerd and the kubelet run. */
    readonly running?: boolean;
    /** Of the agent; undefined when it does not run. */
    readonly agentPid?: number;
    readonly enis: readonly {
      readonly id: string;
      readonly device: number;
      readonly addresses: readonly string[];
    }[];
    readonly pods: readonly {
      readonly name: string;
      readonly address: string;
      readonly hostInterface: string;
    }[];
  }[];
};

/** What a lab is made of now, from its AWS APIs and its records. */
export async function labStatus(lab: Lab): Promise<LabStatus> {
  const ec2 = ec2Client(lab.record);
  const [{ Reservations }, { NetworkInterfaces }] = await Promise.all([
    ec2.send(new DescribeInstancesCommand({})),
    ec2.send(new DescribeNetworkInterfacesCommand({})),
  ]);
  const instances = new Map(
    Reservations!.flatMap(({ Instances }) => Instances!).map((i) => [i.InstanceId, i]),
  );
  const loadBalancers = await loadBalancersOf(lab.record, NetworkInterfaces!);
  const { cluster } = lab;
  const pods = cluster ? await podsOf(cluster, lab.record.nodes) : lab.pods.list();
  return {
    name: lab.directory.lab,
    ec2Endpoint: lab.record.ec2Endpoint,
    vpcId: lab.record.topology.vpcId,
    ...(cluster && { kubernetes: { running: cluster.isRunning, kubeconfig: cluster.kubeconfigFile } }),
    loadBalancers,
    nodes: lab.nodes.map((node) => {
      const { record } = node;
      const machine = cluster?.node(record);
      const agentPid = machine ? machine.agentPid : node.agentPid;
      const instance = instances.get(record.instanceId);
      return {
        name: record.name,
        instanceId: record.instanceId,
        instanceType: instance?.InstanceType ?? 'terminated',
        subnet: record.subnet,
        address: record.address,
        ...(instance?.PublicIpAddress && { publicAddress: instance.PublicIpAddress }),
        ...(machine && { running: machine.isRunning }),
        ...(agentPid !== undefined && { agentPid }),
        enis: NetworkInterfaces!
          .filter((eni) => eni.Attachment?.InstanceId === record.instanceId)
          .map((eni) => ({
            id: eni.NetworkInterfaceId!,
            device: eni.Attachment!.DeviceIndex!,
            addresses: eni.PrivateIpAddresses!.map((address) => address.PrivateIpAddress!),
          }))
          .sort((a, b) => a.device - b.device),
        pods: pods
          .filter((pod) => pod.node === record.name)
          .map(({ namespace, name, address, hostInterface }) => ({
            name: `${namespace}/${name}`,
            address,
            hostInterface,
          })),
      };
    }),
  };
}

/** The same for a reader, with what can be done next. */
export async function describeLab(lab: Lab): Promise<string> {
  const status = await labStatus(lab);
  const { kubernetes } = status;
  const option = status.name === 'lab' ? '' : ` --name ${status.name}`;
  const lines = [`lab "${status.name}": ${status.vpcId}, EC2 API at ${status.ec2Endpoint}`];
  if (kubernetes) {
    lines.push(
      `Kubernetes API: ${kubernetes.running ? 'kubeconfig at' : 'DOWN, kubeconfig at'} ${kubernetes.kubeconfig}`,
    );
  }
  for (const node of status.nodes) {
    const agent =
      node.running === false
        ? 'DOWN'
        : node.agentPid === undefined
          ? 'agent DOWN'
          : `agent pid ${node.agentPid}`;
    const outside = node.publicAddress ? ` (public ${node.publicAddress})` : '';
    lines.push(
      `${node.name}  ${node.instanceId}  ${node.instanceType}  ${node.subnet}  ${node.address}${outside}  ${agent}`,
    );
    for (const eni of node.enis) lines.push(`  eth${eni.device}  ${eni.id}  ${eni.addresses.join(' ')}`);
    for (const pod of node.pods) lines.push(`  pod ${pod.name}  ${pod.address}  ${pod.hostInterface}`);
  }
  lines.push(...status.loadBalancers.flatMap(describeLoadBalancer));
  const run = kubernetes
    ? `kubectl run web --image=nicolaka/netshoot -- sleep infinity`
    : `enid lab run${option} web --node node-1`;
  lines.push(
    '',
    `next:  ${run}`,
    `       enid lab exec${option} web -- ip route          (also: node-1, vpc, internet)`,
    `       enid lab down${option}`,
  );
  return lines.join('\n');
}

/** The pods of a cluster as its API tells them; none when that is down. */
async function podsOf(cluster: Cluster, nodes: readonly NodeRecord[]) {
  const names = new Map(nodes.map(({ dnsName, name }) => [dnsName, name]));
  const client = cluster.client();
  try {
    const pods = await new ClusterPods(client).listAll();
    return pods.map((pod) => ({ ...pod, node: names.get(pod.node) ?? pod.node }));
  } catch {
    return [];
  } finally {
    client.close();
  }
}
