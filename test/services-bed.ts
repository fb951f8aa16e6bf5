/** A cluster of a lab for the tests of Services: who stands where, and questions to backends that tell who they are and whom they see. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { AuthorizeSecurityGroupIngressCommand, DescribeSecurityGroupsCommand } from '@aws-sdk/client-ec2';
import { type Ip, parseIp } from '@enid/ip';
import { KubeClient, kubeconfigAccess } from '@enid/kube';
import { Lab } from '@enid/lab';
import type { LabStatus } from '@enid/lab/status';
import { bindUdp, connectTcp, NetNamespace, sysctl } from '@enid/linux';
import { host } from '../packages/cli/src/host.ts';
import { ec2Client } from '../packages/lab/src/lab/ec2.ts';
import { run } from './enid.ts';
import { SctpEndpoint } from './sctp.ts';

export const NAME = 'servicetest';
export const NODES = ['node-1', 'node-2'] as const;
export type NodeName = (typeof NODES)[number];
export const INTERNET = '198.51.100.10';
/** Another address of the internet's host. */
export const INTERNET_2 = '198.51.100.20';
/** Addresses of nobody, for externalIPs and load balancers. */
export const EXTERNAL_IP = '192.0.2.1';
export const LOAD_BALANCER_IP = '192.0.2.2';
const AGNHOST = 'registry.k8s.io/e2e-test-images/agnhost:2.53';

/** Somebody who sends and, as a backend, answers. */
export type Place = {
  readonly name: string;
  readonly kind: 'pod' | 'node' | 'internet';
  readonly node: NodeName | undefined;
  readonly address: string;
  readonly ns: NetNamespace;
};

type Pod = {
  metadata: { name: string };
  status?: { podIP?: string; phase?: string; conditions?: { type: string; status: string }[] };
};

async function readStatus(): Promise<LabStatus> {
  return JSON.parse((await run('lab', 'status', '--name', NAME, '--json')).stdout);
}

export class Bed implements AsyncDisposable {
  readonly client: KubeClient;
  #status: LabStatus;
  readonly lab: Lab;
  readonly places = new Map<string, Place>();

  private constructor(status: LabStatus) {
    this.#status = status;
    this.client = new KubeClient(kubeconfigAccess(status.kubernetes!.kubeconfig));
    this.lab = Lab.open(NAME, host);
  }

