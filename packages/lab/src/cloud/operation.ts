import type { Draft } from 'immer';
import type { Input, OperationName, Output } from './query/schema.ts';
import type { Quotas } from './quotas.ts';
import type { CloudState } from './state.ts';

/** Who signed a request: the account's own keys, or the role of one of its instances. */
export type Caller =
  | { readonly kind: 'account' }
  | { readonly kind: 'instance'; readonly instanceId: string };

/** What an operation works with, beside its input. */
export type Context = {
  /** The account, to be changed in place; nothing of it is seen by others before the operation has returned. */
  readonly state: Draft<CloudState>;
  readonly caller: Caller;
  /** The account as describing it shows it, which may be behind. */
  readonly past: CloudState;
  readonly now: Date;
  readonly quotas: Quotas;
  /** See {@link import('./ids.ts').newId}. */
  newId(prefix: string): string;
  newMac(): string;
};

/**
 * Operations by their name: all there is to implementing one. A handler checks its input, changes the state and
 * returns the output; it throws an `Ec2Error` to refuse, which undoes what it had changed by then.
 * Operations called `Describe…`, `Get…` and `List…` only read.
 */
export type Operations = {
  readonly [Name in OperationName]?: (input: Input<Name>, context: Context) => Output<Name>;
};
