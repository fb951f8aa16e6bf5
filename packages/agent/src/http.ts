import { createServer, type Server } from 'node:http';
import type { BindAddress } from './socket-paths.ts';
import { listenOn, removeSocket } from './unix-socket.ts';

/** What a path answers with. @prop status 200 when absent. */
export type Answer = { readonly type: string; readonly body: string; readonly status?: number };
export type Routes = Readonly<Record<string, () => Answer | Promise<Answer>>>;

export const json = (value: unknown): Answer => ({
  type: 'application/json',
  body: `${JSON.stringify(value, undefined, 2)}\n`,
});

/**
 * Serves fixed paths by GET; any other path lists them.
 * @throws {Error} with `code` EADDRINUSE and its like when the address cannot be had, or when another agent has the socket.
 */
export async function serveHttp(at: BindAddress, routes: Routes): Promise<HttpService> {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://host').pathname;
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    try {
      const {
        type,
        body,
        status = route || path === '/' ? 200 : 404,
      } = route ? await route() : json({ AvailableCommands: Object.keys(routes) });
      response.writeHead(status, { 'content-type': type }).end(body);
    } catch (error) {
      response.writeHead(500, { 'content-type': 'text/plain' }).end(`${(error as Error).message}\n`);
    }
  });
  if ('path' in at) {
    await listenOn(server, at.path, 'INTROSPECTION_BIND_ADDRESS');
    return new HttpService(server, at.path);
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, resolve);
  });
  return new HttpService(server);
}

export class HttpService implements AsyncDisposable {
  readonly #server: Server;
  readonly #socket: string | undefined;

  /** @param socket the unix socket, to be taken away in the end. */
  constructor(server: Server, socket?: string) {
    this.#server = server;
    this.#socket = socket;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socket) await removeSocket(this.#socket);
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
