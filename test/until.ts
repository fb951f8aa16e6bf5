import { setTimeout as sleep } from 'node:timers/promises';

/** Tries until it does not throw. @param patience in milliseconds. @throws what it throws when that is over. */
export async function until<T>(attempt: () => Promise<T>, patience = 20_000): Promise<T> {
  for (const deadline = Date.now() + patience; ; ) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}
