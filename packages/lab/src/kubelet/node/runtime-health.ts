import type { Clock } from '@enid/kube';
import type { CriClient } from '../cri/client.ts';

/** While something is wrong the runtime is asked often: pods wait for it. In milliseconds. */
const WHEN_BROKEN = 200;
const WHEN_WELL = 5_000;

export type Health = {
  readonly runtimeProblem: string | undefined;
  readonly networkProblem: string | undefined;
};

/** Asks the runtime again and again whether it, and its network, are ready. */
export class RuntimeHealth {
  readonly #client: CriClient;
  readonly #clock: Clock;
  readonly #changed: () => void;
  #health: Health = { runtimeProblem: 'container runtime status not known yet', networkProblem: undefined };
  #cancel: (() => void) | undefined;
  #closed = false;

  /** @param changed called when the health is another than before. */
  constructor(client: CriClient, clock: Clock, changed: () => void) {
    this.#client = client;
    this.#clock = clock;
    this.#changed = changed;
  }

  get now(): Health {
    return this.#health;
  }

  /** Resolves after the first answer. */
  async start(): Promise<void> {
    this.#health = await this.#ask();
    this.#again();
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
  }

  #again(): void {
    const { runtimeProblem, networkProblem } = this.#health;
    const wait = (runtimeProblem ?? networkProblem) ? WHEN_BROKEN : WHEN_WELL;
    this.#cancel = this.#clock.after(wait, async () => {
      const before = this.#health;
      this.#health = await this.#ask();
      if (this.#closed) return;
      const { runtimeProblem, networkProblem } = this.#health;
      if (before.runtimeProblem !== runtimeProblem || before.networkProblem !== networkProblem)
        this.#changed();
      this.#again();
    });
  }

  async #ask(): Promise<Health> {
    try {
      const conditions = await this.#client.conditions();
      const problem = (type: string) => {
        const found = conditions.find((condition) => condition.type === type);
        if (found?.status) return undefined;
        return `container runtime ${type === 'NetworkReady' ? 'network ' : ''}not ready: ${type}=false reason:${found?.reason} message:${found?.message}`;
      };
      return { runtimeProblem: problem('RuntimeReady'), networkProblem: problem('NetworkReady') };
    } catch (error) {
      const problem = `container runtime is down: ${(error as Error).message}`;
      return { runtimeProblem: problem, networkProblem: problem };
    }
  }
}
