/** Keeps flows of UDP from going on to endpoints that are gone, in the background: a node may have very many flows. */
import type { NetNamespace } from '@enid/linux';
import { cutStaleFlows, udpFrontends } from './conntrack.ts';
import { ANY } from './layout.ts';
import type { Problem, ServicePort } from './model.ts';
import { type Change, splitKey } from './objects.ts';

/** A frontend as {@link udpFrontends} knows it: `address port`, or a port of the node. */
type Gone = { readonly family: 4 | 6; readonly frontend: string };

type Options = {
  readonly ns: NetNamespace;
  readonly families: readonly (4 | 6)[];
  /** All there are at the moment. */
  readonly ports: () => Iterable<ServicePort>;
  /** Told each time what went wrong, if anything. */
  readonly tell: (problems: readonly Problem[]) => void;
};

export class StaleFlows {
  readonly #options: Options;
  /** UDP frontends that are gone and may still have flows. */
  #gone: readonly Gone[] = [];
  #cutting: Promise<void> | undefined;
  #cutAgain = false;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Resolves when nothing is left to be cut; undefined when nothing is. */
  get cutting(): Promise<void> | undefined {
    return this.#cutting;
  }

  /** Takes note of frontends that are not there any more. */
  follow(changes: readonly Change[]): void {
    this.#gone = [...this.#gone, ...changes.flatMap(goneFrontend)];
  }

  /** Begins to cut what is stale by now: to be called when the rules are in force. */
  cut(): void {
    this.#cutAgain = true;
    this.#cutting ??= this.#work();
  }

  async #work(): Promise<void> {
    await Promise.resolve(); // What comes in the same turn is cut together.
    const { ns, families, ports, tell } = this.#options;
    while (this.#cutAgain) {
      this.#cutAgain = false;
      const gone = this.#gone;
      try {
        for (const family of families) {
          const ofFamily = gone.filter((one) => one.family === family).map(({ frontend }) => frontend);
          await cutStaleFlows(ns, family, udpFrontends(ports(), family, ofFamily));
        }
        this.#gone = this.#gone.filter((frontend) => !gone.includes(frontend));
        tell([]);
      } catch (error) {
        const message = `UDP flows to endpoints that are gone stay until they end: ${(error as Error).message}`;
        tell([{ service: undefined, reason: 'StaleFlows', message }]);
      }
    }
    // In the same step in which nothing was left: what comes a moment later begins anew.
    this.#cutting = undefined;
  }
}

function goneFrontend({ object, to }: Change): Gone[] {
  const { family, set, key } = splitKey(object);
  if (set !== 'frontends' || to !== undefined) return [];
  const [address, protocol, port] = key.split(' . ') as [string, string, string];
  if (protocol !== 'udp') return [];
  const frontend = address === ANY[family] ? port : `${address} ${port}`;
  return [{ family: family === 'ip' ? 4 : 6, frontend }];
}
