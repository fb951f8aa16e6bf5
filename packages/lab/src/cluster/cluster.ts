import { instanceLimits, maxPods } from '@enid/ipam';
import {
  type DaemonSet,
  type Deployment,
  isNotFound,
  KubeClient,
  kubeconfigAccess,
  type List,
  type Node,
  type Pod,
} from '@enid/kube';
import { NetNamespace } from '@enid/linux';
import type { LabDirectory } from '../base/directory.ts';
import { LabProcesses, release } from '../base/processes.ts';
import type { Host, LabRecord, NodeRecord } from '../base/record.ts';
import { until } from '../base/until.ts';
import { serviceNamespaceName } from '../fabric/names.ts';
import type { PreparedImages } from '../images/index.ts';
import { awsEnvironment } from '../lab/aws-environment.ts';
import { openPki, type Pki } from '../pki/index.ts';
import { applyAddons } from './addons.ts';
import { ADDRESS, type ControlPlaneAddress, type ControlPlaneReady } from './control-plane.ts';
import { kubeconfig } from './kubeconfig.ts';
import { ClusterNode } from './node.ts';
import { unreadyDeployments, unreadyNodes } from './readiness.ts';

const CONTROL_PLANE = 'control-plane';
const CONTROLLER = 'controller';
const KUBECONFIG = 'kubeconfig';
/** As the control plane itself reaches the API server. */
const CONTROLLER_KUBECONFIG = 'controller-kubeconfig';
/** In milliseconds. */
const READY_TIMEOUT = 60_000;
const IMAGE_CACHE = '/var/cache/enid';

/** Who holds the control plane's interface. */
const HOLDER = 'eks';

type CloudRecord = Pick<LabRecord, 'ec2Endpoint' | 'region' | 'topology'>;

/** The Kubernetes part of a lab: a control plane with an interface in the VPC, and machines on its EC2 instances. */
export class Cluster {
  readonly #directory: LabDirectory;
  readonly #host: Host;
  readonly #processes: LabProcesses;

  constructor(directory: LabDirectory, host: Host) {
    this.#directory = directory;
    this.#host = host;
    this.#processes = new LabProcesses(directory);
  }

  /** For clients on the host; 0600. */
  get kubeconfigFile(): string {
    return this.#directory.file(KUBECONFIG);
  }

  /** A client with an administrator's rights. */
  client(): KubeClient {
    return new KubeClient(kubeconfigAccess(this.kubeconfigFile));
  }