  static async open(): Promise<Bed> {
    await run('lab', 'down', '--name', NAME);
    const up = await run('lab', 'up', '--name', NAME, '--nodes', '2', '--set', 'IP_COOLDOWN_PERIOD=5');
    assert.equal(up.status, 0, up.stderr);
    const bed = new Bed(await readStatus());
    await until(() => bed.client.get('/api/v1/namespaces/default/serviceaccounts/default'));
    for (const node of NODES) {
      const ns = NetNamespace.named(bed.lab.node(node).record.namespace);
      // The kernel sends a client but one ICMP error a second, which is too slow for hundreds of refusals.
      sysctl.set(ns, 'net/ipv4/icmp_ratemask', 0);
      bed.places.set(node, { name: node, kind: 'node', node, address: bed.addressOf(node), ns });
    }
    const ns = NetNamespace.named(`enid-${NAME}-internet`);
    bed.places.set('internet', {
      name: 'internet',
      kind: 'internet',
      node: undefined,
      address: INTERNET,
      ns,
    });
    return bed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { ns } of this.places.values()) ns.close();
    this.client.close();
    await run('lab', 'down', '--name', NAME);
  }

  /** The lab, as it was when it was last looked at. */
  get status(): LabStatus {
    return this.#status;
  }

  async look(): Promise<void> {
    this.#status = await readStatus();
  }

  place(name: string): Place {
    return this.places.get(name)!;
  }

  /** The primary address of a node, and that of its n-th ENI. */
  addressOf(node: NodeName, eni = 0): string {
    return this.status.nodes.find(({ name }) => name === node)!.enis[eni]!.addresses[0]!;
  }

  get publicAddress(): string {
    return this.status.nodes[0]!.publicAddress!;
  }

  /** Lets everybody connect to the nodes and pods. */
  async letInternetIn(): Promise<void> {
    const ec2 = ec2Client({ ec2Endpoint: this.status.ec2Endpoint!, region: 'us-east-1' });
    const Filters = [{ Name: 'group-name', Values: [`eks-cluster-sg-${NAME}`] }];
    const { SecurityGroups } = await ec2.send(new DescribeSecurityGroupsCommand({ Filters }));
    const { GroupId } = SecurityGroups![0]!;
    const IpPermissions = [{ IpProtocol: '-1', IpRanges: [{ CidrIp: '0.0.0.0/0' }] }];
    await ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId: GroupId!, IpPermissions }));
    ec2.destroy();
  }

  /** Runs pods of one node, all at once, and makes places of them. Backends have the labels `net=yes` and `on=<node>`. */
  async runPods(pods: readonly (readonly [name: string, node: NodeName, backend: boolean])[]): Promise<void> {
    for (const [name, node, backend] of pods) {
      const args = backend ? ['netexec'] : ['pause'];
      await this.client.create('/api/v1/namespaces/default/pods', {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, labels: backend ? { net: 'yes', on: node, name } : {} },
        spec: {
          nodeName: this.lab.node(node).record.dnsName,
          terminationGracePeriodSeconds: 0,
          containers: [{ name: 'net', image: AGNHOST, args }],
        },
      });
    }
    for (const [name, node] of pods) {
      const address = await this.podAddress(name);
      const ns = this.lab.cluster!.podNamespace(name, this.lab.record.nodes)!;
      this.places.set(name, { name, kind: 'pod', node, address, ns });
    }
  }

  /** Waits until a pod is ready. */
  async podAddress(name: string): Promise<string> {
    return until(async () => {
      const { status } = await this.client.get<Pod>(`/api/v1/namespaces/default/pods/${name}`);
      const ready = status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True');
      assert.ok(ready && status?.podIP, `pod ${name} is not ready`);
      return status.podIP;
    });
  }

  async podsOf(labelSelector: string): Promise<Pod[]> {
    const { items } = await this.client.get<{ items: Pod[] }>('/api/v1/namespaces/default/pods', {
      labelSelector,
    });
    return items;
  }

  /** Makes a Service of its spec. @returns its cluster IP and the rest of what the API server has chosen. */
  async service(name: string, spec: object, ingress?: object[], metadata: object = {}): Promise<ServiceSpec> {
    const path = '/api/v1/namespaces/default/services';
    const made = await this.client.create<{ spec?: object }>(path, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, ...metadata },
      spec,
    } as object);
    if (ingress) await this.client.patch(`${path}/${name}/status`, { status: { loadBalancer: { ingress } } });
    return made.spec as ServiceSpec;
  }

  /** Waits until the proxy of every node serves what the API server says: its tables have a Service that was made last. */
  async settled(): Promise<void> {
    const name = `mark-${Math.random().toString(36).slice(2, 10)}`;
    const { clusterIP } = await this.service(name, { ports: [{ port: 9 }] });
    for (const node of NODES) {
      await until(async () => {
        const outcome = await ask(this.place(node), 'tcp', clusterIP, 9, { timeout: 300 });
        assert.equal(outcome, 'refused');
      });
    }
    await this.client.delete(`/api/v1/namespaces/default/services/${name}`);
  }

  /** Waits until a Service has so many ready endpoints. */
  async endpoints(service: string, count: number): Promise<void> {
    type Slice = { endpoints?: { conditions?: { ready?: boolean } }[] };
    await until(async () => {
      const { items } = await this.client.get<{ items: Slice[] }>(
        '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices',
        { labelSelector: `kubernetes.io/service-name=${service}` },
      );
      const ready = items.flatMap(({ endpoints = [] }) => endpoints.filter((one) => one.conditions?.ready));
      assert.equal(ready.length, count, `endpoints of ${service}`);
    });
  }
}

export type ServiceSpec = {
  clusterIP: string;
  healthCheckNodePort?: number;
  ports: { port: number; nodePort?: number }[];
};

/** What came of a question: who answered and which client it saw, or why nobody did. */
export type Outcome = { readonly by: string; readonly sees: string } | 'refused' | 'timeout' | string;
type Options = { readonly timeout?: number; readonly from?: string };

/** Asks a backend who it is, and whom it sees, on one connection. */
export async function ask(
  { ns, kind }: Place,
  protocol: 'tcp' | 'udp',
  address: string,
  port: number,
  given: Options = {},
): Promise<Outcome> {
  // The internet's host has several addresses.
  const options = kind === 'internet' ? { from: INTERNET, ...given } : given;
  try {
    return await (protocol === 'tcp' ? askTcp : askUdp)(ns, parseIp(address), port, options);
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (code === 'ABORT_ERR') return 'timeout';
    return code === 'ECONNREFUSED' ? 'refused' : `${code} ${message}`;
  }
}

