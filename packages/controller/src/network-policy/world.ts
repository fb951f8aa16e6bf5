import { type LabelSelector, type Labels, selects } from '@enid/kube';
import type { PodFacts, ServiceFacts } from './facts.ts';
import type { PodPeer } from './policy.ts';
import { labelOf, pivotOf } from './selectors.ts';

/** Sets by key; sets that are empty are not kept. */
export class Buckets<T> {
  readonly #sets = new Map<string, Set<T>>();

  add(key: string, value: T): void {
    const set = this.#sets.get(key);
    if (set) set.add(value);
    else this.#sets.set(key, new Set([value]));
  }

  delete(key: string, value: T): void {
    const set = this.#sets.get(key);
    set?.delete(value);
    if (set?.size === 0) this.#sets.delete(key);
  }

  of(key: string): ReadonlySet<T> {
    return this.#sets.get(key) ?? NONE;
  }
}

const NONE: ReadonlySet<never> = new Set();
const at = (namespace: string, label = '') => `${namespace}\0${label}`;

/** The pods, namespaces and Services of a cluster, found by what policies ask for. */
export class World {
  readonly pods = new Map<string, PodFacts>();
  readonly namespaces = new Map<string, Labels>();
  readonly services = new Map<string, ServiceFacts>();
  /** By namespace, by namespace and label, and by the name of a port. */
  readonly #podsBy = new Buckets<PodFacts>();
  readonly #podsByPort = new Buckets<PodFacts>();
  /** By namespace and one of the labels that it selects by. */
  readonly #servicesBy = new Buckets<ServiceFacts>();

  setPod(key: string, pod: PodFacts | undefined): void {
    const old = this.pods.get(key);
    if (old) {
      for (const bucket of bucketsOf(old)) this.#podsBy.delete(bucket, old);
      for (const { name } of old.ports) this.#podsByPort.delete(name, old);
      this.pods.delete(key);
    }
    if (!pod) return;
    this.pods.set(key, pod);
    for (const bucket of bucketsOf(pod)) this.#podsBy.add(bucket, pod);
    for (const { name } of pod.ports) this.#podsByPort.add(name, pod);
  }

  setNamespace(name: string, labels: Labels | undefined): void {
    if (labels) this.namespaces.set(name, labels);
    else this.namespaces.delete(name);
  }

  setService(key: string, service: ServiceFacts | undefined): void {
    const old = this.services.get(key);
    if (old) this.#servicesBy.delete(serviceBucket(old), old);
    this.services.delete(key);
    if (!service) return;
    this.services.set(key, service);
    this.#servicesBy.add(serviceBucket(service), service);
  }

  /** The pods that policies can mean by this: none of the host network. */
  *select({ namespaces, pods }: PodPeer): Generator<PodFacts> {
    for (const namespace of this.#namespaces(namespaces)) {
      for (const pod of this.#candidates(namespace, pods)) {
        if (!pod.hostNetwork && selects(pods, pod.labels)) yield pod;
      }
    }
  }

  /** The pods with a port of this name, without those of the host network. */
  *withPort(name: string): Generator<PodFacts> {
    for (const pod of this.#podsByPort.of(name)) if (!pod.hostNetwork) yield pod;
  }

  /** The pods behind a Service, those of the host network among them. */
  *backends({ namespace, selector }: ServiceFacts): Generator<PodFacts> {
    const wanted = { matchLabels: selector };
    for (const pod of this.#candidates(namespace, wanted)) if (selects(wanted, pod.labels)) yield pod;
  }

  /** The Services that a pod stands behind. */
  *servicesOf({ namespace, labels }: PodFacts): Generator<ServiceFacts> {
    for (const key in labels) {
      for (const service of this.#servicesBy.of(at(namespace, labelOf(key, labels[key]!)))) {
        if (selects({ matchLabels: service.selector }, labels)) yield service;
      }
    }
  }

  *#namespaces(wanted: string | LabelSelector): Generator<string> {
    if (typeof wanted === 'string') yield wanted;
    else for (const [name, labels] of this.namespaces) if (selects(wanted, labels)) yield name;
  }

  *#candidates(namespace: string, selector: LabelSelector): Generator<PodFacts> {
    const pivot = pivotOf(selector);
    if (!pivot) yield* this.#podsBy.of(at(namespace));
    else for (const label of pivot) yield* this.#podsBy.of(at(namespace, label));
  }
}

function* bucketsOf({ namespace, labels }: PodFacts): Generator<string> {
  yield at(namespace);
  for (const key in labels) yield at(namespace, labelOf(key, labels[key]!));
}

const serviceBucket = ({ namespace, selector }: ServiceFacts) =>
  at(namespace, pivotOf({ matchLabels: selector })?.[0]);
