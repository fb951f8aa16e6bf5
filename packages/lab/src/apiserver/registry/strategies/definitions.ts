import { type Fields, isFields, type KubeObject, timestamp } from '../../object.ts';
import type { Definition } from '../custom-resources.ts';
import type { Cluster, Strategy } from '../strategy.ts';

/** Holds a definition until its objects are gone. */
export const CLEANUP = 'customresourcecleanup.apiextensions.k8s.io';

/** CustomResourceDefinitions: what they define is served from the moment that they are stored. */
export const definitions: Strategy = {
  create(object, cluster) {
    if (!isWhole(object)) return;
    complete(object);
    object.metadata.finalizers = [...new Set([...(object.metadata.finalizers ?? []), CLEANUP])];
    object.status = status(object, [], cluster);
  },
  update(object, old, cluster) {
    if (!isWhole(object)) return;
    complete(object);
    const known = (old.status?.storedVersions ?? []) as string[];
    object.status = status(object, known, cluster, old.status?.conditions as Fields[] | undefined);
  },
};

/** Whether there is anything to complete: validation says what is missing. */
function isWhole({ spec }: KubeObject): boolean {
  return isFields(spec?.names) && typeof spec.names.kind === 'string' && Array.isArray(spec.versions);
}

function complete(object: KubeObject): void {
  const { spec } = object as Definition;
  spec.names.listKind ??= `${spec.names.kind}List`;
  spec.names.singular ??= spec.names.kind.toLowerCase();
  Object.assign(spec, { conversion: (spec as Fields).conversion ?? { strategy: 'None' } });
}

function status(
  object: KubeObject,
  stored: readonly string[],
  cluster: Cluster,
  conditions?: Fields[],
): Fields {
  const { names, versions } = (object as Definition).spec;
  const storage = versions.filter((version) => version.storage).map(({ name }) => name);
  const lastTransitionTime = timestamp(cluster.now());
  const condition = (type: string, reason: string, message: string) => ({
    type,
    status: 'True',
    lastTransitionTime,
    reason,
    message,
  });
  return {
    conditions: conditions ?? [
      condition('NamesAccepted', 'NoConflicts', 'no conflicts found'),
      condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
    ],
    acceptedNames: names,
    storedVersions: [...new Set([...stored, ...storage])],
  };
}
