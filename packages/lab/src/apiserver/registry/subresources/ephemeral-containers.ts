/** `pods/ephemeralcontainers`: containers that join a pod which runs, as `kubectl debug` has them. */
import { isDeepStrictEqual } from 'node:util';
import type { Fields, KubeObject, StoredObject } from '../../object.ts';
import { type Cause, field, invalid } from '../../status.ts';
import { assertCurrent, review } from '../admission.ts';
import { type Call, keyOf, type Target } from '../call.ts';
import { decodeObject } from '../decode.ts';
import { changedMetadata } from '../metadata.ts';
import { getObject } from '../reads.ts';
import type { Cluster } from '../strategy.ts';

const PATH = 'spec.ephemeralContainers';

/**
 * Adds containers. Those that are there can neither be changed nor taken away.
 * @param edit what the client makes of the pod that it sees.
 * @throws {ApiError} NotFound, BadRequest, Conflict, Invalid.
 */
export async function addEphemeralContainers(
  cluster: Cluster,
  target: Target,
  edit: (pod: KubeObject) => Fields,
  call: Call,
): Promise<StoredObject> {
  const { resource, name } = target;
  const old = getObject(cluster.store, target);
  const sent = decodeObject(resource, edit(structuredClone(old)), target, call);
  const reviewing = review(cluster.admission, {
    operation: 'UPDATE',
    target,
    subresource: 'ephemeralcontainers',
    object: sent,
    old,
    call,
  });
  const wanted = reviewing ? (await reviewing)! : sent;
  if (reviewing) assertCurrent(cluster, target, old);
  const ephemeralContainers = containersOf(wanted, 'ephemeralContainers');
  const causes = [...refusals(old, ephemeralContainers)];
  if (causes.length > 0) throw invalid(resource, name, causes);
  const { resourceVersion } = changedMetadata(target, wanted.metadata, old);
  const next = {
    ...old,
    metadata: { ...old.metadata, resourceVersion: resourceVersion! },
    spec: { ...old.spec, ephemeralContainers },
  };
  return call.dryRun ? next : cluster.store.put(resource.storage, keyOf(target), next);
}

function* refusals(old: StoredObject, wanted: readonly Fields[]): Generator<Cause> {
  for (const known of containersOf(old, 'ephemeralContainers')) {
    const same = wanted.find(({ name }) => name === known.name);
    if (!same)
      yield field.forbidden(PATH, `existing ephemeral containers "${known.name}" may not be removed`);
    else if (!isDeepStrictEqual(same, known)) {
      yield field.forbidden(PATH, `existing ephemeral containers "${known.name}" may not be changed`);
    }
  }
  const taken = new Set(
    ['initContainers', 'containers'].flatMap((list) => containersOf(old, list).map(({ name }) => name)),
  );
  for (const [index, { name, image }] of wanted.entries()) {
    const path = `${PATH}[${index}]`;
    if (!name) yield field.required(`${path}.name`);
    else if (taken.has(name))
      yield field.invalid(`${path}.name`, name, 'another container of the pod has this name');
    if (!image) yield field.required(`${path}.image`);
    taken.add(name);
  }
}

function containersOf({ spec }: KubeObject, list: string): Fields[] {
  return (spec?.[list] ?? []) as Fields[];
}
