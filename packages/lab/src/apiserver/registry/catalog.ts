import type { StoredObject } from '../object.ts';
import { customResources } from './custom-resources.ts';
import { joinGroupVersion, type Resource } from './resource.ts';
import { BUILT_IN } from './resources.ts';

/** A version of a group, with what it serves. */
export type GroupVersion = {
  readonly group: string;
  readonly version: string;
  readonly resources: readonly Resource[];
};

/** All that is served: what is built in, and what CustomResourceDefinitions have added. */
export class Catalog {
  readonly #custom = new Map<string, readonly Resource[]>();
  readonly #index = new Map<string, Resource>();
  #resources: readonly Resource[] = [];

  constructor() {
    this.#rebuild();
  }

  /** Serves what a definition says, instead of what it said before; nothing for undefined. */
  define(name: string, definition: StoredObject | undefined): void {
    if (definition) this.#custom.set(name, customResources(definition));
    else this.#custom.delete(name);
    this.#rebuild();
  }

  find(group: string, version: string, plural: string): Resource | undefined {
    return this.#index.get(`${group}/${version}/${plural}`);
  }

  get resources(): readonly Resource[] {
    return this.#resources;
  }

  /** Groups in the order of discovery, their preferred version first. */
  groups(): Map<string, GroupVersion[]> {
    const groups = new Map<string, GroupVersion[]>();
    for (const resources of Map.groupBy(this.#resources, joinGroupVersion).values()) {
      const { group, version } = resources[0]!;
      groups.set(group, [...(groups.get(group) ?? []), { group, version, resources }]);
    }
    for (const versions of groups.values()) versions.sort((a, b) => compareVersions(a.version, b.version));
    return groups;
  }

  #rebuild(): void {
    this.#resources = [...BUILT_IN, ...[...this.#custom.values()].flat()];
    this.#index.clear();
    for (const r of this.#resources) this.#index.set(`${r.group}/${r.version}/${r.plural}`, r);
  }
}

/** Order of versions by Kubernetes' rule: stable before beta before alpha, then the higher number first. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [rank(a), rank(b)];
  if (!x || !y) return x ? -1 : y ? 1 : a < b ? -1 : 1;
  return y[0] - x[0] || y[1] - x[1] || y[2] - x[2];
}

/** [stability, major, minor] of v1, v2beta3 ...; undefined for other names. */
function rank(version: string): [number, number, number] | undefined {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (!match) return undefined;
  const stability = match[2] === undefined ? 2 : match[2] === 'beta' ? 1 : 0;
  return [stability, Number(match[1]), Number(match[3] ?? 0)];
}
