import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { MessageReader, withLength } from './forward.ts';
import type { Resolver } from './resolver.ts';

/** How long a TCP connection may be idle, in milliseconds (RFC 7766 asks for seconds). */
const IDLE = 10_000;

/** Serves a resolver by UDP and TCP on one port. */
export class DnsServer implements AsyncDisposable {
  readonly #resolver: Resolver;
  readonly #udp: UdpSocket = createSocket('udp4');
  readonly #tcp: Server;
  readonly #connections = new Set<Socket>();

  constructor(resolver: Resolver) {
    this.#resolver = resolver;
    this.#tcp = createServer((socket) => this.#serve(socket));
  }

  /** @param port 0 for one that is free. @returns the port. */
  async listen(port: number, address = '0.0.0.0'): Promise<number> {
    this.#tcp.listen(port, address);
    await once(this.#tcp, 'listening');
    const bound = (this.#tcp.address() as AddressInfo).port;
    this.#udp.bind(bound, address);
    await once(this.#udp, 'listening');
    this.#udp.on('message', async (query, from) => {
      const response = await this.#resolver.respond(query, 'udp');
      // A client that is gone is no error of ours.
      if (response) this.#udp.send(response, from.port, from.address, () => {});
    });
    return bound;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#connections) socket.destroy();
    this.#udp.close();
    this.#tcp.close();
    await once(this.#tcp, 'close');
  }

  #serve(socket: Socket): void {
    this.#connections.add(socket);
    socket.setTimeout(IDLE, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#connections.delete(socket));
    const messages = new MessageReader(async (query) => {
      const response = await this.#resolver.respond(query, 'tcp');
      if (!response) socket.destroy();
      else if (socket.writable) socket.write(withLength(response));
    });
    socket.on('data', (chunk) => messages.add(chunk));
  }
}
