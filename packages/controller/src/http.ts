import { createServer } from 'node:http';
import type { Registry } from 'prom-client';
import { type Listening, listen } from './listen.ts';

/**
 * Serves `/metrics` and `/healthz`.
 * @param health says what is wrong, or nothing.
 * @throws {Error} with `code` EADDRINUSE and its like when the port cannot be had.
 */
export function serveEndpoints(
  port: number,
  registry: Registry,
  health: () => string | undefined,
): Promise<Listening> {
  const server = createServer(async (request, response) => {
    const answer = (code: number, body: string, type = 'text/plain') =>
      response.writeHead(code, { 'content-type': type }).end(body);
    const { pathname } = new URL(request.url ?? '/', 'http://host');
    if (pathname === '/metrics') answer(200, await registry.metrics(), registry.contentType);
    else if (pathname === '/healthz') {
      const wrong = health();
      answer(wrong ? 500 : 200, wrong ?? 'ok');
    } else answer(404, '/metrics and /healthz are here\n');
  });
  return listen(server, port);
}
