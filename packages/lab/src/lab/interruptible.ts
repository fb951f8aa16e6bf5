import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from './lab.ts';

/** How long work may take to notice that everything is taken from it, in milliseconds. */
const PATIENCE = 3_000;

/**
 * Runs work that builds things; Ctrl-C takes away what it has left to the stack, and its lab, however far that got, and ends
 * this process. Another Ctrl-C changes nothing.
 * @param lab its lab, if it has one.
 * @param say told so.
 */
export async function interruptible<T>(
  lab: string | undefined,
  work: (stack: AsyncDisposableStack) => Promise<T>,
  say: (line: string) => void = console.error,
): Promise<T> {
  await using stack = new AsyncDisposableStack();
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  let isInterrupted = false;
  const interrupt = async () => {
    if (isInterrupted) return;
    isInterrupted = true;
    say(`interrupted: taking ${lab ? 'the lab' : 'what was made'} away`);
    await stack.disposeAsync().catch((error: Error) => say(error.message));
    if (lab) {
      // Until the work has ended it makes more, and is in the way of what is to go.
      await Lab.down(lab).catch(() => {});
      await Promise.race([ended, sleep(PATIENCE)]);
      await Lab.down(lab);
    }
    process.exit(130);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, interrupt);
  try {
    return await work(stack);
  } finally {
    end();
    // How work ends that everything is taken from is no news; the process ends with it.
    if (isInterrupted) await new Promise(() => {});
    for (const signal of signals) process.off(signal, interrupt);
  }
}
