import type { User } from '../auth/user.ts';
import type { Fields } from '../object.ts';
import type { Call } from '../registry/call.ts';
import { APPLY } from '../registry/patches.ts';
import { invalid } from '../status.ts';
import { LONGEST_MANAGER, type Options, validateOptions } from '../validation/options.ts';

/** What the query of a write is called as an object. */
const OPTIONS: Readonly<Record<string, string>> = {
  POST: 'CreateOptions',
  PUT: 'UpdateOptions',
  PATCH: 'PatchOptions',
  DELETE: 'DeleteOptions',
};

export type Asked = {
  readonly method: string;
  readonly query: URLSearchParams;
  /** The body's. */
  readonly contentType: string;
  readonly userAgent: string | undefined;
};

/**
 * Reads what the query of a write says beside its object.
 * @param body of a deletion, which may say it instead.
 * @throws {ApiError} Invalid.
 */
export function readCall(
  { method, query, contentType, userAgent }: Asked,
  user: User,
  warn: (message: string) => void,
  body?: Fields,
): Call {
  const kind = OPTIONS[method];
  const force = query.get('force');
  const options: Options = {
    dryRun: [query.getAll('dryRun'), (body?.dryRun as string[] | undefined) ?? []].flat(),
    ...(method !== 'DELETE' && {
      fieldManager: query.get('fieldManager') ?? '',
      fieldValidation: query.get('fieldValidation') ?? '',
    }),
    ...(method === 'PATCH' && { patch: contentType === APPLY ? 'apply' : 'other' }),
    ...(method === 'PATCH' && force !== null && { force: isTrue(force) }),
  };
  const causes = [...validateOptions(options)];
  if (causes.length > 0) throw invalid({ group: 'meta.k8s.io', kind: kind! }, '', causes);
  const { dryRun } = options;
  const fieldManager = options.fieldManager || managerOf(userAgent);
  const fieldValidation = (options.fieldValidation || 'Warn') as Call['fieldValidation'];
  return {
    user,
    dryRun: dryRun.length > 0,
    fieldManager,
    fieldValidation,
    force: options.force ?? false,
    options: {
      ...(method === 'DELETE' && body),
      kind,
      apiVersion: 'meta.k8s.io/v1',
      ...(dryRun.length > 0 && { dryRun }),
      ...(method !== 'DELETE' && { fieldManager, fieldValidation }),
      ...(options.force && { force: true }),
    },
    warn,
  };
}

/** A truth value in a query: a parameter without a value is true. */
function isTrue(text: string): boolean {
  return text !== '0' && text.toLowerCase() !== 'false';
}

/** Who writes without saying on whose behalf: the program that it is. */
function managerOf(userAgent = 'unknown'): string {
  const [program = ''] = userAgent.split('/');
  return program.replace(/[^\x20-\x7e]/g, '').slice(0, LONGEST_MANAGER);
}
