import type { CriClient } from '../cri/client.ts';
import type { Container, LifecycleHandler } from '../pod.ts';
import { httpGet } from '../probes/http-get.ts';

/** An HTTP hook's own limit, and a command's where the pod sets none, in milliseconds. */
const TIMEOUT = 30_000;

/**
 * Runs a lifecycle hook in a running container.
 * @param timeout in milliseconds, after which it is given up.
 * @throws when it fails, with what it said.
 */
export async function runHook(
  { exec, httpGet: get, sleep }: LifecycleHandler,
  container: Container,
  containerId: string,
  podIP: string,
  client: CriClient,
  timeout?: number,
  signal?: AbortSignal,
): Promise<void> {
  if (exec) {
    const seconds = timeout === undefined ? 0 : Math.ceil(timeout / 1000);
    const { exitCode, stdout, stderr } = await client.execSync(
      containerId,
      exec.command ?? [],
      seconds,
      signal,
    );
    if (exitCode !== 0)
      throw new Error(`command '${exec.command?.join(' ')}' exited with ${exitCode}: ${stdout}${stderr}`);
  } else if (get) {
    const { status } = await httpGet(get, container, podIP, Math.min(timeout ?? TIMEOUT, TIMEOUT));
    if (status >= 400) throw new Error(`HTTP hook answered with status ${status}`);
  } else if (sleep) {
    const time = Math.min(sleep.seconds * 1000, timeout ?? Number.POSITIVE_INFINITY);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, time);
      const giveUp = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', giveUp, { once: true });
    });
  }
}
