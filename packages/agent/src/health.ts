/** Whether pods can be added to the node, for the kubelet's probe. */
import { type Routes, serveHttp } from './http.ts';
import type { Logger } from './log.ts';
import type { Readiness } from './seams.ts';
import { serveWhenFree } from './serve-when-free.ts';

/** Nobody but the node asks. It is a port of its own: metrics and introspection can be switched off, and moved. */
const HEALTH = { host: '127.0.0.1', port: 61_680 };

/** Serves {@link healthRoutes}, later if somebody else has the port now: without them the pod would not get ready. */
export function serveHealth(ready: () => Readiness, log: Logger): Promise<AsyncDisposable> {
  return serveWhenFree(
    () => serveHttp(HEALTH, healthRoutes(ready)),
    (error) => {
      if (error) log.error({ err: error, ...HEALTH }, 'health cannot be served: free the port');
    },
  );
}

/** `/readyz` answers 200, or 503 with the reason. */
export function healthRoutes(ready: () => Readiness): Routes {
  return {
    '/readyz': () => {
      const readiness = ready();
      const type = 'text/plain';
      return readiness.ok ? { type, body: 'ok\n' } : { type, body: `${readiness.reason}\n`, status: 503 };
    },
  };
}
