import { Lab } from './lab.ts';

/**
 * Runs work that builds a lab; Ctrl-C takes the lab away, however far it got, with what the work has left to the stack, and ends
 * this process.
 * @param say told so.
 */
export async function interruptible<T>(
  lab: string,
  work: (stack: AsyncDisposableStack) => Promise<T>,
  say: (line: string) => void = console.error,
): Promise<T> {
  await using stack = new AsyncDisposableStack();
  const interrupt = async () => {
    say('interrupted: taking the lab away');
    await stack.disposeAsync();
    await Lab.down(lab);
    process.exit(130);
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    return await work(stack);
  } catch (error) {
    // What was taken from under it is no news; the process ends with the lab.
    if (stack.disposed) await new Promise(() => {});
    throw error;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}
