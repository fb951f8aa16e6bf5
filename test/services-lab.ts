/** Services of a lab: they are asked from the network namespaces of its pods, nodes and internet. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { AuthorizeSecurityGroupIngressCommand, DescribeSecurityGroupsCommand } from '@aws-sdk/client-ec2';
import { parseIp } from '@enid/ip';
import { KubeClient, kubeconfigAccess, type Pod } from '@enid/kube';
import { Lab } from '@enid/lab';
import type { LabStatus } from '@enid/lab/status';
import { listenTcp, NetNamespace, sysctl } from '@enid/linux';
import { host } from '../packages/cli/src/host.ts';
import { ec2Client } from '../packages/lab/src/lab/ec2.ts';
import { agentIn } from './agents.ts';
import { labStatus, labUp, run, tracesOf } from './enid.ts';
import { ask, INTERNET, load, type Place, SctpBackends, TcpConnection, UdpFlow } from './questions.ts';
import {
  AGNHOST,
  type AskOptions,
  Bed,
  type Load,
  NODES,
  type NodeName,
  type Protocol,
  type Way,
} from './services-bed.ts';
import { until } from './until.ts';

const NAME = 'servicetest';

/** Its pod "far" is on the second ENI of node-1. */
export class LabBed extends Bed {
  readonly client: KubeClient;
  readonly namespace = 'default';
  readonly protocols = ['tcp', 'udp', 'sctp'] as const;
  readonly outside: { readonly from: string; readonly address: string };
  readonly width = 40;
  readonly lab = Lab.open(NAME, host);
  #status: LabStatus;
  #sctp: SctpBackends | undefined;

  private constructor(status: LabStatus) {
    super();
    this.#status = status;
    this.client = new KubeClient(kubeconfigAccess(status.kubernetes!.kubeconfig));
    this.outside = { from: 'internet', address: status.nodes[0]!.publicAddress! };
  }

