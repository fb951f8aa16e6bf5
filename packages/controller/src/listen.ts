import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Listening = AsyncDisposable & { readonly port: number };

/**
 * Starts a server, on all addresses. To dispose of it ends its connections.
 * @param port 0 takes any. @throws {Error} with `code` EADDRINUSE and its like when the port cannot be had.
 */
export async function listen(server: Server, port: number): Promise<Listening> {
  server.listen(port);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
