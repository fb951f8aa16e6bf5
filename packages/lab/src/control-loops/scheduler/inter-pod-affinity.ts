import type { LabelSelector, Pod, Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';
import { selects } from '../shared/selectors.ts';
import type { Filter } from './filter.ts';
import type { NodeInfo, Snapshot } from './node-info.ts';

type Term = Wire<k8s.V1PodAffinityTerm>;

const AFFINITY = "node(s) didn't match pod affinity rules";
const ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules";
const EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules";

const required = (pod: Pod, kind: 'podAffinity' | 'podAntiAffinity'): readonly Term[] =>
  pod.spec?.affinity?.[kind]?.requiredDuringSchedulingIgnoredDuringExecution ?? [];

/** A selector that also asks for, or against, the values which the pod has of certain labels. */
export function withLabelKeys(
  selector: LabelSelector | undefined,
  pod: Pod,
  matchKeys: readonly string[] = [],
  mismatchKeys: readonly string[] = [],
): LabelSelector | undefined {
  if (!selector) return undefined;
  const labels = pod.metadata?.labels ?? {};
  const requirements = (keys: readonly string[], operator: string) =>
    keys.filter((key) => labels[key] !== undefined).map((key) => ({ key, operator, values: [labels[key]!] }));
  const added = [...requirements(matchKeys, 'In'), ...requirements(mismatchKeys, 'NotIn')];
  return added.length === 0
    ? selector
    : { ...selector, matchExpressions: [...(selector.matchExpressions ?? []), ...added] };
}

/** What a term of `owner` says of other pods. */
export function termMatcher(term: Term, owner: Pod, snapshot: Snapshot): (pod: Pod) => boolean {
  const selector = withLabelKeys(term.labelSelector, owner, term.matchLabelKeys, term.mismatchLabelKeys);
  const names = term.namespaces ?? [];
  const own = names.length === 0 && !term.namespaceSelector ? owner.metadata?.namespace : undefined;
  return (pod) => {
    const namespace = pod.metadata?.namespace ?? '';
    const inScope =
      namespace === own ||
      names.includes(namespace) ||
      selects(term.namespaceSelector, snapshot.namespaceLabels(namespace));
    return inScope && selects(selector, pod.metadata?.labels);
  };
}

type Counted = { readonly key: string; readonly domains: ReadonlySet<string> };

/** The domains of the term's topology in which there are pods that it means. */
function domainsWith(key: string, nodes: readonly NodeInfo[], matches: (pod: Pod) => boolean): Counted {
  const domains = new Set<string>();
  for (const { labels, pods } of nodes) {
    const domain = labels[key];
    if (domain !== undefined && !domains.has(domain) && pods.some(matches)) domains.add(domain);
  }
  return { key, domains };
}

/** Required pod affinity and anti-affinity: what the pod wants of those there are, and they of it. */
export function interPodAffinity(pod: Pod, snapshot: Snapshot): Filter {
  const wanted = required(pod, 'podAffinity');
  const matchers = wanted.map((term) => termMatcher(term, pod, snapshot));
  const matchesAll = (other: Pod) => matchers.every((matches) => matches(other));
  const near = wanted.map(({ topologyKey }) => domainsWith(topologyKey, snapshot.nodes, matchesAll));
  // The first of pods that want to be with their like has none to be with.
  const first = near.every(({ domains }) => domains.size === 0) && matchesAll(pod);
  const far = required(pod, 'podAntiAffinity').map((term) =>
    domainsWith(term.topologyKey, snapshot.nodes, termMatcher(term, pod, snapshot)),
  );
  const closed = closedTo(pod, snapshot);

  return ({ labels }) => {
    if (near.some(({ key }) => labels[key] === undefined)) return { reasons: [AFFINITY], lasting: true };
    if (!first && near.some(({ key, domains }) => !domains.has(labels[key]!))) {
      return { reasons: [AFFINITY], lasting: true };
    }
    if (far.some(({ key, domains }) => domains.has(labels[key] ?? ''))) {
      return { reasons: [ANTI_AFFINITY], lasting: false };
    }
    if (closed.some(({ key, domain }) => labels[key] === domain))
      return { reasons: [EXISTING], lasting: false };
    return undefined;
  };
}

/** The domains that pods there keep for themselves. */
function closedTo(pod: Pod, snapshot: Snapshot): { readonly key: string; readonly domain: string }[] {
  return snapshot.nodes.flatMap(({ labels, exclusive }) =>
    exclusive.flatMap((other) =>
      required(other, 'podAntiAffinity').flatMap((term) => {
        const domain = labels[term.topologyKey];
        if (domain === undefined || !termMatcher(term, other, snapshot)(pod)) return [];
        return [{ key: term.topologyKey, domain }];
      }),
    ),
  );
}

/** How much the pod would like to be on a node for the pods near it; may be negative. */
export function preferredPodAffinity(pod: Pod, snapshot: Snapshot): (node: NodeInfo) => number {
  const affinity = pod.spec?.affinity;
  const weighted = [
    ...(affinity?.podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((t) => ({
      ...t,
      sign: 1,
    })),
    ...(affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((t) => ({
      ...t,
      sign: -1,
    })),
  ];
  const scores = weighted.map(({ podAffinityTerm, weight, sign }) => {
    const matches = termMatcher(podAffinityTerm, pod, snapshot);
    const key = podAffinityTerm.topologyKey;
    const counts = new Map<string, number>();
    for (const { labels, pods } of snapshot.nodes) {
      const domain = labels[key];
      if (domain === undefined) continue;
      counts.set(domain, (counts.get(domain) ?? 0) + pods.filter(matches).length);
    }
    return ({ labels }: NodeInfo) => sign * weight * (counts.get(labels[key] ?? '') ?? 0);
  });
  return (node) => scores.reduce((sum, score) => sum + score(node), 0);
}