  static async open(): Promise<LabBed> {
    const bed = new LabBed(await labUp(NAME, '--nodes', '2', '--set', 'IP_COOLDOWN_PERIOD=5'));
    await until(() => bed.client.get('/api/v1/namespaces/default/serviceaccounts/default'));
    for (const node of NODES) {
      const ns = NetNamespace.named(bed.lab.node(node).record.namespace);
      // The kernel sends a client but one ICMP error a second, which is too slow for hundreds of refusals.
      sysctl.set(ns, 'net/ipv4/icmp_ratemask', 0);
      const [eni] = bed.#status.nodes.find(({ name }) => name === node)!.enis;
      bed.#stand({ name: node, kind: 'node', node, address: eni!.addresses[0]!, ns });
    }
    const ns = NetNamespace.named(`enid-${NAME}-internet`);
    bed.#stand({ name: 'internet', kind: 'internet', node: undefined, address: INTERNET, ns });
    await bed.#letInternetIn();
    // The first ENI of node-1 is filled, so that "far" is on its second.
    const first = bed.#status.nodes[0]!;
    const free = first.enis[0]!.addresses.length - 1 - first.pods.length;
    const fill = Array.from({ length: free - 2 }, (_, n) => [`fill-${n}`, 'node-1', false] as const);
    await bed.#runPods([
      ['client-1', 'node-1', false],
      ['a', 'node-1', true],
      ...fill,
      ['client-2', 'node-2', false],
      ['c', 'node-2', true],
    ]);
    for (const [name] of fill) bed.#leave(name);
    await bed.#runPods([['far', 'node-1', true]]);
    bed.#status = await labStatus(NAME);
    const [, second] = bed.#status.nodes[0]!.enis;
    assert.ok(second!.addresses.includes(bed.place('far').address), 'far is on the second ENI');
    return bed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sctp?.[Symbol.dispose]();
    for (const { name } of this.clients) this.#leave(name);
    this.client.close();
    await run('lab', 'down', '--name', NAME);
    assert.deepEqual(tracesOf(NAME), []);
  }

  override place(name: string): Place {
    return super.place(name) as Place;
  }

  #stand(place: Place): void {
    this.spots.set(place.name, place);
  }

  #leave(name: string): void {
    this.place(name).ns.close();
    this.spots.delete(name);
  }

  /** Lets everybody connect to the nodes and pods. */
  async #letInternetIn(): Promise<void> {
    const ec2 = ec2Client({ ec2Endpoint: this.#status.ec2Endpoint!, region: 'us-east-1' });
    const Filters = [{ Name: 'group-name', Values: [`eks-cluster-sg-${NAME}`] }];
    const { SecurityGroups } = await ec2.send(new DescribeSecurityGroupsCommand({ Filters }));
    const { GroupId } = SecurityGroups![0]!;
    const IpPermissions = [{ IpProtocol: '-1', IpRanges: [{ CidrIp: '0.0.0.0/0' }] }];
    await ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId: GroupId!, IpPermissions }));
    ec2.destroy();
  }

  /** Runs pods, all at once. */
  async #runPods(
    pods: readonly (readonly [name: string, node: NodeName, backend: boolean])[],
  ): Promise<void> {
    for (const [name, node, backend] of pods) {
      const args = backend ? ['netexec'] : ['pause'];
      await this.client.create<object>(this.path('pods'), {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, labels: backend ? { net: 'yes', on: node, name } : {} },
        spec: {
          nodeName: this.nameOf(node),
          terminationGracePeriodSeconds: 0,
          containers: [{ name: 'net', image: AGNHOST, args }],
        },
      });
    }
    for (const [name, node] of pods) {
      const address = await this.#addressOfPod(name);
      const ns = this.lab.cluster!.podNamespace(name, this.lab.record.nodes)!;
      this.#stand({ name, kind: 'pod', node, address, ns });
    }
  }

  /** Waits until a pod is ready. */
  #addressOfPod(name: string): Promise<string> {
    return until(async () => {
      const { status } = await this.client.get<Pod>(this.path('pods', name));
      const ready = status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True');
      assert.ok(ready && status?.podIP, `pod ${name} is not ready`);
      return status.podIP;
    });
  }

  nameOf(node: NodeName): string {
    return this.lab.node(node).record.dnsName;
  }

  async egressOf(pod: string): Promise<string> {
    const { address } = this.place(pod);
    const enis = this.#status.nodes.flatMap(({ enis }) => enis);
    return enis.find(({ addresses }) => addresses.includes(address))!.addresses[0]!;
  }

  /** Backends answer to SCTP too. */
  serveSctp(backends: readonly string[], port: number): void {
    this.#sctp = new SctpBackends(
      backends.map((name) => this.place(name)),
      port,
    );
  }

  ask(from: string, protocol: Protocol, address: string, port: number, options: AskOptions = {}) {
    if (protocol !== 'sctp') return ask(this.place(from), protocol, address, port, options);
    assert.ok(this.#sctp, 'nobody serves SCTP');
    return this.#sctp.ask(this.place(from), address, port, options.timeout ?? 5000);
  }

  flow(from: string, address: string, port: number): Promise<UdpFlow> {
    return UdpFlow.open(this.place(from).ns, address, port);
  }

  connection(from: string, address: string, port: number): TcpConnection {
    return new TcpConnection(this.place(from).ns, address, port);
  }

  async load(perSecond: number, ways: readonly Way[]): Promise<Load> {
    return load(perSecond, (number) => {
      const { from, address, port } = ways[number % ways.length]!;
      return ask(this.place(from), 'tcp', address, port);
    });
  }

  run(from: string, ...command: string[]) {
    return run('lab', 'exec', '--name', NAME, from, '--', ...command);
  }

  async occupy(node: NodeName, port: number): Promise<() => void> {
    const held = listenTcp(this.place(node).ns, parseIp('0.0.0.0'), port);
    return () => closeSync(held);
  }

  async replaceProxies(): Promise<() => Promise<void>> {
    const proxies = () => NODES.map((node) => agentIn(this.place(node).ns, 'agent --module services'));
    const [first, second] = proxies();
    process.kill(first!, 'SIGKILL');
    process.kill(second!, 'SIGTERM');
    return async () => assert.ok(!proxies().some((pid) => pid === first || pid === second));
  }
}
