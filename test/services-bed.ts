/** A cluster for the tests of Services: who stands where in it, and how they ask each other. */
import assert from 'node:assert/strict';
import type { KubeClient, List, Node, Pod } from '@enid/kube';
import type { Outcome, Spot } from './questions.ts';
import { until } from './until.ts';

/** What the two nodes are called in the tests, whatever names they have. */
export const NODES = ['node-1', 'node-2'] as const;
export type NodeName = (typeof NODES)[number];
/** Addresses of nobody, for externalIPs and load balancers. */
export const EXTERNAL_IP = '192.0.2.1';
export const LOAD_BALANCER_IP = '192.0.2.2';
export const AGNHOST = 'registry.k8s.io/e2e-test-images/agnhost:2.53';

export type Protocol = 'tcp' | 'udp' | 'sctp';
/** @property from the address to ask from, where there are several. */
export type AskOptions = { readonly timeout?: number; readonly from?: string };
/** Questions by the same pair of ports of UDP. */
export type Flow = { ask(question: string, timeout: number): Promise<string>; close(): void };
/** One way on which a load is asked. */
export type Way = { readonly from: string; readonly address: string; readonly port: number };
/** Requests at a steady rate. To stop it tells how often each outcome came, and as often as one likes. */
export type Load = {
  stop(): Promise<{
    readonly counts: ReadonlyMap<string, number>;
    readonly failures: readonly (readonly [outcome: string, count: number])[];
    readonly perSecond: number;
  }>;
};

/**
 * On node-1 are the pods "client-1", "a" and "far", on node-2 "client-2" and "c". Of these "a", "far" and "c" are backends, and
 * have the labels `net=yes`, `on=<node>` and `name`. The nodes themselves are places too.
 */
export abstract class Bed implements AsyncDisposable {
  abstract readonly client: KubeClient;
  /** Of the pods and of all that tests make. */
  abstract readonly namespace: string;
  abstract readonly protocols: readonly Protocol[];
  /** From where, and at which address, node ports of node-1 are called by others than the cluster's own, if there are any. */
  abstract readonly outside: { readonly from: string; readonly address: string };
  /** How many questions at a time are worth while. */
  abstract readonly width: number;
  protected readonly spots = new Map<string, Spot>();

  abstract [Symbol.asyncDispose](): Promise<void>;
  /** The name that the cluster has for a node. */
  abstract nameOf(node: NodeName): string;
  /** The address that a pod's packets to other nodes have when they are masqueraded: that of the ENI by which they leave. */
  abstract egressOf(pod: string): Promise<string>;
  /** Asks a backend who it is, and whom it sees, on one connection. */
  abstract ask(
    from: string,
    protocol: Protocol,
    address: string,
    port: number,
    options?: AskOptions,
  ): Promise<Outcome>;
  abstract flow(from: string, address: string, port: number): Promise<Flow>;
  /** Asks `perSecond` times a second, on all ways in turn. */
  abstract load(perSecond: number, ways: readonly Way[]): Promise<Load>;
  /** Runs a command in a place. */
  abstract run(from: string, ...command: string[]): Promise<{ stdout: string; status: number | null }>;
  /** Listens at a port of a node. @returns what ends it. */
  abstract occupy(node: NodeName, port: number): Promise<() => void | Promise<void>>;
  /** Ends the service proxy of node-1 at once, and that of node-2 in order. @returns what waits until others do their work. */
  abstract replaceProxies(): Promise<() => Promise<void>>;

  get clients(): readonly Spot[] {
    return [...this.spots.values()];
  }

  place(name: string): Spot {
    const place = this.spots.get(name);
    assert.ok(place, `nobody is called ${name}`);
    return place;
  }

  /** The primary address of a node. */
  addressOf(node: NodeName): string {
    return this.place(node).address;
  }

  async zoneOf(node: NodeName): Promise<string> {
    const { metadata } = await this.client.get<Node>(`/api/v1/nodes/${this.nameOf(node)}`);
    const zone = metadata?.labels?.['topology.kubernetes.io/zone'];
    assert.ok(zone, `${node} has no zone`);
    return zone;
  }

  /** The path of a kind of object of the bed's namespace, or of one of them. */
  path(resource: string, name = ''): string {
    const group = { deployments: 'apis/apps/v1', endpointslices: 'apis/discovery.k8s.io/v1' }[resource];
    return `/${group ?? 'api/v1'}/namespaces/${this.namespace}/${resource}${name && `/${name}`}`;
  }

  async podsOf(labelSelector: string): Promise<string[]> {
    const { items } = await this.client.get<List<Pod>>(this.path('pods'), { labelSelector });
    return items.map(({ metadata }) => metadata!.name!);
  }

  /** Makes a Service of its spec. @returns its cluster IP and the rest of what the API server has chosen. */
  async service(name: string, spec: object, ingress?: object[], metadata: object = {}): Promise<ServiceSpec> {
    const made = await this.client.create<{ spec?: object }>(this.path('services'), {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, ...metadata },
      spec,
    } as object);
    const status = { status: { loadBalancer: { ingress } } };
    if (ingress) await this.client.patch(`${this.path('services', name)}/status`, status);
    return made.spec as ServiceSpec;
  }

  /** Waits until the proxy of every node serves what the API server says: its tables have a Service that was made last. */
  async settled(): Promise<void> {
    const name = `mark-${Math.random().toString(36).slice(2, 10)}`;
    const { clusterIP } = await this.service(name, { ports: [{ port: 9 }] });
    for (const node of NODES) {
      await until(async () => {
        assert.equal(await this.ask(node, 'tcp', clusterIP, 9, { timeout: 300 }), 'refused');
      });
    }
    await this.client.delete(this.path('services', name));
  }

  /** Waits until a Service has so many ready endpoints. */
  async endpoints(service: string, count: number): Promise<void> {
    type Slice = { endpoints?: { conditions?: { ready?: boolean } }[] };
    await until(async () => {
      const { items } = await this.client.get<{ items: Slice[] }>(this.path('endpointslices'), {
        labelSelector: `kubernetes.io/service-name=${service}`,
      });
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

/** Runs tasks, some at a time. */
export async function inParallel(width: number, tasks: Iterable<() => Promise<void>>): Promise<void> {
  const queue = tasks[Symbol.iterator]();
  const worker = async () => {
    for (let next = queue.next(); !next.done; next = queue.next()) await next.value();
  };
  await Promise.all(Array.from({ length: width }, worker));
}
