import type { KubeClient } from '@enid/kube';

/** A resource that the server has, in one of its versions. */
export type Resource = {
  /** `v1`, `apps/v1`. */
  readonly groupVersion: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
};

type GroupList = {
  readonly groups: readonly { readonly preferredVersion: { readonly groupVersion: string } }[];
};
type ResourceList = {
  readonly groupVersion: string;
  readonly resources: readonly {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
    readonly verbs: readonly string[];
  }[];
};

/** All resources in their groups' preferred versions, without subresources. */
export async function discover(client: KubeClient): Promise<Resource[]> {
  const { groups } = await client.get<GroupList>('/apis');
  const paths = [
    '/api/v1',
    ...groups.map(({ preferredVersion }) => `/apis/${preferredVersion.groupVersion}`),
  ];
  const lists = await Promise.all(paths.map((path) => client.get<ResourceList>(path)));
  return lists.flatMap(({ groupVersion, resources }) =>
    resources
      .filter(({ name }) => !name.includes('/'))
      .map(({ name, kind, namespaced, verbs }) => ({ groupVersion, plural: name, kind, namespaced, verbs })),
  );
}

/** Where a resource is found: in all namespaces, or in one. */
export function pathOf({ groupVersion, plural }: Resource, namespace?: string): string {
  const root = groupVersion.includes('/') ? '/apis' : '/api';
  return `${root}/${groupVersion}${namespace ? `/namespaces/${namespace}` : ''}/${plural}`;
}
