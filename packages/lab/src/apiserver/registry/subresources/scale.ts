/** `scale`: the number of replicas of anything that has one (`autoscaling/v1` Scale). */
import { type Fields, isFields, type KubeObject, type StoredObject } from '../../object.ts';
import { badRequest, field, invalid } from '../../status.ts';
import { assertCurrent, review, UNREVIEWED } from '../admission.ts';
import type { Call, Target } from '../call.ts';
import { show } from '../conversion.ts';
import { getObject } from '../reads.ts';
import type { Resource, ScalePaths } from '../resource.ts';
import type { Cluster } from '../strategy.ts';
import { change } from '../writes.ts';

const BUILT_IN: ScalePaths = {
  specReplicasPath: '.spec.replicas',
  statusReplicasPath: '.status.replicas',
  labelSelectorPath: '.spec.selector',
};

const SCALE = { group: 'autoscaling', kind: 'Scale' };

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
 * @param edit what the client makes of the Scale that it sees.
 * @throws {ApiError} NotFound, Conflict, Invalid.
 */
export async function updateScale(
  cluster: Cluster,
  target: Target,
  edit: (scale: KubeObject) => Fields,
  call: Call,
): Promise<KubeObject> {
  const { resource, name } = target;
  const old = show(resource, getObject(cluster.store, target));
  const was = scaleOf(resource, old);
  const wanted = { ...edit(structuredClone(was)), apiVersion: was.apiVersion, kind: was.kind } as KubeObject;
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
  const next: KubeObject = structuredClone(old);
  setAt(next, pathsOf(resource).specReplicasPath, replicas);
  next.metadata.resourceVersion = scale.metadata.resourceVersion ?? old.metadata.resourceVersion;
  const unreviewed = { ...cluster, admission: UNREVIEWED };
  return scaleOf(resource, await change(unreviewed, target, old, next, call, 'main'));
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
