/** What is wrong with the metadata of any object (apimachinery `api/validation`). */
import type { KubeObject } from '../object.ts';
import type { Resource } from '../registry/resource.ts';
import { type Causes, error } from './errors.ts';
import { dns1035Label, dnsLabel, dnsSubdomain, labelValue, pathSegment, qualifiedName } from './formats.ts';

/** Of all annotations of an object together. */
const ANNOTATIONS_SIZE = 256 * 1024;
/** Names of finalizers that need no domain. */
const STANDARD_FINALIZERS = new Set(['kubernetes', 'orphan', 'foregroundDeletion']);

/** Forms of names, by storage; of other kinds they are DNS subdomains. */
const NAMES: Readonly<Record<string, (name: string) => string[]>> = {
  namespaces: dnsLabel,
  services: dns1035Label,
  'roles.rbac.authorization.k8s.io': pathSegment,
  'clusterroles.rbac.authorization.k8s.io': pathSegment,
  'rolebindings.rbac.authorization.k8s.io': pathSegment,
  'clusterrolebindings.rbac.authorization.k8s.io': pathSegment,
};

export function* validateMetadata(resource: Resource, { metadata }: KubeObject): Causes {
  const { name, labels, annotations, finalizers = [], ownerReferences = [] } = metadata;
  if (!name) yield error.required('metadata.name', 'name or generateName is required');
  else {
    const form = NAMES[resource.storage] ?? dnsSubdomain;
    for (const detail of form(name)) yield error.invalid('metadata.name', name, detail);
  }
  yield* validateLabels(labels, 'metadata.labels');
  yield* validateAnnotations(annotations, 'metadata.annotations');
  for (const finalizer of finalizers) {
    for (const detail of qualifiedName(finalizer))
      yield error.invalid('metadata.finalizers', finalizer, detail);
    if (resource.group === '' && !finalizer.includes('/') && !STANDARD_FINALIZERS.has(finalizer)) {
      const detail = 'name is neither a standard finalizer name nor is it fully qualified';
      yield error.invalid('metadata.finalizers', finalizer, detail);
    }
  }
  for (const [index, owner] of ownerReferences.entries()) {
    const path = `metadata.ownerReferences[${index}]`;
    if (!owner.apiVersion) yield error.invalid(`${path}.apiVersion`, '', 'version must not be empty');
    for (const part of ['kind', 'name', 'uid'] as const) {
      if (!owner[part]) yield error.invalid(`${path}.${part}`, '', 'must not be empty');
    }
  }
  const controllers = ownerReferences.filter(({ controller }) => controller);
  if (controllers.length > 1) {
    const [first, second] = controllers.map((owner) => `${owner.kind}/${owner.name}`);
    const detail = `Only one reference can have Controller set to true. Found "true" in references for ${first} and ${second}`;
    yield error.invalid('metadata.ownerReferences', ownerReferences, detail);
  }
}

export function* validateMetadataUpdate({ metadata }: KubeObject, old: KubeObject): Causes {
  if (!old.metadata.deletionTimestamp) return;
  const known = new Set(old.metadata.finalizers);
  const added = (metadata.finalizers ?? []).filter((finalizer) => !known.has(finalizer));
  if (added.length === 0) return;
  const found = added.map((finalizer) => JSON.stringify(finalizer)).join(', ');
  const detail = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${found}}`;
  yield error.forbidden('metadata.finalizers', detail);
}

export function* validateLabels(labels: unknown, path: string): Causes {
  for (const [key, value] of Object.entries((labels ?? {}) as Record<string, string>)) {
    for (const detail of qualifiedName(key)) yield error.invalid(path, key, detail);
    for (const detail of labelValue(value)) yield error.invalid(path, value, detail);
  }
}

export function* validateAnnotations(annotations: unknown, path: string): Causes {
  let size = 0;
  for (const [key, value] of Object.entries((annotations ?? {}) as Record<string, string>)) {
    // Unlike those of labels, their case does not matter.
    for (const detail of qualifiedName(key.toLowerCase())) yield error.invalid(path, key, detail);
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > ANNOTATIONS_SIZE) yield error.tooLong(path, ANNOTATIONS_SIZE);
}
