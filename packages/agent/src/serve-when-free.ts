import { type Clock, systemClock } from './clock.ts';

/** In milliseconds. */
const INTERVAL = 1000;

/**
 * Serves at an address as soon as it can be had: a predecessor that is about to end may have it for now.
 * @param serve begins to serve, or throws.
 * @param tell told what is wrong, once for as long as it stays the same, and at last undefined: it is served.
 * @returns after the first attempt, what ends the service or the attempts.
 */
export async function serveWhenFree(
  serve: () => Promise<AsyncDisposable>,
  tell: (error: Error | undefined) => void,
  clock: Clock = systemClock,
): Promise<AsyncDisposable> {
  const end = new AbortController();
  let service: AsyncDisposable | undefined;
  let said: string | undefined;
  const attempt = async () => {
    try {
      service = await serve();
      tell(undefined);
    } catch (error) {
      const { message } = error as Error;
      if (message !== said) tell(error as Error);
      said = message;
    }
  };
  await attempt();
  const others = (async () => {
    while (!service) {
      await clock.sleep(INTERVAL, end.signal).catch(() => {});
      if (end.signal.aborted) return;
      await attempt();
    }
  })();
  return {
    [Symbol.asyncDispose]: async () => {
      end.abort();
      await others;
      await service?.[Symbol.asyncDispose]();
    },
  };
}
