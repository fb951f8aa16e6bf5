/** What a CustomResourceDefinition (`apiextensions.k8s.io/v1`) adds to the catalog. */
import type { Fields, KubeObject } from '../object.ts';
import { customSchema } from '../schema/index.ts';
import { ALL_VERBS, type PrinterColumn, type Resource, type ScalePaths } from './resource.ts';

export type DefinitionVersion = {
  name: string;
  served: boolean;
  storage: boolean;
  deprecated?: boolean;
  deprecationWarning?: string;
  schema?: { openAPIV3Schema?: Fields };
  subresources?: { status?: Fields; scale?: ScalePaths };
  additionalPrinterColumns?: PrinterColumn[];
  selectableFields?: { jsonPath: string }[];
};

export type DefinitionNames = {
  plural: string;
  singular?: string;
  kind: string;
  listKind?: string;
  shortNames?: string[];
  categories?: string[];
};

export type Definition = KubeObject & {
  spec: {
    group: string;
    scope: 'Namespaced' | 'Cluster';
    names: DefinitionNames;
    versions: DefinitionVersion[];
  };
};

/** The resources of a definition's served versions. */
export function customResources(object: KubeObject): Resource[] {
  const { group, scope, names, versions } = (object as Definition).spec;
  const schemas = new Map(
    versions.map(({ name, schema }) => [name, customSchema(schema?.openAPIV3Schema ?? {})]),
  );
  const storageVersion = versions.find(({ storage }) => storage)!.name;
  return versions
    .filter(({ served }) => served)
    .map((version) => ({
      group,
      version: version.name,
      kind: names.kind,
      plural: names.plural,
      singular: names.singular ?? names.kind.toLowerCase(),
      shortNames: names.shortNames ?? [],
      categories: names.categories ?? [],
      namespaced: scope === 'Namespaced',
      subresources: [
        ...(version.subresources?.status ? ['status'] : []),
        ...(version.subresources?.scale ? ['scale'] : []),
      ],
      verbs: ALL_VERBS,
      storage: `${names.plural}.${group}`,
      generation: true,
      custom: {
        schema: schemas.get(version.name)!,
        schemas,
        storageVersion,
        columns: version.additionalPrinterColumns ?? [],
        selectable: (version.selectableFields ?? []).map(({ jsonPath }) => jsonPath.replace(/^\./, '')),
        scale: version.subresources?.scale,
        warning: version.deprecated
          ? (version.deprecationWarning ?? `${group}/${version.name} ${names.kind} is deprecated`)
          : undefined,
      },
    }));
}
