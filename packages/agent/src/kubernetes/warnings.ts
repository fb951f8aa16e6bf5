import type { About, EventRecorder } from '@enid/kube';

/** The same cause on the same object is counted up for so long, under the sentence that was told first. */
const SERIES = 10 * 60_000;
/** And written so often at most: a runtime tries a pod again every few seconds. */
const INTERVAL = 60_000;

type Told = { readonly message: string; readonly since: number; at: number };

/**
 * Warning events by cause. A refusal's sentence differs each time, by its clock times and counts, so it is the cause
 * that says what is the same: each cause makes one Event on each object, however often it comes.
 */
export class Warnings {
  readonly #recorder: EventRecorder;
  readonly #now: () => number;
  readonly #told = new Map<string, Told>();

  constructor(recorder: EventRecorder, now: () => number = Date.now) {
    this.#recorder = recorder;
    this.#now = now;
  }

  /**
   * Writes the event, or counts it up, unless that was done a moment ago.
   * @param subject names the object and what is told of it.
   * @param about asked for only when there is something to write; gives undefined when the object is gone.
   */
  async tell(
    subject: string,
    reason: string,
    message: string,
    about: () => Promise<About | undefined> | About,
  ): Promise<void> {
    const now = this.#now();
    const key = `${subject} ${reason}`;
    const last = this.#told.get(key);
    if (last && now - last.at < INTERVAL) return;
    const told = last && now - last.since < SERIES ? last : { message, since: now, at: now };
    told.at = now;
    this.#told.set(key, told);
    this.#forgetOld(now);
    const object = await about();
    if (object) this.#recorder.event(object, 'Warning', reason, told.message);
  }

  #forgetOld(now: number): void {
    for (const [key, { at }] of this.#told) if (now - at >= SERIES) this.#told.delete(key);
  }
}
