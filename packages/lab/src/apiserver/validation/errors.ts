/** What may be wrong with a field (apimachinery `field.Error`), beyond what {@link field} of `status.ts` has. */
import { type Cause, field } from '../status.ts';

/** What is wrong with an object: found one after another. */
export type Causes = Iterable<Cause>;

export const error = {
  ...field,
  duplicate: (path: string, value: unknown): Cause => ({
    reason: 'FieldValueDuplicate',
    message: `Duplicate value: ${JSON.stringify(value)}`,
    field: path,
  }),
  notFound: (path: string, value: unknown): Cause => ({
    reason: 'FieldValueNotFound',
    message: `Not found: ${JSON.stringify(value)}`,
    field: path,
  }),
  tooLong: (path: string, most: number): Cause => ({
    reason: 'FieldValueTooLong',
    message: `Too long: may not be more than ${most} bytes`,
    field: path,
  }),
  tooMany: (path: string, count: number, most: number): Cause => ({
    reason: 'FieldValueTooMany',
    message: `Too many: ${count}: must have at most ${most} items`,
    field: path,
  }),
  wrongType: (path: string, type: string, wanted: string): Cause => ({
    reason: 'FieldValueTypeInvalid',
    message: `Invalid value: "${type}": ${path} in body must be of type ${wanted}: "${type}"`,
    field: path,
  }),
};

export const IMMUTABLE = 'field is immutable';
