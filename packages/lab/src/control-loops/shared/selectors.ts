import type { LabelSelector, Node, Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';

export type Labels = Readonly<Record<string, string>>;
type Requirement = {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[] | undefined;
};
export type NodeSelectorTerm = Wire<k8s.V1NodeSelectorTerm>;
export type NodeSelector = Wire<k8s.V1NodeSelector>;

/** Whether a set-based requirement holds; Gt and Lt compare whole numbers, and are for nodes only. */
function holds({ key, operator, values = [] }: Requirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return isWhole(value) && isWhole(values[0]) && BigInt(value) > BigInt(values[0]);
    case 'Lt':
      return isWhole(value) && isWhole(values[0]) && BigInt(value) < BigInt(values[0]);
    default:
      return false;
  }
}

const isWhole = (text: string | undefined): text is string => text !== undefined && /^-?\d+$/.test(text);

/** Whether labels have these values. */
export function hasLabels(wanted: Labels, labels: Labels | undefined = {}): boolean {
  for (const key in wanted) if (labels[key] !== wanted[key]) return false;
  return true;
}

/** An empty selector selects everything; none selects nothing. */
export function selects(selector: LabelSelector | undefined, labels: Labels | undefined = {}): boolean {
  if (!selector) return false;
  return (
    hasLabels(selector.matchLabels ?? {}, labels) &&
    (selector.matchExpressions ?? []).every((requirement) => holds(requirement, labels))
  );
}

export const isEmptySelector = (selector: LabelSelector | undefined) =>
  Object.keys(selector?.matchLabels ?? {}).length + (selector?.matchExpressions ?? []).length === 0;

/** Whether a node fits one term: all of its requirements. A term without any fits no node. */
export function matchesNodeTerm(term: NodeSelectorTerm, node: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length + matchFields.length === 0) return false;
  const fields = { 'metadata.name': node.metadata?.name ?? '' };
  return (
    matchExpressions.every((requirement) => holds(requirement, node.metadata?.labels ?? {})) &&
    matchFields.every((requirement) => holds(requirement, fields))
  );
}

/** Whether a node fits one of the terms. */
export function matchesNodeSelector(selector: NodeSelector, node: Node): boolean {
  return selector.nodeSelectorTerms.some((term) => matchesNodeTerm(term, node));
}
