import type { ControllerRevision, KubeClient, KubeObject, PodTemplate } from '@enid/kube';
import { isAlreadyExists, isNotFound } from '@enid/kube';
import { hashOf, isEqual } from './canonical.ts';
import { controllerReference } from './owners.ts';

export const REVISION_HASH = 'controller-revision-hash';

type Owner = KubeObject & {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec?:
    | { readonly template?: PodTemplate; readonly revisionHistoryLimit?: number | undefined }
    | undefined;
};

/** What a revision keeps: the template, as the patch that `kubectl rollout undo` applies. */
const dataOf = (template: PodTemplate | undefined) => ({
  spec: { template: { ...template, $patch: 'replace' } },
});

/** The template that a revision keeps. */
export function templateOf(revision: ControllerRevision): PodTemplate {
  const { $patch: _, ...template } = (revision.data as ReturnType<typeof dataOf>).spec.template;
  return template as PodTemplate;
}

/** What names the revision on pods. */
export const hashOfRevision = (revision: ControllerRevision) =>
  revision.metadata?.labels?.[REVISION_HASH] ?? '';

/**
 * The revision of an owner's template as it is now, made when there is none. One from the past that is wanted again becomes
 * the newest.
 * @param revisions those that the owner has.
 * @param collisions how often a name was another's before.
 */
export async function currentRevision(
  client: KubeClient,
  owner: Owner,
  revisions: readonly ControllerRevision[],
  collisions = 0,
): Promise<ControllerRevision> {
  const data = dataOf(owner.spec?.template);
  const found = revisions
    .filter((revision) => isEqual(revision.data, data))
    .sort(byRevision)
    .at(-1);
  const newest = Math.max(0, ...revisions.map(({ revision }) => revision));
  const { name, namespace } = owner.metadata ?? {};
  const path = `/apis/apps/v1/namespaces/${namespace}/controllerrevisions`;
  if (found) {
    if (found.revision === newest) return found;
    return client.patch(`${path}/${found.metadata?.name}`, { revision: newest + 1 });
  }
  const hash = hashOf(owner.spec?.template, collisions);
  const revision: ControllerRevision = {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      name: `${name}-${hash}`,
      namespace,
      labels: { ...owner.spec?.template?.metadata?.labels, [REVISION_HASH]: hash },
      ownerReferences: [controllerReference(owner, owner.apiVersion, owner.kind)],
    },
    data,
    revision: newest + 1,
  };
  try {
    return await client.create(path, revision);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const other = await client.get<ControllerRevision>(`${path}/${name}-${hash}`);
    // Made by us and not seen yet.
    if (isEqual(other.data, data)) return other;
    return currentRevision(client, owner, revisions, collisions + 1);
  }
}

const byRevision = (a: ControllerRevision, b: ControllerRevision) => a.revision - b.revision;

/** Removes the oldest revisions that nothing uses and that are more than the history may hold. */
export async function trimHistory(
  client: KubeClient,
  owner: Owner,
  revisions: readonly ControllerRevision[],
  used: ReadonlySet<string>,
): Promise<void> {
  const unused = revisions.filter((revision) => !used.has(hashOfRevision(revision))).sort(byRevision);
  const excess = unused.length - (owner.spec?.revisionHistoryLimit ?? 10);
  for (const { metadata } of unused.slice(0, Math.max(excess, 0))) {
    const path = `/apis/apps/v1/namespaces/${metadata?.namespace}/controllerrevisions/${metadata?.name}`;
    await client.delete(path).catch((error) => {
      if (!isNotFound(error)) throw error;
    });
  }
}
