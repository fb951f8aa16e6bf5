import type { Answer, NetlinkError, Request, Rtnetlink } from '@enid/linux';

/** What the kernel answers when what was asked for is so already. */
export const ALREADY = ['EEXIST', 'ESRCH', 'ENOENT', 'ENODEV', 'EADDRNOTAVAIL'];

/**
 * Runs requests in one message, in order and all of them.
 * @param fine error codes that are none here.
 * @throws {NetlinkError} the first other error.
 */
export function apply(
  netlink: Rtnetlink,
  requests: readonly Request[],
  fine: readonly string[] = ALREADY,
): void {
  const error = netlink.batch(requests).find((result) => result !== null && !fine.includes(result.code));
  if (error) throw error;
}

/** The first error among answers that is none of the codes `fine`; undefined when there is none. */
export function refusal(answers: readonly Answer[], fine: readonly string[]): NetlinkError | undefined {
  return answers.find(({ error }) => error !== null && !fine.includes(error.code))?.error ?? undefined;
}
