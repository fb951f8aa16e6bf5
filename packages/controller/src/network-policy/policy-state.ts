import { isDeepStrictEqual } from 'node:util';
import type { Namespace, Pod, Service } from '@enid/kube';
import { podFacts, serviceFacts } from './facts.ts';
import { Interests } from './interests.ts';
import type { Content } from './objects.ts';
import type { Policy } from './policy.ts';
import { resolve } from './resolve.ts';
import { Buckets, World } from './world.ts';

/** Of every namespace, whether the API server has written it or not. */
const NAME_LABEL = 'kubernetes.io/metadata.name';

/**
 * All policies over the cluster as it is. Each change says which policies may mean something else now: work is in
 * proportion to what a change touches.
 */
export class PolicyState {
  readonly #world = new World();
  readonly #interests = new Interests();
  readonly #policies = new Map<string, Policy>();
  /** By Service: the policies that it decided something of. */
  readonly #byService = new Buckets<string>();
  readonly #servicesOf = new Map<string, ReadonlySet<string>>();
  /** Policies with egress to everybody on certain ports: any Service may be one of those. */
  readonly #open = new Set<string>();

  /** @returns the policies to resolve again, as from the others below. */
  setPod(key: string, pod: Pod | undefined): Set<string> {
    const touched = new Set<string>();
    const old = this.#world.pods.get(key);
    const now = pod && podFacts(pod);
    if (isDeepStrictEqual(old, now)) return touched;
    this.#world.setPod(key, now);
    for (const facts of [old, now]) {
      if (!facts) continue;
      const namespace = this.#world.namespaces.get(facts.namespace);
      for (const policy of this.#interests.inPod(facts, namespace)) touched.add(policy);
      for (const service of this.#world.servicesOf(facts)) {
        for (const policy of this.#byService.of(service.key)) touched.add(policy);
      }
    }
    return touched;
  }

  setNamespace(name: string, namespace: Namespace | undefined): Set<string> {
    const old = this.#world.namespaces.get(name);
    const now = namespace && { ...namespace.metadata?.labels, [NAME_LABEL]: name };
    this.#world.setNamespace(name, now);
    return new Set(this.#interests.inNamespace(old, now));
  }

  setService(key: string, service: Service | undefined): Set<string> {
    const old = this.#world.services.get(key);
    const now = service && serviceFacts(service);
    if (isDeepStrictEqual(old, now)) return new Set();
    this.#world.setService(key, now);
    const touched = new Set([...this.#byService.of(key), ...this.#open]);
    if (!now) return touched;
    const namespace = this.#world.namespaces.get(now.namespace);
    for (const pod of this.#world.backends(now)) {
      for (const policy of this.#interests.inPod(pod, namespace)) touched.add(policy);
    }
    return touched;
  }

  setPolicy(id: string, policy: Policy | undefined): void {
    this.#interests.set(id, policy);
    this.#open.delete(id);
    if (policy) {
      this.#policies.set(id, policy);
      if (policy.egress.some(({ peers, ports }) => !peers && ports)) this.#open.add(id);
    } else {
      this.#policies.delete(id);
      this.#consulted(id, new Set());
    }
  }

  get(id: string): Policy | undefined {
    return this.#policies.get(id);
  }

  /** @returns undefined when there is no such policy. */
  resolve(id: string): Content | undefined {
    const policy = this.#policies.get(id);
    if (!policy) return undefined;
    const { content, services } = resolve(policy, this.#world);
    this.#consulted(id, services);
    return content;
  }

  #consulted(id: string, services: ReadonlySet<string>): void {
    for (const service of this.#servicesOf.get(id) ?? []) this.#byService.delete(service, id);
    for (const service of services) this.#byService.add(service, id);
    if (services.size > 0) this.#servicesOf.set(id, services);
    else this.#servicesOf.delete(id);
  }
}