async function askTcp(
  ns: NetNamespace,
  address: Ip,
  port: number,
  { timeout = 5000, from }: Options,
): Promise<Outcome> {
  const socket = connectTcp(ns, address, port, from ? { localAddress: parseIp(from) } : {});
  try {
    let text = '';
    socket.setEncoding('utf8').on('data', (data) => {
      text += data;
    });
    const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: it\r\n${more}\r\n`;
    socket.write(get('/hostname') + get('/clientip', 'Connection: close\r\n'));
    await once(socket, 'end', { signal: AbortSignal.timeout(timeout) });
    const [by = '', client = ''] = text
      .split(/HTTP\/1\.1 200/)
      .slice(1)
      .map((answer) => answer.split('\r\n\r\n')[1]!);
    return client ? { by, sees: client.split(':')[0]! } : `half an answer: ${text}`;
  } finally {
    socket.destroy();
  }
}

async function askUdp(
  ns: NetNamespace,
  address: Ip,
  port: number,
  { timeout = 2000, from = '0.0.0.0' }: Options,
): Promise<Outcome> {
  const flow = await UdpFlow.open(ns, address, port, from);
  try {
    const by = await flow.ask('hostname', timeout);
    return { by, sees: (await flow.ask('clientip', timeout)).split(':')[0]! };
  } finally {
    flow.close();
  }
}

/** Backends of SCTP, by name. The kernel has no SCTP, so they are the test's own. */
export class SctpBackends implements Disposable {
  readonly #ends: ReadonlyMap<string, SctpEndpoint>;

  constructor(places: readonly Place[], port: number) {
    this.#ends = new Map(
      places.map(({ name, ns, address }) => [name, new SctpEndpoint(ns, address, [port])]),
    );
  }

  /** Begins an association. Of several at a time from one place it is not told which is refused. */
  async ask({ ns, kind }: Place, address: string, port: number, timeout: number): Promise<Outcome> {
    const client = new SctpEndpoint(ns, kind === 'internet' ? INTERNET : '0.0.0.0', [], { errors: true });
    try {
      const { tag, acknowledged } = client.begin(address, port);
      for (const end = performance.now() + timeout; performance.now() < end; ) {
        for (const backend of this.#ends.values()) backend.poll();
        client.poll();
        if (client.isRefused) return 'refused';
        if (acknowledged())
          for (const [by, { begun }] of this.#ends) if (begun.has(tag)) return { by, sees: begun.get(tag)! };
        await sleep(2);
      }
      return 'timeout';
    } finally {
      client.close();
    }
  }

  [Symbol.dispose](): void {
    for (const end of this.#ends.values()) end.close();
  }
}

/** One flow of UDP: questions by the same pair of ports. */
export class UdpFlow {
  readonly #socket;

  private constructor(ns: NetNamespace, from: string) {
    this.#socket = createSocket('udp4').bind({ fd: bindUdp(ns, parseIp(from), 0) });
  }

  static async open(ns: NetNamespace, address: string, port: number, from = '0.0.0.0'): Promise<UdpFlow> {
    const flow = new UdpFlow(ns, from);
    flow.#socket.connect(port, address);
    await once(flow.#socket, 'connect');
    return flow;
  }

  /** @throws with ECONNREFUSED when the question is refused, ABORT_ERR when nobody answers in time. */
  async ask(question: string, timeout: number): Promise<string> {
    const answer = once(this.#socket, 'message', { signal: AbortSignal.timeout(timeout) });
    this.#socket.send(question);
    return String((await answer)[0]);
  }

  close(): void {
    this.#socket.on('error', () => {});
    this.#socket.close();
  }
}

/** Asks at a steady rate until told to stop. @returns how often each outcome came. */
export function load(perSecond: number, question: (number: number) => Promise<Outcome>) {
  const counts = new Map<string, number>();
  const pending = new Set<Promise<void>>();
  const began = performance.now();
  let asked = 0;
  const one = async () => {
    const outcome = await question(asked);
    const key = typeof outcome === 'object' ? outcome.by : `failed: ${outcome}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  };
  const timer = setInterval(() => {
    for (const due = ((performance.now() - began) / 1000) * perSecond; asked < due; asked++) {
      const asking = one().finally(() => pending.delete(asking));
      pending.add(asking);
    }
  }, 5);
  return {
    async stop() {
      clearInterval(timer);
      const seconds = (performance.now() - began) / 1000;
      await Promise.all(pending);
      const failures = [...counts].filter(([key]) => key.startsWith('failed'));
      return { counts, failures, perSecond: asked / seconds };
    },
  };
}

/** Tries until it does not throw. */
export async function until<T>(attempt: () => Promise<T>, patience = 20_000): Promise<T> {
  for (const deadline = Date.now() + patience; ; ) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

/** Runs tasks, some at a time. */
export async function inParallel(width: number, tasks: Iterable<() => Promise<void>>): Promise<void> {
  const queue = tasks[Symbol.iterator]();
  const worker = async () => {
    for (let next = queue.next(); !next.done; next = queue.next()) await next.value();
  };
  await Promise.all(Array.from({ length: width }, worker));
}
