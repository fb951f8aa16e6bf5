import { type Labels, selects } from '@enid/kube';
import type { PodFacts } from './facts.ts';
import type { PodPeer, Policy } from './policy.ts';
import { labelOf, pivotOf } from './selectors.ts';
import { Buckets } from './world.ts';

type Interest = { readonly policy: string; readonly pods: PodPeer };

const at = (namespace: string, label = '') => `${namespace}\0${label}`;
/** Stands for a selector of namespaces; no namespace has this name. */
const MANY = '*';

/** Which policies a pod matters to: found by the pod's labels, without a look at the others. */
export class Interests {
  /** By namespace and one of the labels that are asked for. */
  readonly #byLabel = new Buckets<Interest>();
  /** By the name of a port of anybody's. */
  readonly #byPort = new Buckets<string>();
  readonly #byNamespaces = new Set<Interest>();
  readonly #of = new Map<string, readonly Interest[]>();
  readonly #portsOf = new Map<string, readonly string[]>();

  /** @param policy undefined: it is gone. */
  set(id: string, policy: Policy | undefined): void {
    for (const interest of this.#of.get(id) ?? []) {
      for (const bucket of bucketsOf(interest)) this.#byLabel.delete(bucket, interest);
      this.#byNamespaces.delete(interest);
    }
    for (const name of this.#portsOf.get(id) ?? []) this.#byPort.delete(name, id);
    this.#of.delete(id);
    this.#portsOf.delete(id);
    if (!policy) return;
    const interests = peersOf(policy).map((pods): Interest => ({ policy: id, pods }));
    const ports = policy.egress.flatMap(({ peers, ports = [] }) =>
      peers ? [] : ports.flatMap((port) => ('name' in port ? [port.name] : [])),
    );
    this.#of.set(id, interests);
    this.#portsOf.set(id, ports);
    for (const name of ports) this.#byPort.add(name, id);
    for (const interest of interests) {
      for (const bucket of bucketsOf(interest)) this.#byLabel.add(bucket, interest);
      if (typeof interest.pods.namespaces !== 'string') this.#byNamespaces.add(interest);
    }
  }

  /** The policies that select the pod or name it as a peer. */
  *inPod(pod: PodFacts, namespace: Labels | undefined): Generator<string> {
    if (pod.hostNetwork) return;
    for (const scope of [pod.namespace, MANY]) {
      yield* this.#matching(at(scope), pod, namespace);
      for (const key in pod.labels)
        yield* this.#matching(at(scope, labelOf(key, pod.labels[key]!)), pod, namespace);
    }
    for (const { name } of pod.ports) yield* this.#byPort.of(name);
  }

  /** The policies to which a namespace came or went when its labels changed. */
  *inNamespace(old: Labels | undefined, now: Labels | undefined): Generator<string> {
    const has = (pods: PodPeer, labels: Labels | undefined) =>
      labels !== undefined && typeof pods.namespaces !== 'string' && selects(pods.namespaces, labels);
    for (const { policy, pods } of this.#byNamespaces) if (has(pods, old) !== has(pods, now)) yield policy;
  }

  *#matching(bucket: string, { labels }: PodFacts, namespace: Labels | undefined): Generator<string> {
    for (const { policy, pods } of this.#byLabel.of(bucket)) {
      const isHere =
        typeof pods.namespaces === 'string' ||
        (namespace !== undefined && selects(pods.namespaces, namespace));
      if (isHere && selects(pods.pods, labels)) yield policy;
    }
  }
}

const peersOf = ({ subject, ingress, egress }: Policy): PodPeer[] => [
  subject,
  ...[...ingress, ...egress].flatMap(({ peers = [] }) => peers.filter((peer) => 'pods' in peer)),
];

function bucketsOf({ pods: { namespaces, pods } }: Interest): string[] {
  const scope = typeof namespaces === 'string' ? namespaces : MANY;
  return pivotOf(pods)?.map((label) => at(scope, label)) ?? [at(scope)];
}
