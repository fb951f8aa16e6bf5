import { createServer, type Server } from 'node:http';

/** What a path answers with. */
export type Answer = { readonly type: string; readonly body: string };
export type Routes = Readonly<Record<string, () => Answer | Promise<Answer>>>;

export const json = (value: unknown): Answer => ({
  type: 'application/json',
  body: `${JSON.stringify(value, undefined, 2)}\n`,
});

/**
 * Serves fixed paths by GET; any other path lists them.
 * @throws {Error} with `code` EADDRINUSE and its like when the address cannot be had.
 */
export async function serveHttp(at: { host: string; port: number }, routes: Routes): Promise<HttpService> {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://host').pathname;
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    try {
      const { type, body } = route ? await route() : json({ AvailableCommands: Object.keys(routes) });
      response.writeHead(route || path === '/' ? 200 : 404, { 'content-type': type }).end(body);
    } catch (error) {
      response.writeHead(500, { 'content-type': 'text/plain' }).end(`${(error as Error).message}\n`);
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, resolve);
  });
  return new HttpService(server);
}

export class HttpService implements AsyncDisposable {
  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
