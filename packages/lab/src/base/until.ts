import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Asks again until the answer is as wanted: for what can only be asked, such as a state in EC2.
 * @param what is named in the error.
 * @param timeout in milliseconds.
 * @param pace from one answer to the next question, in milliseconds: longer for an API that many ask, such as AWS's.
 * @throws when the time is over, with the last answer.
 */
export async function until<T>(
  ask: () => T | Promise<T>,
  wanted: (answer: T) => boolean,
  what: string,
  timeout = 20_000,
  pace = 50,
): Promise<T> {
  const deadline = Date.now() + timeout;
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
    if (Date.now() > deadline) {
      throw new Error(`waited ${timeout / 1000} s in vain for ${what}; last seen: ${JSON.stringify(answer)}`);
    }
    await sleep(pace);
  }
}
