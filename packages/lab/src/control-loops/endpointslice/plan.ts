import type { EndpointSlice, Service, Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';
import { canonical, isEqual } from '../shared/canonical.ts';
import { controllerReference } from '../shared/owners.ts';
import { type ServiceEndpoint, targetRef } from '../shared/service-endpoints.ts';
import { LAST_CHANGE } from './trigger-time.ts';

export const MANAGED_BY = 'endpointslice-controller.k8s.io';
/** How many endpoints a slice holds. */
const MOST = 100;

type Endpoint = Wire<k8s.V1Endpoint>;

export type Plan = {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly remove: readonly EndpointSlice[];
};

/**
 * How a Service's slices come to hold its endpoints, with as few writes as may be: an endpoint stays in its slice, new ones
 * fill what there is, and slices of which nothing is left are removed.
 * @param trigger when what made it necessary happened; what is written says so.
 */
export function planSlices(
  service: Service,
  endpoints: readonly ServiceEndpoint[],
  slices: readonly EndpointSlice[],
  trigger?: string,
): Plan {
  const plan = {
    create: [] as EndpointSlice[],
    update: [] as EndpointSlice[],
    remove: [] as EndpointSlice[],
  };
  const labels = labelsFor(service);
  const kind = (family: string, ports: unknown) => canonical([family, ports]);
  const wanted = Map.groupBy(endpoints, ({ family, ports }) => kind(family, ports));
  const existing = Map.groupBy(slices, ({ addressType, ports }) => kind(addressType, ports ?? []));
  // A Service without endpoints has an empty slice: who watches sees that it has none.
  if (wanted.size === 0) {
    const [kept, ...rest] = slices;
    plan.remove.push(...rest);
    if (!kept) create(service.spec?.ipFamilies?.[0] ?? 'IPv4', [], []);
    else put(kept, []);
    return plan;
  }
  for (const [key, there] of existing) if (!wanted.has(key)) plan.remove.push(...there);
  for (const [key, members] of wanted) fill(members, existing.get(key) ?? []);
  return plan;

  function fill(members: readonly ServiceEndpoint[], there: readonly EndpointSlice[]): void {
    const left = new Map(members.map((member) => [`${member.pod.metadata?.uid} ${member.address}`, member]));
    const contents = there.map((slice) => {
      const kept: Endpoint[] = [];
      for (const { targetRef: target, addresses } of slice.endpoints ?? []) {
        const id = `${target?.uid} ${addresses[0]}`;
        const member = left.get(id);
        if (member) kept.push(endpointOf(member, service));
        left.delete(id);
      }
      return { slice, kept };
    });
    const more = [...left.values()].map((member) => endpointOf(member, service));
    for (const { slice, kept } of contents) {
      kept.push(...more.splice(0, MOST - kept.length));
      if (kept.length === 0) plan.remove.push(slice);
      else put(slice, kept);
    }
    const { family, ports } = members[0]!;
    while (more.length > 0) create(family, [...ports], more.splice(0, MOST));
  }

  function create(family: string, ports: EndpointSlice['ports'], endpoints: Endpoint[]): void {
    const annotations = annotationsFor(undefined, trigger);
    plan.create.push(newSlice(service, { labels, annotations }, family, ports, endpoints));
  }

  function put(slice: EndpointSlice, endpoints: Endpoint[]): void {
    const same = isEqual(slice.endpoints ?? [], endpoints) && isEqual(slice.metadata?.labels, labels);
    if (same) return;
    const annotations = annotationsFor(slice.metadata?.annotations, trigger);
    plan.update.push({ ...slice, metadata: { ...slice.metadata, labels, annotations }, endpoints });
  }
}

function labelsFor(service: Service): Record<string, string> {
  return {
    ...service.metadata?.labels,
    'kubernetes.io/service-name': service.metadata?.name ?? '',
    'endpointslice.kubernetes.io/managed-by': MANAGED_BY,
    ...(service.spec?.clusterIP === 'None' && { 'service.kubernetes.io/headless': '' }),
  };
}

/** A change that has no time takes away that of the change before. */
function annotationsFor(
  { [LAST_CHANGE]: _former, ...others }: Record<string, string> = {},
  trigger: string | undefined,
): Record<string, string> {
  return trigger === undefined ? others : { ...others, [LAST_CHANGE]: trigger };
}

function newSlice(
  service: Service,
  marks: Pick<NonNullable<EndpointSlice['metadata']>, 'labels' | 'annotations'>,
  addressType: string,
  ports: EndpointSlice['ports'],
  endpoints: Endpoint[],
): EndpointSlice {
  const { name = '', namespace } = service.metadata ?? {};
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      generateName: `${name}-`,
      namespace,
      ...marks,
      ownerReferences: [controllerReference(service, 'v1', 'Service')],
    },
    addressType,
    endpoints,
    ports,
  };
}

/** Whom an endpoint is meant for, by the Service's trafficDistribution. */
function hintsOf({ ready, zone, nodeName }: ServiceEndpoint, { spec }: Service): Endpoint['hints'] {
  const distribution = spec?.trafficDistribution;
  if (!ready || !distribution) return undefined;
  const forNode = distribution === 'PreferSameNode' && nodeName;
  if (!zone && !forNode) return undefined;
  return {
    ...(zone && { forZones: [{ name: zone }] }),
    ...(forNode && { forNodes: [{ name: forNode }] }),
  };
}

function endpointOf(member: ServiceEndpoint, service: Service): Endpoint {
  const hints = hintsOf(member, service);
  const { address, ready, serving, terminating, hostname, nodeName, zone, pod } = member;
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hostname && { hostname }),
    ...(nodeName && { nodeName }),
    targetRef: targetRef(pod),
    ...(zone && { zone }),
    ...(hints && { hints }),
  };
}
