import type { User } from '../auth/user.ts';
import type { Fields } from '../object.ts';
import type { Call } from '../registry/call.ts';
import { badRequest } from '../status.ts';

/** What the query of a write is called as an object. */
const OPTIONS: Readonly<Record<string, string>> = {
  POST: 'CreateOptions',
  PUT: 'UpdateOptions',
  PATCH: 'PatchOptions',
  DELETE: 'DeleteOptions',
};
const VALIDATION = ['Strict', 'Warn', 'Ignore'] as const;

/** Reads what the query of a write says beside its object. @throws {ApiError} BadRequest. */
export function readCall(
  method: string,
  query: URLSearchParams,
  headers: { 'user-agent'?: string | undefined },
  user: User,
  warn: (message: string) => void,
  body?: Fields,
): Call {
  const dryRun = [query.getAll('dryRun'), (body?.dryRun as string[] | undefined) ?? []].flat();
  if (dryRun.some((value) => value !== 'All'))
    throw badRequest(`dryRun: Unsupported value: ${dryRun}: supported values: "All"`);
  const validation = query.get('fieldValidation') || 'Warn';
  const fieldValidation = VALIDATION.find((known) => known === validation);
  if (!fieldValidation) {
    throw badRequest(
      `fieldValidation: Unsupported value: ${JSON.stringify(validation)}: supported values: ${VALIDATION.join(', ')}`,
    );
  }
  const fieldManager = query.get('fieldManager') || (headers['user-agent'] ?? 'unknown').split('/')[0]!;
  if (fieldManager.length > 128) throw badRequest('fieldManager: may not be more than 128 characters');
  return {
    user,
    dryRun: dryRun.length > 0,
    fieldManager,
    fieldValidation,
    force: query.get('force') === 'true',
    options: {
      ...(method === 'DELETE' && body),
      kind: OPTIONS[method],
      apiVersion: 'meta.k8s.io/v1',
      ...(dryRun.length > 0 && { dryRun }),
      ...(method !== 'DELETE' && { fieldManager, fieldValidation }),
      ...(query.get('force') === 'true' && { force: true }),
    },
    warn,
  };
}
