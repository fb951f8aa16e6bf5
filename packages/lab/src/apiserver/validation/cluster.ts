/** What is wrong with nodes, leases, roles and classes. */
import type { KubeObject } from '../object.ts';
import { isEqual } from '../patch/equal.ts';
import { type Causes, error } from './errors.ts';
import { cidr, labelValue, qualifiedName } from './formats.ts';
import { notNegative } from './pods/containers.ts';
import { each, has, number, sub, text, texts } from './read.ts';

const RBAC = 'rbac.authorization.k8s.io';

export function* validateNode({ spec = {} }: KubeObject): Causes {
  const seen = new Set<string>();
  for (const [taint, at] of each(spec, 'taints', 'spec')) {
    const [key, value] = [text(taint, 'key'), text(taint, 'value')];
    if (key !== '') for (const detail of qualifiedName(key)) yield error.invalid(`${at}.key`, key, detail);
    for (const detail of labelValue(value)) yield error.invalid(`${at}.value`, value, detail);
    const pair = `${key} ${taint.effect}`;
    if (seen.has(pair)) yield error.duplicate(at, taint);
    seen.add(pair);
  }
  for (const [index, range] of texts(spec, 'podCIDRs').entries()) {
    for (const detail of cidr(range)) yield error.invalid(`spec.podCIDRs[${index}]`, range, detail);
  }
}

export function* validateNodeUpdate({ spec = {} }: KubeObject, { spec: was = {} }: KubeObject): Causes {
  if (has(was, 'podCIDRs') && !isEqual(spec.podCIDRs, was.podCIDRs)) {
    yield error.forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid');
  }
  if (text(was, 'providerID') !== '' && spec.providerID !== was.providerID) {
    yield error.forbidden(
      'spec.providerID',
      'node updates may not change providerID except from "" to valid',
    );
  }
}

export function* validateLease({ spec = {} }: KubeObject): Causes {
  const seconds = number(spec, 'leaseDurationSeconds');
  if (seconds !== undefined && seconds <= 0) {
    yield error.invalid('spec.leaseDurationSeconds', seconds, 'must be greater than 0');
  }
  yield* notNegative(spec, 'leaseTransitions', 'spec');
}

export function* validatePriorityUpdate(object: KubeObject, old: KubeObject): Causes {
  if (object.value !== old.value) yield error.forbidden('value', 'may not be changed in an update.');
}

export function* validateRole(object: KubeObject): Causes {
  const isNamespaced = object.kind === 'Role';
  for (const [rule, at] of each(object, 'rules', '')) {
    const urls = texts(rule, 'nonResourceURLs');
    if (urls.length > 0) {
      if (isNamespaced) {
        const detail = 'namespaced rules cannot apply to non-resource URLs';
        yield error.invalid(`${at}.nonResourceURLs`, urls, detail);
      }
      if (texts(rule, 'apiGroups').length + texts(rule, 'resources').length > 0) {
        const detail = 'rules cannot apply to both regular resources and non-resource URLs';
        yield error.invalid(`${at}.nonResourceURLs`, urls, detail);
      }
      continue;
    }
    if (texts(rule, 'apiGroups').length === 0) {
      yield error.required(`${at}.apiGroups`, 'resource rules must supply at least one api group');
    }
    if (texts(rule, 'resources').length === 0) {
      yield error.required(`${at}.resources`, 'resource rules must supply at least one resource');
    }
  }
}

export function* validateRoleBinding(object: KubeObject): Causes {
  const role = sub(object, 'roleRef');
  const isNamespaced = object.kind === 'RoleBinding';
  if (role.apiGroup !== RBAC) yield error.notSupported('roleRef.apiGroup', role.apiGroup ?? '', [RBAC]);
  const kinds = isNamespaced ? ['Role', 'ClusterRole'] : ['ClusterRole'];
  if (text(role, 'kind') !== '' && !kinds.includes(text(role, 'kind'))) {
    yield error.notSupported('roleRef.kind', role.kind, kinds);
  }
  for (const [subject, at] of each(object, 'subjects', '')) {
    const kind = text(subject, 'kind');
    if (kind === 'ServiceAccount') {
      if (text(subject, 'apiGroup') !== '')
        yield error.notSupported(`${at}.apiGroup`, subject.apiGroup, ['']);
      if (!isNamespaced && text(subject, 'namespace') === '') yield error.required(`${at}.namespace`);
    } else if (kind === 'User' || kind === 'Group') {
      if (subject.apiGroup !== RBAC) yield error.notSupported(`${at}.apiGroup`, subject.apiGroup, [RBAC]);
    } else if (kind !== '') yield error.notSupported(`${at}.kind`, kind, ['ServiceAccount', 'User', 'Group']);
  }
}

export function* validateRoleBindingUpdate(object: KubeObject, old: KubeObject): Causes {
  if (!isEqual(object.roleRef, old.roleRef))
    yield error.invalid('roleRef', object.roleRef, 'cannot change roleRef');
}
