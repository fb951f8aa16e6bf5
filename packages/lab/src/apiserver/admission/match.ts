/** Which requests a webhook wants to see (apiserver `admission/plugin/webhook/predicates`). */
import type { V1MutatingWebhook, V1RuleWithOperations, V1ValidatingWebhook } from '@kubernetes/client-node';
import type { KubeObject } from '../object.ts';
import type { Attributes } from '../registry/admission.ts';
import type { Catalog } from '../registry/catalog.ts';
import { type Labels, selectorMatches } from '../registry/label-selector.ts';
import type { Resource } from '../registry/resource.ts';
import type { Store } from '../storage/store.ts';

/** Whoever could hold these up could never be removed again. */
const EXEMPT = 'admissionregistration.k8s.io';

/**
 * @returns the version of the resource in which a webhook is to see a request: the request's, or another one of the same
 *     objects that the webhook has rules for; undefined when it does not want to see it.
 */
export function matchedAs(
  { rules, matchPolicy, namespaceSelector, objectSelector }: V1MutatingWebhook | V1ValidatingWebhook,
  attributes: Attributes,
  store: Store,
  catalog: Catalog,
): Resource | undefined {
  const { target, object, old } = attributes;
  const { resource } = target;
  if (resource.group === EXEMPT) return undefined;
  const matches = (candidate: Resource) => rules?.some((rule) => ruleMatches(rule, candidate, attributes));
  const isSame = ({ storage, custom }: Resource) =>
    storage === resource.storage && (custom === undefined) === (resource.custom === undefined);
  const as = matches(resource)
    ? resource
    : matchPolicy === 'Exact' || resource.storage === 'none'
      ? undefined
      : catalog.resources.find((candidate) => isSame(candidate) && matches(candidate));
  if (!as) return undefined;
  const labels = namespaceLabels(attributes, store);
  if (labels && !selectorMatches(namespaceSelector, labels)) return undefined;
  const either = [object, old].some(
    (one) => one && selectorMatches(objectSelector, one.metadata.labels ?? {}),
  );
  return either ? as : undefined;
}

function ruleMatches(
  { operations = [], apiGroups = [], apiVersions = [], resources = [], scope = '*' }: V1RuleWithOperations,
  { group, version, plural, namespaced }: Resource,
  { operation, subresource = '' }: Attributes,
): boolean {
  const among = (list: readonly string[], value: string) => list.includes('*') || list.includes(value);
  return (
    among(operations, operation) &&
    among(apiGroups, group) &&
    among(apiVersions, version) &&
    (scope === '*' || (scope === 'Namespaced') === namespaced) &&
    resources.some((text) => {
      const [name, of = ''] = text.split('/', 2);
      return (name === '*' || name === plural) && (of === '*' || of === subresource);
    })
  );
}

/** The labels that a namespace selector selects by; undefined of what is in no namespace, which it does not keep out. */
function namespaceLabels({ target, object, old }: Attributes, store: Store): Labels | undefined {
  const { resource, namespace, name } = target;
  const labelsOf = (one: KubeObject | undefined) => one?.metadata.labels ?? {};
  // A namespace is selected as it is to be; what is done to a part of it, as it is.
  if (resource.storage === 'namespaces')
    return labelsOf(object?.kind === 'Namespace' ? object : (old ?? store.get('namespaces', `/${name}`)));
  return resource.namespaced ? labelsOf(store.get('namespaces', `/${namespace}`)) : undefined;
}
