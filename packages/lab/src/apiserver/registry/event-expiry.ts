import { keyOf } from './call.ts';
import type { Cluster } from './strategy.ts';

/** How long an Event is kept after it was last seen, as the real server keeps it, in milliseconds. */
const KEPT = 60 * 60 * 1000;
const INTERVAL = 60 * 1000;

/** Forgets Events when their time is over. @returns what ends that. */
export function expireEvents(cluster: Cluster): () => void {
  const timer = setInterval(() => {
    const before = cluster.now() - KEPT;
    for (const { metadata, lastTimestamp, eventTime } of [...cluster.store.all('events')]) {
      const seen = lastTimestamp ?? eventTime ?? metadata.creationTimestamp;
      if (Date.parse(String(seen)) >= before) continue;
      cluster.store.delete('events', keyOf({ namespace: metadata.namespace ?? '', name: metadata.name }));
    }
  }, INTERVAL);
  timer.unref();
  return () => clearInterval(timer);
}
