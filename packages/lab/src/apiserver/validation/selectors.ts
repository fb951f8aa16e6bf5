/** Label selectors and node selectors. */
import type { Fields } from '../object.ts';
import { type Causes, error } from './errors.ts';
import { labelValue, qualifiedName } from './formats.ts';
import { validateLabels } from './metadata.ts';
import { each, has, number, sub, text, texts } from './read.ts';

/** A `metav1.LabelSelector`. */
export function* validateSelector(selector: Fields, path: string): Causes {
  yield* validateLabels(selector.matchLabels, `${path}.matchLabels`);
  for (const [requirement, at] of each(selector, 'matchExpressions', path)) {
    yield* validateRequirement(requirement, at);
    for (const [index, value] of texts(requirement, 'values').entries()) {
      for (const detail of labelValue(value)) yield error.invalid(`${at}.values[${index}]`, value, detail);
    }
  }
}

function* validateRequirement(requirement: Fields, path: string): Causes {
  const [operator, values] = [text(requirement, 'operator'), texts(requirement, 'values')];
  const key = text(requirement, 'key');
  if (key !== '') for (const detail of qualifiedName(key)) yield error.invalid(`${path}.key`, key, detail);
  if ((operator === 'In' || operator === 'NotIn') && values.length === 0) {
    yield error.required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
  }
  if ((operator === 'Exists' || operator === 'DoesNotExist') && values.length > 0) {
    yield error.forbidden(
      `${path}.values`,
      "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
    );
  }
  if ((operator === 'Gt' || operator === 'Lt') && values.length !== 1) {
    yield error.required(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'");
  }
}

export function isEmptySelector(selector: Fields): boolean {
  return (
    Object.keys(sub(selector, 'matchLabels')).length + each(selector, 'matchExpressions', '').length === 0
  );
}

export function matches(selector: Fields, labels: Fields): boolean {
  const wanted = Object.entries(sub(selector, 'matchLabels'));
  return (
    wanted.every(([key, value]) => own(labels, key) === value) &&
    each(selector, 'matchExpressions', '').every(([requirement]) => {
      const value = own(labels, text(requirement, 'key'));
      const isIn = texts(requirement, 'values').includes(String(value));
      switch (requirement.operator) {
        case 'In':
          return value !== undefined && isIn;
        case 'NotIn':
          return value === undefined || !isIn;
        case 'Exists':
          return value !== undefined;
        default:
          return value === undefined;
      }
    })
  );
}

/** Labels may have the names of what every object has. */
function own(labels: Fields, key: string): unknown {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

export function* validateAffinity(affinity: Fields, path: string): Causes {
  const node = sub(affinity, 'nodeAffinity');
  const required = sub(node, 'requiredDuringSchedulingIgnoredDuringExecution');
  const terms = `${path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution`;
  for (const [term, at] of each(required, 'nodeSelectorTerms', terms)) yield* validateTerm(term, at);
  for (const [item, at] of each(
    node,
    'preferredDuringSchedulingIgnoredDuringExecution',
    `${path}.nodeAffinity`,
  )) {
    yield* validateWeight(item, at);
    yield* validateTerm(sub(item, 'preference'), `${at}.preference`);
  }
  for (const kind of ['podAffinity', 'podAntiAffinity']) {
    const pods = sub(affinity, kind);
    const at = `${path}.${kind}`;
    for (const [term, place] of each(pods, 'requiredDuringSchedulingIgnoredDuringExecution', at)) {
      yield* validatePodTerm(term, place);
    }
    for (const [item, place] of each(pods, 'preferredDuringSchedulingIgnoredDuringExecution', at)) {
      yield* validateWeight(item, place);
      yield* validatePodTerm(sub(item, 'podAffinityTerm'), `${place}.podAffinityTerm`);
    }
  }
}

function* validateTerm(term: Fields, path: string): Causes {
  for (const list of ['matchExpressions', 'matchFields']) {
    for (const [requirement, at] of each(term, list, path)) yield* validateRequirement(requirement, at);
  }
}

function* validatePodTerm(term: Fields, path: string): Causes {
  if (has(term, 'labelSelector'))
    yield* validateSelector(sub(term, 'labelSelector'), `${path}.labelSelector`);
  if (has(term, 'namespaceSelector')) {
    yield* validateSelector(sub(term, 'namespaceSelector'), `${path}.namespaceSelector`);
  }
}

function* validateWeight(item: Fields, path: string): Causes {
  const weight = number(item, 'weight') ?? 0;
  if (weight < 1 || weight > 100) yield error.invalid(`${path}.weight`, weight, 'must be in the range 1-100');
}
