import { Lab } from './lab.ts';

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
  let isInterrupted = false;
  const interrupt = async () => {
    if (isInterrupted) return;
    isInterrupted = true;
    say(`interrupted: taking ${lab ? 'the lab' : 'what was made'} away`);
    await stack.disposeAsync();
    if (lab) await Lab.down(lab);
    process.exit(130);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, interrupt);
  try {
    return await work(stack);
  } finally {
    // How work ends that everything is taken from is no news; the process ends with it.
    if (isInterrupted) await new Promise(() => {});
    for (const signal of signals) process.off(signal, interrupt);
  }
}
