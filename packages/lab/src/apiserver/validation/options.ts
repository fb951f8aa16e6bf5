/** What is wrong with the options of a write (apimachinery `meta/v1/validation`). */
import { type Causes, error } from './errors.ts';

export type Options = {
  readonly dryRun: readonly unknown[];
  /** '' is not given; undefined: there is no such option. */
  readonly fieldManager?: string;
  readonly fieldValidation?: string;
  /** What a patch is. */
  readonly patch?: 'apply' | 'other';
  /** undefined: not given. */
  readonly force?: boolean;
};

/** Bytes that the name of a field manager may have. */
export const LONGEST_MANAGER = 128;
const VALIDATION = ['', 'Ignore', 'Strict', 'Warn'];
export const POLICIES = ['Foreground', 'Background', 'Orphan'] as const;

export function* validateOptions({ dryRun, fieldManager, fieldValidation, patch, force }: Options): Causes {
  if (patch === 'other' && force !== undefined) {
    yield error.forbidden('force', 'may not be specified for non-apply patch');
  }
  if (patch === 'apply' && fieldManager === '') {
    yield error.required('fieldManager', 'is required for apply patch');
  }
  if (fieldManager !== undefined) yield* validateFieldManager(fieldManager);
  if (dryRun.some((value) => value !== 'All')) yield error.notSupported('dryRun', dryRun, ['All']);
  if (fieldValidation !== undefined && !VALIDATION.includes(fieldValidation)) {
    yield error.notSupported('fieldValidation', fieldValidation, VALIDATION);
  }
}

function* validateFieldManager(name: string): Causes {
  if (Buffer.byteLength(name) > LONGEST_MANAGER) yield error.tooLong('fieldManager', LONGEST_MANAGER);
  const unprintable = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.exec(name);
  if (unprintable) {
    const code = unprintable[0].codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
    yield error.invalid(
      'fieldManager',
      name,
      `invalid character U+${code} (at position ${unprintable.index})`,
    );
  }
}

/** What is wrong with how dependents of a deleted object are to be treated. @param orphan what an old client says instead. */
export function* validatePropagation(policy: unknown, orphan: unknown): Causes {
  if (policy === undefined) return;
  if (orphan !== undefined) {
    const detail = 'orphanDependents and deletionPropagation cannot be both set';
    yield error.invalid('propagationPolicy', policy, detail);
  }
  if (!(POLICIES as readonly unknown[]).includes(policy)) {
    yield error.notSupported('propagationPolicy', policy, [...POLICIES, 'nil']);
  }
}
