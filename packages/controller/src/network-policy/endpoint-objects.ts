import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { isNotFound, type KubeClient, type KubeObject } from '@enid/kube';
import { planChunks } from './chunks.ts';
import {
  type ClusterNetworkPolicy,
  type ClusterPolicyEndpoint,
  type Content,
  GROUP_VERSION,
  type NetworkPolicy,
  type PolicyEndpoint,
} from './objects.ts';
import type { Policy } from './policy.ts';
import type { Written } from './written.ts';

export type EndpointObject = PolicyEndpoint | ClusterPolicyEndpoint;
/** What all objects of one policy say besides the lists. */
type Common = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec:
    | Omit<PolicyEndpoint['spec'], keyof Content>
    | Omit<ClusterPolicyEndpoint['spec'], keyof Content>;
};

/** What the objects of a NetworkPolicy have in common. */
export function commonOf(source: NetworkPolicy, { directions }: Policy): Common {
  const { name = '', namespace = '' } = source.metadata ?? {};
  const podSelector = source.spec?.podSelector ?? {};
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    spec: { podSelector, policyRef: { name, namespace }, podIsolation: directions },
  };
}

/** What the objects of a ClusterNetworkPolicy have in common. */
export function clusterCommonOf(source: ClusterNetworkPolicy): Common {
  const { tier, priority, subject } = source.spec;
  const policyRef = { name: source.metadata?.name ?? '' };
  return {
    apiVersion: GROUP_VERSION,
    kind: 'ClusterNetworkPolicy',
    spec: { policyRef, tier, priority, subject },
  };
}

export type Write = 'create' | 'update' | 'delete';

type Options = {
  readonly client: KubeClient;
  readonly id: string;
  readonly source: KubeObject;
  readonly common: Common;
  readonly content: Content;
  /** The objects that there are. */
  readonly existing: readonly EndpointObject[];
  readonly written: Written<EndpointObject>;
  readonly onWrite: (write: Write) => void;
};

/**
 * Makes a policy's objects hold its content, and writes only those that change. What is added is written before what is
 * removed, and in a new policy the object with the first pods last, so that a selected pod finds its rules.
 */
export async function writeEndpoints(options: Options): Promise<void> {
  const { client, id, source, common, content, existing, written, onWrite } = options;
  const { uid = '', namespace, name = '' } = source.metadata ?? {};
  // Those of a policy that had this name before go.
  const [own, others] = partition(existing, ({ metadata }) =>
    Boolean(metadata?.ownerReferences?.some((owner) => owner.uid === uid)),
  );
  const plan = planChunks(content, own, ({ spec }) => spec);
  const updates = new Map(plan.update.map((update) => [update.chunk, update.content]));
  for (const chunk of own) {
    if (plan.remove.includes(chunk) || updates.has(chunk)) continue;
    const { podSelectorEndpoints = [], ingress = [], egress = [], ...rest } = chunk.spec;
    if (!isDeepStrictEqual(rest, common.spec)) updates.set(chunk, { podSelectorEndpoints, ingress, egress });
  }
  const root = pathOf(namespace);
  const kind = namespace ? 'PolicyEndpoint' : 'ClusterPolicyEndpoint';
  const taken = new Set(existing.map(({ metadata }) => metadata?.name));
  const names = freeNames(name, uid, taken);
  const specOf = (lists: Content) => ({
    ...common.spec,
    ...(lists.podSelectorEndpoints.length > 0 && { podSelectorEndpoints: lists.podSelectorEndpoints }),
    ...(lists.ingress.length > 0 && { ingress: lists.ingress }),
    ...(lists.egress.length > 0 && { egress: lists.egress }),
  });
  const owner = {
    apiVersion: common.apiVersion,
    kind: common.kind,
    name,
    uid,
    controller: true,
    blockOwnerDeletion: true,
  };
  for (const lists of plan.create.toReversed()) {
    const metadata = { name: names.next().value!, ...(namespace && { namespace }), ownerReferences: [owner] };
    const object = {
      apiVersion: GROUP_VERSION,
      kind,
      metadata,
      spec: specOf(lists),
    } as unknown as EndpointObject;
    written.put(id, await client.create(root, object));
    onWrite('create');
  }
  for (const [chunk, lists] of updates) {
    const { name: chunkName, resourceVersion } = chunk.metadata!;
    const metadata = {
      name: chunkName,
      ...(namespace && { namespace }),
      resourceVersion,
      ownerReferences: [owner],
    };
    const object = {
      apiVersion: GROUP_VERSION,
      kind,
      metadata,
      spec: specOf(lists),
    } as unknown as EndpointObject;
    written.put(id, await client.replace(`${root}/${chunkName}`, object));
    onWrite('update');
  }
  await deleteEndpoints({ client, id, objects: [...plan.remove, ...others], written, onWrite });
}

export async function deleteEndpoints({
  client,
  id,
  objects,
  written,
  onWrite,
}: Pick<Options, 'client' | 'id' | 'written' | 'onWrite'> & {
  readonly objects: readonly EndpointObject[];
}): Promise<void> {
  for (const object of objects) {
    const { namespace, name, uid } = object.metadata!;
    await client.delete(`${pathOf(namespace)}/${name}`, { preconditions: { uid: uid! } }).catch((error) => {
      if (!isNotFound(error)) throw error;
    });
    written.delete(id, object);
    onWrite('delete');
  }
}

const pathOf = (namespace: string | undefined) =>
  namespace
    ? `/apis/${GROUP_VERSION}/namespaces/${namespace}/policyendpoints`
    : `/apis/${GROUP_VERSION}/clusterpolicyendpoints`;

/** Names by the policy's uid and a number: two who know no better make one object, not two. */
function* freeNames(
  policy: string,
  uid: string,
  taken: ReadonlySet<string | undefined>,
): Generator<string, never> {
  for (let number = 0; ; number++) {
    const hash = createHash('sha256').update(`${uid} ${number}`).digest('hex').slice(0, 10);
    // An object's name has 253 characters at most.
    const name = `${policy.slice(0, 242)}-${hash}`;
    if (!taken.has(name)) yield name;
  }
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}
