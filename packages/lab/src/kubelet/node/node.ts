import { isDeepStrictEqual } from 'node:util';
import {
  type Clock,
  isAlreadyExists,
  isNotFound,
  type KubeClient,
  type Node,
  type NodeCondition,
  sleep,
  timestamp,
  type Wire,
} from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';
import type { Logger } from 'pino';
import type { Image } from '../cri/types.ts';
import type { KubeletOptions } from '../options.ts';
import { renewLease } from './lease.ts';
import type { Health } from './runtime-health.ts';

const RENEWAL = 10_000;
/** A status that has not changed is told again so often. */
const HEARTBEAT = 5 * 60_000;
const RETRY = 1_000;
const MOST_IMAGES = 50;

export type NodeFacts = {
  readonly info: Wire<k8s.V1NodeSystemInfo>;
  readonly health: () => Health;
  readonly images: () => Promise<readonly Image[]>;
  /** Where the kubelet's server listens. */
  readonly port: number;
};

/** The node's own object and its lease. */
export class NodeRegistration {
  readonly #client: KubeClient;
  readonly #options: KubeletOptions;
  readonly #facts: NodeFacts;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  #node: Node | undefined;
  #toldAt = 0;
  #telling: Promise<void> | undefined;
  #again = false;

  constructor(client: KubeClient, options: KubeletOptions, facts: NodeFacts, clock: Clock, log: Logger) {
    this.#client = client;
    this.#options = options;
    this.#facts = facts;
    this.#clock = clock;
    this.#log = log;
  }

  /** Makes the node's object, or takes the one that is there, and keeps it alive from now on. */
  async start(): Promise<void> {
    await this.#register();
    await this.tell();
    await this.#renew();
    // Neither waits for the other: that the node lives is said also while its status cannot be told.
    void this.#repeat(() => this.#renew());
    void this.#repeat(() => this.tell());
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#telling;
  }

  async #repeat(work: () => Promise<void>): Promise<void> {
    const { signal } = this.#closing;
    for (;;) {
      await sleep(this.#clock, RENEWAL, signal);
      if (signal.aborted) return;
      await work();
    }
  }

  /** Tells the API how the node is, if it has it otherwise. */
  tell(): Promise<void> {
    this.#again = true;
    this.#telling ??= this.#tellAll();
    return this.#telling;
  }

  async #tellAll(): Promise<void> {
    await Promise.resolve(); // What is asked for in the same turn is told once.
    while (this.#again && !this.#closing.signal.aborted) {
      this.#again = false;
      try {
        await this.#tellOnce();
      } catch (error) {
        if (isNotFound(error)) await this.#register().catch(() => {});
        this.#log.warn({ error: String(error) }, 'status of the node not written');
        this.#again = true;
        await new Promise((resolve) => setTimeout(resolve, RETRY));
      }
    }
    // In the same step in which nothing was left to tell: what changes a moment later begins anew.
    this.#telling = undefined;
  }

  async #tellOnce(): Promise<void> {
    // Others write it, too: when a node was not heard of for a while, all that it said is called unknown.
    this.#node = await this.#client.get<Node>(this.#path);
    const now = this.#clock.now();
    const status = await this.#status(now);
    if (tells(this.#node.status, status) && now - this.#toldAt < HEARTBEAT) return;
    this.#node = await this.#client.patch<Node>(`${this.#path}/status`, { status }, 'strategic');
    this.#toldAt = now;
  }

  async #register(): Promise<void> {
    const { nodeName, labels = {}, providerID, taints } = this.#options;
    const all = {
      'kubernetes.io/os': 'linux',
      'kubernetes.io/arch': this.#facts.info.architecture,
      ...labels,
    };
    const spec = { ...(providerID && { providerID }), ...(taints && { taints: [...taints] }) };
    const annotations = { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' };
    try {
      this.#node = await this.#client.create<Node>('/api/v1/nodes', {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name: nodeName, labels: all, annotations },
        spec,
        // Without its resources it would seem to have room for nothing.
        status: await this.#status(this.#clock.now()),
      });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const patch = { metadata: { labels: all, annotations }, ...(providerID && { spec: { providerID } }) };
      this.#node = await this.#client.patch<Node>(this.#path, patch, 'strategic');
    }
  }

  async #renew(): Promise<void> {
    try {
      await renewLease(this.#client, this.#node!, this.#clock);
    } catch (error) {
      this.#log.warn({ error: String(error) }, 'lease of the node not renewed');
    }
  }

  async #status(now: number) {
    const { maxPods, capacity, nodeAddress, hostName } = this.#options;
    const { info, health, images, port } = this.#facts;
    const resources = { 'ephemeral-storage': '100Gi', ...capacity, pods: `${maxPods}` };
    const stored = await images().catch(() => []);
    return {
      capacity: resources,
      allocatable: resources,
      conditions: conditionsOf(health(), this.#node?.status?.conditions ?? [], now),
      addresses: [
        { type: 'InternalIP', address: nodeAddress },
        { type: 'Hostname', address: hostName },
      ],
      daemonEndpoints: { kubeletEndpoint: { Port: port } },
      nodeInfo: info,
      images: stored
        .slice(0, MOST_IMAGES)
        .map(({ repoDigests, repoTags, size }) => ({ names: [...repoDigests, ...repoTags], sizeBytes: size }))
        .filter(({ names }) => names.length > 0),
    };
  }

  get #path(): string {
    return `/api/v1/nodes/${this.#options.nodeName}`;
  }
}

type NodeStatus = NonNullable<Node['status']>;

/** Whether a status says all that a kubelet does, whenever that was. What others have added to it stays theirs. */
function tells(told: NodeStatus | undefined, { images, ...wanted }: NodeStatus): boolean {
  return isDeepStrictEqual(told?.images ?? [], images) && holds(told, wanted);
}

function holds(told: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    const list: unknown[] = Array.isArray(told) ? told : [];
    return wanted.every((each) => list.some((other) => holds(other, each)));
  }
  if (typeof wanted !== 'object' || wanted === null) return told === wanted;
  const fields = (told ?? {}) as Record<string, unknown>;
  return Object.entries(wanted).every(
    ([name, value]) => name === 'lastHeartbeatTime' || holds(fields[name], value),
  );
}

/** @param previous as the API has them. */
export function conditionsOf(
  { runtimeProblem, networkProblem }: Health,
  previous: readonly NodeCondition[],
  now: number,
): NodeCondition[] {
  const problems = [...new Set([runtimeProblem, networkProblem])].filter(Boolean).join(', ');
  const told = (type: string, status: boolean, reason: string, message: string): NodeCondition => {
    const word = status ? 'True' : 'False';
    const before = previous.find((condition) => condition.type === type);
    return {
      type,
      status: word,
      reason,
      message,
      lastHeartbeatTime: timestamp(now),
      lastTransitionTime: before?.status === word ? before.lastTransitionTime : timestamp(now),
    };
  };
  return [
    told('MemoryPressure', false, 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
    told('DiskPressure', false, 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
    told('PIDPressure', false, 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
    problems
      ? told('Ready', false, 'KubeletNotReady', problems)
      : told('Ready', true, 'KubeletReady', 'kubelet is posting ready status'),
  ];
}
