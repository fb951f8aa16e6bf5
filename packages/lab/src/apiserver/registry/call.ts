import type { User } from '../auth/user.ts';
import type { Fields } from '../object.ts';
import type { Resource } from './resource.ts';

/** What a request says beside its object. */
export type Call = {
  readonly user: User;
  readonly dryRun: boolean;
  readonly fieldManager: string;
  readonly fieldValidation: 'Strict' | 'Warn' | 'Ignore';
  /** Takes over the fields that others own (server-side apply). */
  readonly force: boolean;
  /** All of it as an object: `CreateOptions`, `PatchOptions` ... */
  readonly options: Fields;
  /** Says something to the client beside the answer. */
  warn(message: string): void;
};

/** An object by name. `namespace` is '' of cluster-wide resources. */
export type Target = {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
};

/** Under which an object is stored. */
export function keyOf({ namespace, name }: { namespace: string; name: string }): string {
  return `${namespace}/${name}`;
}
