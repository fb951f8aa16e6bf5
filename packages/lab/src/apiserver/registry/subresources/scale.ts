/** `scale`: the number of replicas of anything that has one (`autoscaling/v1` Scale). */
import { type Fields, isFields, type KubeObject, type StoredObject, timestamp } from '../../object.ts';
import { applyPatch, mergePatch } from '../../patch/index.ts';
import { badRequest, field, invalid } from '../../status.ts';
import { assertCurrent, review, UNREVIEWED } from '../admission.ts';
import type { Call, Target } from '../call.ts';
import { show } from '../conversion.ts';
import { decodeObject } from '../decode.ts';
import { APPLY, assertPatchType, decodeApplied, patched } from '../patches.ts';
import { getObject } from '../reads.ts';
import { type Resource, resource as resourceOf, type ScalePaths } from '../resource.ts';
import { schemaOf } from '../schema-of.ts';
import type { Cluster } from '../strategy.ts';
import { change as changeObject } from '../writes.ts';

const BUILT_IN: ScalePaths = {
  specReplicasPath: '.spec.replicas',
  statusReplicasPath: '.status.replicas',
  labelSelectorPath: '.spec.selector',
};

const SCALE = resourceOf('autoscaling/v1', 'Scale');

function pathsOf(resource: Resource): ScalePaths {
  return resource.custom?.scale ?? BUILT_IN;
}

/** @throws {ApiError} NotFound. */
export function getScale(cluster: Cluster, target: Target): KubeObject {
  return scaleOf(target.resource, show(target.resource, getObject(cluster.store, target)));
}

function scaleOf(resource: Resource, object: StoredObject): KubeObject {
  const paths = pathsOf(resource);
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = paths.labelSelectorPath && valueAt(object, paths.labelSelectorPath);
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: valueAt(object, paths.specReplicasPath) ?? 0 },
    status: {
      replicas: valueAt(object, paths.statusReplicasPath) ?? 0,
      ...(selector !== undefined && { selector: isFields(selector) ? selectorText(selector) : selector }),
    },
  } as KubeObject;
}

/**
 * Sets the number of replicas.
 * @param scale what the client wants it to be.
 * @throws {ApiError} BadRequest, NotFound, Conflict, Invalid.
 */
export function updateScale(
  cluster: Cluster,
  target: Target,
  scale: Fields,
  call: Call,
): Promise<KubeObject> {
  return change(cluster, target, () => scale, call);
}

/**
 * Sets the number of replicas by a patch of the Scale. Who applies one owns the number, and only that.
 * @param type the patch's media type.
 * @throws {ApiError} UnsupportedMediaType, BadRequest, NotFound, Conflict, Invalid.
 */
export function patchScale(
  cluster: Cluster,
  target: Target,
  type: string,
  patch: unknown,
  call: Call,
): Promise<KubeObject> {
  assertPatchType(target.resource, type);
  if (type !== APPLY) return change(cluster, target, (scale) => patched(SCALE, type, scale, patch), call);
  const applied = decodeApplied(SCALE, patch, target, call);
  const named = applied.spec?.replicas !== undefined;
  const own: Ownership = (old, replicas) =>
    apply(cluster, target.resource, old, named ? replicas : undefined, call);
  return change(cluster, target, (scale) => mergePatch(scale, applied) as Fields, call, own);
}

/** An object with its number of replicas set, as one who takes hold of it makes it, with its owners. */
type Ownership = (old: StoredObject, replicas: number) => { object: KubeObject; managedFields: Fields[] };

async function change(
  cluster: Cluster,
  target: Target,
  edit: (scale: KubeObject) => Fields,
  call: Call,
  own?: Ownership,
): Promise<KubeObject> {
  const { resource, name } = target;
  const old = show(resource, getObject(cluster.store, target));
  const was = scaleOf(resource, old);
  const wanted = decodeObject(SCALE, edit(structuredClone(was)), target, call);
  const reviewing = review(cluster.admission, {
    operation: 'UPDATE',
    target,
    subresource: 'scale',
    object: wanted,
    old: was,
    call,
  });
  const scale = reviewing ? (await reviewing)! : wanted;
  if (reviewing) assertCurrent(cluster, target, old);
  if (scale.metadata?.name !== name)
    throw badRequest('the name of the object does not match the name on the URL');
  const replicas = scale.spec?.replicas ?? 0;
  if (!Number.isSafeInteger(replicas) || (replicas as number) < 0) {
    const cause = field.invalid('spec.replicas', replicas, 'must be greater than or equal to 0');
    throw invalid(SCALE, name, [cause]);
  }
  const applied = own?.(old, replicas as number);
  const next = applied
    ? decodeObject(resource, applied.object, target, call)
    : withReplicas(resource, structuredClone(old), replicas as number);
  next.metadata.resourceVersion = scale.metadata.resourceVersion ?? old.metadata.resourceVersion;
  const unreviewed = { ...cluster, admission: UNREVIEWED };
  const managed = applied?.managedFields;
  return scaleOf(resource, await changeObject(unreviewed, target, old, next, call, 'scale', managed));
}

/** @param replicas undefined: the client no longer says how many. */
function apply(
  cluster: Cluster,
  resource: Resource,
  old: StoredObject,
  replicas: number | undefined,
  call: Call,
): ReturnType<Ownership> {
  const { apiVersion, kind, metadata } = old;
  const { name, namespace } = metadata;
  const intent = { apiVersion, kind, metadata: { name, ...(namespace && { namespace }) } };
  return applyPatch({
    schema: schemaOf(resource),
    live: old,
    applied: replicas === undefined ? intent : withReplicas(resource, intent, replicas),
    manager: call.fieldManager,
    force: call.force,
    time: timestamp(cluster.now()),
    apiVersion,
    subresource: 'scale',
  });
}

function withReplicas(resource: Resource, object: KubeObject, replicas: number): KubeObject {
  setAt(object, pathsOf(resource).specReplicasPath, replicas);
  return object;
}

const segments = (path: string) => path.replace(/^\./, '').split('.');

function valueAt(object: unknown, path: string): unknown {
  return segments(path).reduce<unknown>((value, key) => (isFields(value) ? value[key] : undefined), object);
}

function setAt(object: Fields, path: string, value: unknown): void {
  const keys = segments(path);
  const last = keys.pop()!;
  let at = object;
  for (const key of keys) {
    if (!isFields(at[key])) at[key] = {};
    at = at[key] as Fields;
  }
  at[last] = value;
}

/** A selector as text, which is how Scale shows it. */
export function selectorText(selector: Fields): string {
  const labels = Object.entries((selector.matchLabels ?? {}) as Record<string, string>);
  const expressions = (selector.matchExpressions ?? []) as {
    key: string;
    operator: string;
    values?: string[];
  }[];
  return [
    ...labels.map(([key, value]) => `${key}=${value}`),
    ...expressions.map(({ key, operator, values = [] }) => {
      if (operator === 'Exists') return key;
      if (operator === 'DoesNotExist') return `!${key}`;
      return `${key} ${operator.toLowerCase()} (${values.join(',')})`;
    }),
  ].join(',');
}
