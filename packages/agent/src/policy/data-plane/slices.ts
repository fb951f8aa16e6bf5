import { setImmediate } from 'node:timers/promises';

/** Takes steps one after another, and lets others have the event loop every few milliseconds. */
export async function inSlices<T>(steps: Iterator<void, T>, milliseconds = 4): Promise<T> {
  for (let since = performance.now(); ; ) {
    const { done, value } = steps.next();
    if (done) return value;
    if (performance.now() - since < milliseconds) continue;
    await setImmediate();
    since = performance.now();
  }
}
