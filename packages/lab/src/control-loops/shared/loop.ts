import { isConflict, isNamespaceTerminating, isNotFound, WorkQueue } from '@enid/kube';
import type { Cluster, Loop } from './cluster.ts';

export type Reconciler = {
  readonly queue: WorkQueue;
  /** Hears of changes, and is rid of that on close. */
  readonly on: (...subscriptions: (() => void)[]) => void;
} & Loop;

/**
 * A queue of keys whose `reconcile` is called until it succeeds. That something changed or went meanwhile is the course
 * of things, and no error to tell.
 */
export function reconciler(
  { clock, onError }: Cluster,
  name: string,
  reconcile: (key: string) => Promise<void>,
  concurrency = 5,
): Reconciler {
  const queue = new WorkQueue({
    clock,
    concurrency,
    process: reconcile,
    onError(key, error) {
      if (isConflict(error) || isNotFound(error) || isNamespaceTerminating(error)) return;
      onError(new Error(`${name} ${key}: ${error.message}`, { cause: error }));
    },
  });
  const subscriptions: (() => void)[] = [];
  return {
    queue,
    on: (...more) => subscriptions.push(...more),
    async close() {
      for (const unsubscribe of subscriptions) unsubscribe();
      await queue.close();
    },
  };
}
