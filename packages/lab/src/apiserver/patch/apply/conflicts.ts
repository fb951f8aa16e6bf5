/** The error of an apply that would take fields from others, in the words that kubectl shows. */
import { ApiError } from '../../status.ts';
import type { FieldSet } from './field-set.ts';
import type { Entry } from './managers.ts';

export type Conflict = { readonly owner: Entry; readonly fields: FieldSet };

export function conflictError(conflicts: readonly Conflict[]): ApiError {
  const found = conflicts
    .map(({ owner, fields }) => ({ owner: printed(owner), paths: [...fields.paths()] }))
    .sort((a, b) => (a.owner < b.owner ? -1 : 1));
  const causes = found.flatMap(({ owner, paths }) =>
    paths.map((path) => ({ reason: 'FieldManagerConflict', message: `conflict with ${owner}`, field: path })),
  );
  const message =
    causes.length === 1
      ? `Apply failed with 1 conflict: ${causes[0]!.message}: ${causes[0]!.field}`
      : `Apply failed with ${causes.length} conflicts: ${found.map(listed).join('\n')}`;
  return new ApiError('Conflict', message, { causes });
}

function listed({ owner, paths }: { owner: string; paths: string[] }): string {
  if (paths.length === 1) return `conflict with ${owner}: ${paths[0]}`;
  return [`conflicts with ${owner}:`, ...paths.map((path) => `- ${path}`)].join('\n');
}

function printed({ name, operation, apiVersion, subresource }: Entry): string {
  const manager = JSON.stringify(name) + (subresource && ` with subresource ${JSON.stringify(subresource)}`);
  return operation === 'Update' ? `${manager} using ${apiVersion}` : manager;
}
