/** What is wrong with nodes, leases, storage, roles, classes and webhooks. */
import type { Fields, KubeObject } from '../object.ts';
import { isEqual } from '../patch/equal.ts';
import { type Causes, error, IMMUTABLE } from './errors.ts';
import { cidr, dnsSubdomain, labelValue, qualifiedName } from './formats.ts';
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

export function* validateClaim({ spec = {} }: KubeObject): Causes {
  if (texts(spec, 'accessModes').length === 0) {
    yield error.required('spec.accessModes', 'at least 1 access mode is required');
  }
  const storage = sub(sub(spec, 'resources'), 'requests').storage;
  if (storage === undefined) yield error.required('spec.resources[storage]');
}

export function* validateClaimUpdate({ spec = {} }: KubeObject, { spec: was = {} }: KubeObject): Causes {
  const fixed = ({ resources, volumeAttributesClassName, volumeName, ...rest }: Fields): Fields => rest;
  const rebound = text(was, 'volumeName') !== '' && spec.volumeName !== was.volumeName;
  if (rebound || !isEqual(fixed(spec), fixed(was))) {
    const detail =
      'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';
    yield error.forbidden('spec', detail);
  }
}

const VOLUME_FIELDS = new Set([
  'accessModes',
  'capacity',
  'claimRef',
  'mountOptions',
  'nodeAffinity',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'volumeAttributesClassName',
  'volumeMode',
]);

export function* validateVolume({ spec = {} }: KubeObject): Causes {
  if (texts(spec, 'accessModes').length === 0) yield error.required('spec.accessModes');
  if (sub(spec, 'capacity').storage === undefined) yield error.required('spec.capacity');
  const sources = Object.keys(spec).filter((name) => !VOLUME_FIELDS.has(name) && has(spec, name));
  if (sources.length === 0) yield error.required('spec', 'must specify a volume type');
  for (const name of sources.slice(1)) {
    yield error.forbidden(`spec.${name}`, 'may not specify more than 1 volume type');
  }
}

export function* validateStorageClassUpdate(object: KubeObject, old: KubeObject): Causes {
  for (const name of ['provisioner', 'parameters', 'reclaimPolicy'] as const) {
    if (!isEqual(object[name] ?? {}, old[name] ?? {})) {
      yield error.forbidden(name, `updates to ${name} are forbidden.`);
    }
  }
  if (object.volumeBindingMode !== old.volumeBindingMode) {
    yield error.invalid('volumeBindingMode', object.volumeBindingMode, IMMUTABLE);
  }
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

export function* validateWebhooks(object: KubeObject): Causes {
  const names = new Set<string>();
  for (const [webhook, at] of each(object, 'webhooks', '')) {
    const name = text(webhook, 'name');
    if (name !== '' && (dnsSubdomain(name).length > 0 || name.split('.').length < 3)) {
      yield error.invalid(
        `${at}.name`,
        name,
        'should be a domain with at least three segments separated by dots',
      );
    }
    if (names.has(name)) yield error.duplicate(`${at}.name`, name);
    names.add(name);
    const client = sub(webhook, 'clientConfig');
    if (has(client, 'url') === has(client, 'service')) {
      yield error.required(`${at}.clientConfig`, 'exactly one of url or service is required');
    }
    const seconds = number(webhook, 'timeoutSeconds') ?? 10;
    if (seconds < 1 || seconds > 30) {
      yield error.invalid(
        `${at}.timeoutSeconds`,
        seconds,
        'the timeout value must be between 1 and 30 seconds',
      );
    }
  }
}
