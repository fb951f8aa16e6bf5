/** What is served, as clients ask for it: group by group, or all at once (aggregated discovery). */
import type { Fields } from '../object.ts';
import type { Catalog, GroupVersion } from '../registry/catalog.ts';
import { joinGroupVersion, type Resource } from '../registry/resource.ts';

/** The Kubernetes version whose API this is. */
export const VERSION = {
  major: '1',
  minor: '33',
  gitVersion: 'v1.33.5-enid',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: '',
  platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

/** `/api`. */
export function coreVersions(address: string): Fields {
  return {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
  };
}

/** `/apis`. */
export function groupList(catalog: Catalog): Fields {
  const groups = [...catalog.groups()].filter(([group]) => group !== '');
  return {
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: groups.map(([group, versions]) => apiGroup(group, versions)),
  };
}

/** `/`: the paths that there are. */
export function rootPaths(catalog: Catalog): Fields {
  const groups = [...catalog.groups()].filter(([group]) => group !== '');
  const versions = groups.flatMap(([group, found]) => [
    `/apis/${group}`,
    ...found.map(({ version }) => `/apis/${group}/${version}`),
  ]);
  const others = ['/.well-known/openid-configuration', '/healthz', '/livez', '/openapi/v2', '/openapi/v3'];
  const last = ['/openid/v1/jwks', '/readyz', '/version'];
  return { paths: ['/api', '/api/v1', '/apis', ...versions, ...others, ...last].sort() };
}

/** `/apis/<group>`. @returns undefined when there is no such group. */
export function groupOf(catalog: Catalog, group: string): Fields | undefined {
  const versions = catalog.groups().get(group);
  return versions && { kind: 'APIGroup', apiVersion: 'v1', ...apiGroup(group, versions) };
}

function apiGroup(group: string, versions: readonly GroupVersion[]): Fields {
  const all = versions.map(({ version }) => ({ groupVersion: `${group}/${version}`, version }));
  return { name: group, versions: all, preferredVersion: all[0] };
}

/** `/api/v1` and `/apis/<group>/<version>`. @returns undefined when there is no such version. */
export function resourceList(catalog: Catalog, group: string, version: string): Fields | undefined {
  const found = catalog
    .groups()
    .get(group)
    ?.find((candidate) => candidate.version === version);
  if (!found) return undefined;
  const resources = found.resources.flatMap((resource) => [
    {
      name: resource.plural,
      singularName: resource.singular,
      namespaced: resource.namespaced,
      kind: resource.kind,
      verbs: resource.verbs,
      ...(resource.shortNames.length > 0 && { shortNames: resource.shortNames }),
      ...(resource.categories.length > 0 && { categories: resource.categories }),
    },
    ...resource.subresources.map((name) => {
      const { kind, verbs, group: of, version: at } = subresource(resource, name);
      return {
        name: `${resource.plural}/${name}`,
        singularName: '',
        namespaced: resource.namespaced,
        kind,
        verbs,
        ...(of !== undefined && { group: of, version: at }),
      };
    }),
  ]);
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: joinGroupVersion(found), resources };
}

/**
 * `/api` and `/apis` as `apidiscovery.k8s.io` APIGroupDiscoveryList.
 * @param core whether the core group is asked for, or all others.
 */
export function aggregated(catalog: Catalog, core: boolean, apiVersion: 'v2' | 'v2beta1'): Fields {
  const groups = [...catalog.groups()].filter(([group]) => (group === '') === core);
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${apiVersion}`,
    metadata: {},
    items: groups.map(([group, versions]) => ({
      metadata: { name: group || undefined, creationTimestamp: null },
      versions: versions.map(({ version, resources }) => ({
        version,
        freshness: 'Current',
        resources: resources.map(discovered),
      })),
    })),
  };
}

function discovered(resource: Resource): Fields {
  const { group, version, kind } = resource;
  return {
    resource: resource.plural,
    responseKind: { group, version, kind },
    scope: resource.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: resource.singular,
    verbs: resource.verbs,
    shortNames: resource.shortNames,
    categories: resource.categories,
    subresources: resource.subresources.map((name) => {
      const sub = subresource(resource, name);
      return {
        subresource: name,
        responseKind: { group: sub.group ?? group, version: sub.version ?? version, kind: sub.kind },
        verbs: sub.verbs,
      };
    }),
  };
}

type Shown = { kind: string; verbs: readonly string[]; group?: string; version?: string };

const SUBRESOURCES: Record<string, Shown> = {
  attach: { kind: 'PodAttachOptions', verbs: ['create', 'get'] },
  binding: { kind: 'Binding', verbs: ['create'] },
  eviction: { kind: 'Eviction', verbs: ['create'], group: 'policy', version: 'v1' },
  exec: { kind: 'PodExecOptions', verbs: ['create', 'get'] },
  finalize: { kind: 'Namespace', verbs: ['update'] },
  log: { kind: 'Pod', verbs: ['get'] },
  portforward: { kind: 'PodPortForwardOptions', verbs: ['create', 'get'] },
  scale: { kind: 'Scale', verbs: ['get', 'patch', 'update'], group: 'autoscaling', version: 'v1' },
  token: { kind: 'TokenRequest', verbs: ['create'], group: 'authentication.k8s.io', version: 'v1' },
};

function subresource(resource: Resource, name: string): Shown {
  return SUBRESOURCES[name] ?? { kind: resource.kind, verbs: ['get', 'patch', 'update'] };
}
