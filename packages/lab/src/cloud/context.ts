import type { Draft } from 'immer';
import type { Clock } from './clock.ts';
import { newId, newMac } from './ids.ts';
import type { Caller, Context } from './operation.ts';
import type { Quotas } from './quotas.ts';
import type { CloudState } from './state.ts';

/** What an operation of `caller` works with on a draft of the account. */
export function newContext(
  state: Draft<CloudState>,
  caller: Caller,
  { quotas, clock, seed, past }: { quotas: Quotas; clock: Clock; seed: string; past?: CloudState },
): Context {
  return {
    state,
    caller,
    past: past ?? (state as CloudState),
    now: new Date(clock.now()),
    quotas,
    newId: (prefix) => newId(state, seed, prefix),
    newMac: () => newMac(state, seed),
  };
}
