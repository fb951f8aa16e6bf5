import type { Schema } from '../schema/schema.ts';
import { groupResource } from '../status.ts';

/** A resource at one version, as clients see it. */
export type Resource = {
  /** '' is the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** `status`, `scale`, `exec` ... */
  readonly subresources: readonly string[];
  readonly verbs: readonly string[];
  /** Where its objects are: resources of several versions or groups share one. */
  readonly storage: string;
  /** Whether `metadata.generation` counts the changes of what is wanted. */
  readonly generation: boolean;
  /** What a CustomResourceDefinition says of it beside its names; undefined: it is built in. */
  readonly custom: CustomTraits | undefined;
};

/** What is a custom resource's own (`apiextensions.k8s.io/v1` CustomResourceDefinitionVersion). */
export type CustomTraits = {
  readonly schema: Schema;
  /** The schemas of all versions of the definition, by version: an object is stored in one of them. */
  readonly schemas: ReadonlyMap<string, Schema>;
  /** The version in which objects are stored from now on. */
  readonly storageVersion: string;
  readonly columns: readonly PrinterColumn[];
  /** Paths of fields that field selectors may name, such as `spec.color`. */
  readonly selectable: readonly string[];
  readonly scale: ScalePaths | undefined;
  /** Told to every client that uses this version. */
  readonly warning: string | undefined;
};

export type PrinterColumn = {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  readonly priority?: number;
  readonly jsonPath: string;
};

export type ScalePaths = {
  readonly specReplicasPath: string;
  readonly statusReplicasPath: string;
  readonly labelSelectorPath?: string;
};

export const ALL_VERBS = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
] as const;

type Traits = {
  readonly singular?: string;
  readonly plural?: string;
  readonly short?: string;
  readonly categories?: readonly string[];
  readonly cluster?: true;
  readonly status?: true;
  readonly sub?: string;
  readonly verbs?: readonly string[];
  readonly storage?: string;
  readonly generation?: true;
};

/** Fills in what follows from a kind's name. Short names and subresources are words separated by spaces. */
export function resource(groupVersion: string, kind: string, traits: Traits = {}): Resource {
  const [group, version] = splitGroupVersion(groupVersion);
  const singular = traits.singular ?? kind.toLowerCase();
  const plural = traits.plural ?? pluralOf(singular);
  return {
    group,
    version,
    kind,
    plural,
    singular,
    shortNames: words(traits.short),
    categories: traits.categories ?? [],
    namespaced: !traits.cluster,
    subresources: [...(traits.status ? ['status'] : []), ...words(traits.sub)],
    verbs: traits.verbs ?? ALL_VERBS,
    storage: traits.storage ?? groupResource({ group, plural }),
    generation: traits.generation ?? false,
    custom: undefined,
  };
}

/** `apps/v1` is ['apps', 'v1'], `v1` is ['', 'v1']. */
export function splitGroupVersion(groupVersion: string): [group: string, version: string] {
  const slash = groupVersion.indexOf('/');
  return [groupVersion.slice(0, Math.max(slash, 0)), groupVersion.slice(slash + 1)];
}

export function joinGroupVersion({ group, version }: { group: string; version: string }): string {
  return group === '' ? version : `${group}/${version}`;
}

function pluralOf(singular: string): string {
  if (singular.endsWith('s')) return `${singular}es`;
  return singular.endsWith('y') ? `${singular.slice(0, -1)}ies` : `${singular}s`;
}

function words(text: string | undefined): string[] {
  return text?.split(' ') ?? [];
}