  node(record: NodeRecord): ClusterNode {
    return new ClusterNode({ directory: this.#directory, host: this.#host, record });
  }

  /** Whether the API server runs. */
  get isRunning(): boolean {
    return this.#processes.get(CONTROL_PLANE) !== undefined;
  }

  get isControllerRunning(): boolean {
    return this.#processes.get(CONTROLLER) !== undefined;
  }

  /**
   * Gives the control plane its interface in the VPC, starts it, and adds what EKS adds.
   * @param lab of which the AWS APIs and the VPC are there.
   * @param env of the node agents.
   */
  async create(lab: CloudRecord, env: Readonly<Record<string, string>>): Promise<void> {
    const address = await holdInterface(lab);
    const namespace = serviceNamespaceName(this.#directory.prefix, HOLDER);
    this.#directory.write({ address, namespace } satisfies ControlPlaneAddress, ADDRESS);
    const pki = await this.#pki();
    const { server } = await this.start();
    const admin = await pki.authority.issueClient('kubernetes-admin', ['system:masters']);
    const name = `enid-${this.#directory.lab}`;
    this.#directory.writeText(
      kubeconfig(name, { server, authority: pki.authority.certificate, ...admin }),
      KUBECONFIG,
    );
    const { root } = this.#host;
    const client = this.client();
    try {
      await applyAddons(client, { root, lab: this.#directory.lab, env, apiServer: address });
    } finally {
      client.close();
    }
    const inVpc = kubeconfig(name, {
      server: `https://${address}`,
      authority: pki.authority.certificate,
      ...admin,
    });
    this.#directory.writeText(inVpc, CONTROLLER_KUBECONFIG);
    this.startController(lab);
  }

  /** Starts the controller where EKS runs that of network policies: beside the API server, and so on no node. */
  startController({ region, topology }: Pick<LabRecord, 'region' | 'topology'>): void {
    const { namespace, address } = this.#directory.read<ControlPlaneAddress>(ADDRESS)!;
    using inside = NetNamespace.named(namespace);
    const { child } = this.#processes.start({
      name: CONTROLLER,
      command: [...this.#host.enid, 'controller'],
      env: {
        PATH: process.env.PATH,
        ...awsEnvironment(region),
        CLUSTER_NAME: this.#directory.lab,
        AWS_VPC_ID: topology.vpcId,
        // It is no pod, and so behind no Service.
        WEBHOOK_HOST: address,
        KUBECONFIG: this.#directory.file(CONTROLLER_KUBECONFIG),
      },
      namespace: inside,
    });
    release(child);
  }

  /** Starts the control plane, which goes on with what it knew. */
  async start(): Promise<ControlPlaneReady> {
    const { namespace } = this.#directory.read<ControlPlaneAddress>(ADDRESS)!;
    using inside = NetNamespace.named(namespace);
    const { child } = this.#processes.start({
      name: CONTROL_PLANE,
      command: [...this.#host.enid, 'lab', 'control-plane', '--name', this.#directory.lab],
      env: { PATH: process.env.PATH },
      namespace: inside,
    });
    return (await this.#processes.firstMessage(child, CONTROL_PLANE)) as ControlPlaneReady;
  }

  /** Makes a machine of an EC2 instance and starts containerd and the kubelet in it. */
  async join(record: NodeRecord, images: PreparedImages): Promise<ClusterNode> {
    const node = this.node(record);
    const { address } = this.#directory.read<ControlPlaneAddress>(ADDRESS)!;
    await node.create(images, await this.#pki(), { ...factsOf(record), apiServer: `https://${address}` });
    await node.start();
    return node;
  }

  /** The pods of nodes, as `name` in namespace `default` and as `namespace/name` elsewhere. */
  podNames(nodes: readonly NodeRecord[]): string[] {
    return nodes.flatMap((record) =>
      this.node(record)
        .pods()
        .map(({ namespace, name }) => (namespace === 'default' ? name : `${namespace}/${name}`)),
    );
  }

  /**
   * The network namespace of a pod, by what runs in it. Close it after use.
   * @param target `name` in namespace `default`, or `namespace/name`.
   * @returns undefined when no such pod runs.
   */
  podNamespace(target: string, nodes: readonly NodeRecord[]): NetNamespace | undefined {
    const [namespace, name] = target.includes('/') ? target.split('/') : ['default', target];
    for (const record of nodes) {
      const node = this.node(record);
      const found = node.pods().find((pod) => pod.namespace === namespace && pod.name === name);
      const pid = found && node.processOf(found.uid);
      if (pid !== undefined) return NetNamespace.open(`/proc/${pid}/ns/net`);
    }
    return undefined;
  }

  /** Waits until nodes, and the add-ons of the cluster, are ready. */
  async ready(nodes: readonly NodeRecord[]): Promise<void> {
    await this.#untilReady(async (client) => {
      const [left, deployments] = await Promise.all([
        nodesLeft(client, nodes),
        client.get<List<Deployment>>('/apis/apps/v1/namespaces/kube-system/deployments'),
      ]);
      return [...left, ...unreadyDeployments(deployments.items)];
    });
  }

  /** Waits until nodes are ready for pods, however the others are. */
  async nodesReady(nodes: readonly NodeRecord[]): Promise<void> {
    await this.#untilReady((client) => nodesLeft(client, nodes));
  }

  async #untilReady(left: (client: KubeClient) => Promise<string[]>): Promise<void> {
    const client = this.client();
    let waiting: string[] = [];
    try {
      await until(
        async () => {
          waiting = await left(client);
          return waiting;
        },
        ({ length }) => length === 0,
        'the cluster',
        READY_TIMEOUT,
      );
    } catch {
      throw new Error(
        `not ready in ${READY_TIMEOUT / 1000} s: ${waiting.join(', ')}. "kubectl describe" tells why`,
      );
    } finally {
      client.close();
    }
  }

  /** Takes the node of an instance that has ended out of the cluster, as EKS's node controller does. */
  async forget({ dnsName }: NodeRecord): Promise<void> {
    const client = this.client();
    try {
      await client.delete(`/api/v1/nodes/${dnsName}`);
    } catch (error) {
      // Somebody has taken it out before.
      if (!isNotFound(error)) throw error;
    } finally {
      client.close();
    }
  }

  #pki(): Promise<Pki> {
    return openPki(this.#directory.file('pki'));
  }
}

/** An interface in the VPC for the control plane, as EKS makes one. @returns its address. */
async function holdInterface({ ec2Endpoint, topology }: CloudRecord): Promise<string> {
  const response = await fetch(`${ec2Endpoint}/_lab/service-interfaces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      holder: HOLDER,
      subnetId: topology.subnets[0]!.id,
      groups: [topology.securityGroupId],
      description: 'Amazon EKS',
    }),
  });
  if (!response.ok)
    throw new Error(`the control plane has no interface in the VPC: ${await response.text()}`);
  return ((await response.json()) as { address: string }).address;
}

/** The images of a cluster, composed when they are not there yet. */
export async function clusterImages(report: (line: string) => void): Promise<PreparedImages> {
  const { ensureImages } = await import('../images/index.ts');
  return ensureImages({ cache: IMAGE_CACHE, report });
}

/** What nodes lack to be ready for pods. */
async function nodesLeft(client: KubeClient, records: readonly NodeRecord[]): Promise<string[]> {
  const [nodes, daemonSets, pods] = await Promise.all([
    client.get<List<Node>>('/api/v1/nodes'),
    client.get<List<DaemonSet>>('/apis/apps/v1/namespaces/kube-system/daemonsets'),
    client.get<List<Pod>>('/api/v1/namespaces/kube-system/pods'),
  ]);
  return unreadyNodes(records, { nodes: nodes.items, daemonSets: daemonSets.items, pods: pods.items });
}

/** What the kubelet of an EKS node says of its instance. */
function factsOf({ dnsName, instanceId, instanceType, availabilityZone }: NodeRecord) {
  const region = availabilityZone.slice(0, -1);
  const { vcpus, memoryMib } = instanceLimits(instanceType)!;
  return {
    providerID: `aws:///${availabilityZone}/${instanceId}`,
    maxPods: maxPods(instanceType),
    capacity: { cpu: String(vcpus), memory: `${memoryMib}Mi` },
    labels: {
      'kubernetes.io/arch': process.arch === 'x64' ? 'amd64' : process.arch,
      'kubernetes.io/os': 'linux',
      'kubernetes.io/hostname': dnsName,
      'node.kubernetes.io/instance-type': instanceType,
      'topology.kubernetes.io/region': region,
      'topology.kubernetes.io/zone': availabilityZone,
      'failure-domain.beta.kubernetes.io/region': region,
      'failure-domain.beta.kubernetes.io/zone': availabilityZone,
    },
  };
}
