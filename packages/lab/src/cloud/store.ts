import { createDraft, type Draft, finishDraft, freeze } from 'immer';
import type { Clock } from './clock.ts';
import type { CloudState } from './state.ts';

type Past = { readonly since: number; readonly state: CloudState };

/**
 * The account and its transactions. They run one after the other: each works on a draft, and what it makes is the
 * account's state only when what has to follow it (the network, the disk) has. When that refuses, nothing happened.
 */
export class Store {
  readonly #clock: Clock;
  readonly #follow: (state: CloudState) => Promise<void>;
  readonly #committed: (state: CloudState) => void;
  #state: CloudState;
  #past: Past[];
  #last: Promise<unknown> = Promise.resolve();

  /** @param committed is told of every new state that holds. */
  constructor(
    initial: CloudState,
    clock: Clock,
    follow: (state: CloudState) => Promise<void>,
    committed: (state: CloudState) => void,
  ) {
    this.#state = freeze(initial, true);
    this.#clock = clock;
    this.#follow = follow;
    this.#committed = committed;
    this.#past = [{ since: -Infinity, state: this.#state }];
  }

  /** The account as it is. */
  get state(): CloudState {
    return this.#state;
  }

  /** The account as it was some milliseconds ago. */
  before(ms: number): CloudState {
    const at = this.#clock.now() - ms;
    return this.#past.findLast(({ since }) => since <= at)!.state;
  }

  /** Forgets what was more than some milliseconds ago. */
  forget(ms: number): void {
    const at = this.#clock.now() - ms;
    this.#past = this.#past.slice(this.#past.findLastIndex(({ since }) => since <= at));
  }

  /**
   * Runs a transaction. `change` works on the draft in place, and must not keep it or return parts of it.
   * @returns what `change` returned, once the change holds.
   * @throws what `change` threw, or what has to follow it; the account is then as it was.
   */
  transact<Result>(change: (draft: Draft<CloudState>) => Result): Promise<Result> {
    const turn = this.#last.then(() => this.#run(change));
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #run<Result>(change: (draft: Draft<CloudState>) => Result): Promise<Result> {
    const before = this.#state;
    const draft = createDraft(before);
    const result = change(draft as Draft<CloudState>);
    const after = finishDraft(draft) as CloudState;
    if (after === before) return result;
    try {
      await this.#follow(after);
    } catch (error) {
      await this.#follow(before).catch((undoing) => {
        throw new SuppressedError(undoing, error, 'a change was refused, and then undoing it was too');
      });
      throw error;
    }
    this.#state = after;
    this.#past.push({ since: this.#clock.now(), state: after });
    this.#committed(after);
    return result;
  }

  /** Resolves when the transactions begun so far are over. */
  async settled(): Promise<void> {
    await this.#last;
  }
}
