import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { bindUdp, listenTcp, type NetNamespace } from '@enid/linux';
import { INTERNET_SERVER } from './addresses.ts';
import { closed } from './closed.ts';
import { type Names, Resolver } from './resolver.ts';
import { tellWhoAsks } from './who-asks.ts';

export { INTERNET_CLIENT, INTERNET_SERVER } from './addresses.ts';

const HTTP_PORT = 80;
const ECHO_PORT = 7;

/**
 * The internet's server: HTTP on port 80 that tells who answers and who asks, as
 * `{"server": {"address", "port"}, "client": {"address", "port"}}`, echo (RFC 862) by TCP and UDP on port 7, and DNS
 * for its own name, `server.internet.test`, and those that it is given.
 */
export class InternetServer implements AsyncDisposable {
  readonly #ns: NetNamespace;
  readonly #resolver: Resolver;
  readonly #http = createHttpServer(tellWhoAsks);
  readonly #connections = new Set<Socket>();
  readonly #echo = createServer((socket) => {
    this.#connections.add(socket);
    socket.on('close', () => this.#connections.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  readonly #udpEcho = createSocket('udp4', (message, { address, port }) => {
    // Like any datagram, one that cannot be sent is lost.
    this.#udpEcho.send(message, port, address, () => {});
  });

  private constructor(ns: NetNamespace, names: Names) {
    this.#ns = ns;
    this.#resolver = new Resolver(ns, names);
  }

  /**
   * Starts serving.
   * @param ns the internet's namespace, which has the address {@link INTERNET_SERVER}.
   * @param names what its resolver knows beside its own; nothing unless given.
   * @throws {SyscallError} EADDRNOTAVAIL when it has not, EADDRINUSE when somebody serves there.
   */
  static async start(ns: NetNamespace, names: Names = () => undefined): Promise<InternetServer> {
    const server = new InternetServer(ns, names);
    try {
      await server.#listen();
      return server;
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  async #listen(): Promise<void> {
    // A datagram socket says so before bind() returns.
    const listening = [this.#http, this.#echo, this.#udpEcho].map((server) => once(server, 'listening'));
    this.#http.listen({ fd: listenTcp(this.#ns, INTERNET_SERVER, HTTP_PORT) });
    this.#echo.listen({ fd: listenTcp(this.#ns, INTERNET_SERVER, ECHO_PORT) });
    this.#udpEcho.bind({ fd: bindUdp(this.#ns, INTERNET_SERVER, ECHO_PORT) });
    await Promise.all([...listening, this.#resolver.listen()]);
  }

  /** Ends the connections too: an open socket would keep the namespace. */
  async close(): Promise<void> {
    this.#http.closeAllConnections();
    for (const connection of this.#connections) connection.destroy();
    await Promise.all([this.#resolver.close(), ...[this.#http, this.#echo, this.#udpEcho].map(closed)]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
