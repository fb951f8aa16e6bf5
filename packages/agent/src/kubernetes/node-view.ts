import { Informer, type KubeClient, type Node } from '@enid/kube';

const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable';

/** The agent's own Node, followed by one watch of that object alone. */
export class NodeView {
  readonly name: string;
  readonly #informer: Informer<Node>;

  constructor(client: KubeClient, name: string, onError: (error: Error) => void) {
    this.name = name;
    const fieldSelector = `metadata.name=${name}`;
    this.#informer = new Informer<Node>({ client, path: '/api/v1/nodes', fieldSelector, onError });
  }

  /** As last heard of; undefined when nothing was. */
  get node(): Node | undefined {
    return this.#informer.get(this.name);
  }

  /** False when the node is cordoned. A node of which nothing is known counts as schedulable. */
  get schedulable(): boolean {
    const taints = this.node?.spec?.taints ?? [];
    return !taints.some(({ key, effect }) => key === UNSCHEDULABLE && effect === 'NoSchedule');
  }

  /** How many pods the kubelet takes, host-network pods included. */
  get maxPods(): number | undefined {
    const pods = Number(this.node?.status?.allocatable?.pods);
    return Number.isInteger(pods) ? pods : undefined;
  }

  /** Resolves when the node has been heard of; rejects when stopped before. */
  get synced(): Promise<void> {
    return this.#informer.synced;
  }

  /** Calls the handler at each change from now on, and once now if the node is known. @returns what ends that. */
  onChange(handler: (node: Node | undefined) => void): () => void {
    return this.#informer.onChange((_, now) => handler(now));
  }

  stop(): Promise<void> {
    return this.#informer.stop();
  }
}
