/** What is known of policies, and what follows from it for the pods of a node. */
import {
  type ClusterPolicyEndpoint,
  type ClusterSubject,
  type KubeObject,
  type Labels,
  type Pod,
  type PolicyEndpoint,
  selects,
} from '@enid/kube';
import { EndpointRules, namedPorts, policyOf } from './endpoint-rules.ts';
import { PodAddresses } from './pod-addresses.ts';
import type { Direction, DirectionRules, PodRules, PolicyRef, PolicyRules } from './rules.ts';

const DIRECTIONS = { ingress: 'Ingress', egress: 'Egress' } as const;

/** `namespace/name`, or `name`. */
export const keyOf = ({ metadata }: KubeObject): string =>
  metadata?.namespace ? `${metadata.namespace}/${metadata.name}` : `${metadata?.name}`;

export class NodePolicies {
  readonly #mode: 'standard' | 'strict';
  readonly #namespaces = new Map<string, Labels>();
  /** Policy endpoints by namespace and key. */
  readonly #endpoints = new Map<string, Map<string, PolicyEndpoint>>();
  readonly #clusterEndpoints = new Map<string, ClusterPolicyEndpoint>();
  readonly #addresses = new PodAddresses();
  readonly #rules = new EndpointRules();

  /** @param mode `standard`: a pod that no policy selects is open. `strict`: it is closed. */
  constructor(mode: 'standard' | 'strict') {
    this.#mode = mode;
  }

  setNamespace(name: string, labels: Labels | undefined): void {
    if (labels) this.#namespaces.set(name, labels);
    else this.#namespaces.delete(name);
  }

  /** Whether the labels of a namespace are known, by which cluster policies bind. */
  knowsNamespace(name: string): boolean {
    return this.#namespaces.has(name);
  }

  setEndpoint(old: PolicyEndpoint | undefined, now: PolicyEndpoint | undefined): void {
    const one = (now ?? old)!;
    const namespace = one.metadata?.namespace ?? '';
    const all = this.#endpoints.get(namespace) ?? new Map<string, PolicyEndpoint>();
    this.#addresses.add(now?.spec.podSelectorEndpoints);
    this.#addresses.remove(all.get(keyOf(one))?.spec.podSelectorEndpoints);
    if (now) all.set(keyOf(one), now);
    else all.delete(keyOf(one));
    if (all.size > 0) this.#endpoints.set(namespace, all);
    else this.#endpoints.delete(namespace);
  }

  setClusterEndpoint(old: ClusterPolicyEndpoint | undefined, now: ClusterPolicyEndpoint | undefined): void {
    const key = keyOf((now ?? old)!);
    this.#addresses.add(now?.spec.podSelectorEndpoints);
    this.#addresses.remove(this.#clusterEndpoints.get(key)?.spec.podSelectorEndpoints);
    if (now) this.#clusterEndpoints.set(key, now);
    else this.#clusterEndpoints.delete(key);
  }

  /** Whether a policy endpoint is for a pod: for it by name, or for what has its labels, as a pod has that is new. */
  selects(endpoint: PolicyEndpoint | ClusterPolicyEndpoint, pod: Pod): boolean {
    const { namespace = '', name, labels } = pod.metadata ?? {};
    const { spec } = endpoint;
    if ('subject' in spec) return this.#inSubject(spec.subject, namespace, labels);
    if (endpoint.metadata?.namespace !== namespace) return false;
    if (spec.podSelector) return selects(spec.podSelector, labels);
    return (spec.podSelectorEndpoints ?? []).some((one) => one.name === name && one.namespace === namespace);
  }

  #inSubject({ namespaces, pods }: ClusterSubject, namespace: string, labels: Labels | undefined): boolean {
    const own = this.#namespaces.get(namespace);
    if (!own) return false;
    if (namespaces) return selects(namespaces, own);
    return (
      pods !== undefined &&
      selects(pods.namespaceSelector ?? {}, own) &&
      selects(pods.podSelector ?? {}, labels)
    );
  }

  /** The pod that has an address, among those that policies select. */
  podAt(address: string): string | undefined {
    return this.#addresses.at(address);
  }

  /** All that binds a pod. */
  rulesOf(pod: Pod): PodRules {
    return { ingress: this.#direction(pod, 'ingress'), egress: this.#direction(pod, 'egress') };
  }

  /** What binds a pod of which nothing is known. */
  get unknown(): PodRules {
    const none: DirectionRules = {
      ...{ always: [], admin: [], networkPolicies: [], baseline: [] },
      default: this.#mode === 'strict' ? 'deny' : 'allow',
    };
    return { ingress: none, egress: none };
  }

  /** The policies that select a pod in a direction. */
  policiesOf(pod: Pod, direction: Direction): PolicyRef[] {
    const all = [...this.#selecting(pod, direction), ...this.#clusterSelecting(pod)].map(policyOf);
    const byName = new Map(all.map((ref) => [`${ref.kind} ${ref.namespace ?? ''} ${ref.name}`, ref]));
    return [...byName.values()];
  }

  #direction(pod: Pod, direction: Direction): DirectionRules {
    const own = namedPorts(pod);
    const rules = (object: PolicyEndpoint | ClusterPolicyEndpoint): PolicyRules =>
      this.#rules.of(object, direction, own);
    const cluster = this.#clusterSelecting(pod);
    const tier = (name: string) => cluster.filter(({ spec }) => spec.tier === name).map(rules);
    return {
      always: [],
      admin: tier('Admin'),
      networkPolicies: this.#selecting(pod, direction).map(rules),
      baseline: tier('Baseline'),
      default: this.#mode === 'strict' ? 'deny' : 'allow',
    };
  }

  #selecting(pod: Pod, direction: Direction): PolicyEndpoint[] {
    const all = this.#endpoints.get(pod.metadata?.namespace ?? '')?.values() ?? [];
    return [...all].filter(
      (endpoint) => endpoint.spec.podIsolation.includes(DIRECTIONS[direction]) && this.selects(endpoint, pod),
    );
  }

  #clusterSelecting(pod: Pod): ClusterPolicyEndpoint[] {
    return [...this.#clusterEndpoints.values()].filter((endpoint) => this.selects(endpoint, pod));
  }
}
