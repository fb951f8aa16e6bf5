/** What happens in the account by itself, after a while: an interface comes to be attached, an instance to run. */
import { issuedCertificates } from './acm/transitions.ts';
import type { Clock } from './clock.ts';
import { drainingTargets, loadBalancers, releasedInterfaces } from './elbv2/transitions.ts';
import { deleteInterface } from './interfaces.ts';
import type { Settings } from './settings.ts';
import { type CloudState, interfacesOf } from './state.ts';
import type { Step, Transition } from './transition.ts';

/** How long what is gone can still be described. */
const REMEMBERED_MS = 3_600_000;

function* attachments(state: CloudState): Generator<Transition> {
  for (const { id, attachment } of Object.values(state.networkInterfaces)) {
    const instance = state.instances[attachment?.instanceId ?? ''];
    // Those of an instance that starts or ends go with the instance.
    if (!attachment || attachment.status === 'attached' || instance?.state !== 'running') continue;
    yield {
      key: `${attachment.id} ${attachment.status}`,
      delay: ({ attachDelayMs }) => attachDelayMs,
      step(draft) {
        const eni = draft.networkInterfaces[id];
        if (eni?.attachment?.id !== attachment.id || eni.attachment.status !== attachment.status) return;
        if (attachment.status === 'detaching') delete eni.attachment;
        else eni.attachment.status = 'attached';
      },
    };
  }
}

function* instances(state: CloudState): Generator<Transition> {
  for (const { id, state: status } of Object.values(state.instances)) {
    if (status === 'running') continue;
    yield {
      key: `${id} ${status}`,
      delay: ({ launchDelayMs }) => (status === 'terminated' ? REMEMBERED_MS : launchDelayMs),
      step(draft) {
        const instance = draft.instances[id];
        if (instance?.state !== status) return;
        if (status === 'terminated') {
          delete draft.instances[id];
          return;
        }
        instance.state = status === 'pending' ? 'running' : 'terminated';
        for (const { id: eniId } of interfacesOf(draft, id)) {
          const eni = draft.networkInterfaces[eniId]!;
          if (status === 'pending') eni.attachment!.status = 'attached';
          else if (eni.attachment!.deleteOnTermination) deleteInterface({ state: draft }, eni);
          else delete eni.attachment;
        }
      },
    };
  }
}

function* natGateways(state: CloudState): Generator<Transition> {
  for (const { id, state: status } of Object.values(state.natGateways)) {
    if (status === 'available') continue;
    yield {
      key: `${id} ${status}`,
      delay: ({ natGatewayDelayMs }) => (status === 'deleted' ? REMEMBERED_MS : natGatewayDelayMs),
      step(draft) {
        const gateway = draft.natGateways[id];
        if (gateway?.state !== status) return;
        if (status === 'deleted') {
          delete draft.natGateways[id];
          return;
        }
        gateway.state = status === 'pending' ? 'available' : 'deleted';
        const eni = draft.networkInterfaces[gateway.networkInterfaceId];
        if (status === 'deleting' && eni) deleteInterface({ state: draft }, eni);
      },
    };
  }
}

const KINDS = [
  attachments,
  instances,
  natGateways,
  loadBalancers,
  releasedInterfaces,
  drainingTargets,
  issuedCertificates,
];

const RETRY_MS = 1000;

/**
 * Keeps the time of transitions. Which are pending follows from the state alone, so that a restart loses none; it
 * only begins their delays anew.
 */
export class Transitions {
  readonly #clock: Clock;
  readonly #settings: () => Settings;
  readonly #run: (step: Step) => Promise<void>;
  readonly #pending = new Map<string, () => void>();
  #stopped = false;

  /** @param run takes a step, in a transaction; a step that it rejects is tried again. */
  constructor(clock: Clock, settings: () => Settings, run: (step: Step) => Promise<void>) {
    this.#clock = clock;
    this.#settings = settings;
    this.#run = run;
  }

  /** Begins the delays of what is newly pending in a state, and ends those of what is not. */
  observe(state: CloudState): void {
    if (this.#stopped) return;
    const wanted = KINDS.flatMap((pending) => [...pending(state)]);
    const keys = new Set(wanted.map(({ key }) => key));
    for (const [key, cancel] of this.#pending) {
      if (keys.has(key)) continue;
      cancel();
      this.#pending.delete(key);
    }
    for (const transition of wanted) {
      if (!this.#pending.has(transition.key)) this.#schedule(transition, transition.delay(this.#settings()));
    }
  }

  async #take({ step }: Transition): Promise<void> {
    await this.#run('prepare' in step ? await step.prepare() : step);
  }

  /** Takes no further step. */
  stop(): void {
    this.#stopped = true;
    for (const cancel of this.#pending.values()) cancel();
    this.#pending.clear();
  }

  #schedule(transition: Transition, delayMs: number): void {
    const cancel = this.#clock.after(delayMs, () => {
      this.#take(transition).catch(() => {
        if (this.#pending.has(transition.key)) this.#schedule(transition, RETRY_MS);
      });
    });
    this.#pending.set(transition.key, cancel);
  }
}
