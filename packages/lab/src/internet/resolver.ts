import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import type { Ipv4 } from '@enid/ip';
import { bindUdp, listenTcp, type NetNamespace } from '@enid/linux';
import * as dns from 'dns-packet';
import { INTERNET_SERVER } from './addresses.ts';
import { closed } from './closed.ts';

const PORT = 53;
const TTL = 60;
/** Response codes of RFC 1035, in the low bits of the flags. */
const NXDOMAIN = 3;

/** The names of the internet (RFC 6761: nobody else's). */
const NAMES: Readonly<Record<string, string>> = { 'server.internet.test': INTERNET_SERVER };

/**
 * Addresses by names that come and go, such as those of load balancers. It is given a name in lower case, and answers
 * undefined for one that is not.
 */
export type Names = (name: string) => readonly Ipv4[] | undefined;

/** The internet's resolver, at the address of its server: it knows {@link NAMES}, those it is given, and nothing beyond. */
export class Resolver {
  readonly #ns: NetNamespace;
  readonly #names: Names;
  readonly #connections = new Set<Socket>();
  readonly #udp = createSocket('udp4', (message, { address, port }) => {
    const answer = answerTo(message, this.#names);
    if (answer) this.#udp.send(answer, port, address, () => {});
  });
  readonly #tcp = createServer((socket) => {
    this.#connections.add(socket);
    socket.on('close', () => this.#connections.delete(socket));
    socket.on('error', () => socket.destroy());
    let received = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const end = 2 + received.readUInt16BE(0);
        const answer = answerTo(received.subarray(2, end), this.#names);
        if (answer)
          socket.write(Buffer.concat([Buffer.from([answer.length >> 8, answer.length & 255]), answer]));
        received = received.subarray(end);
      }
    });
  });

  /** @param ns the internet's namespace. */
  constructor(ns: NetNamespace, names: Names) {
    this.#ns = ns;
    this.#names = names;
  }

  /** @throws {SyscallError} when the namespace has not the address, or somebody serves there. */
  async listen(): Promise<void> {
    const listening = [this.#udp, this.#tcp].map((server) => once(server, 'listening'));
    this.#udp.bind({ fd: bindUdp(this.#ns, INTERNET_SERVER, PORT) });
    this.#tcp.listen({ fd: listenTcp(this.#ns, INTERNET_SERVER, PORT) });
    await Promise.all(listening);
  }

  /** Ends the connections too: an open socket would keep the namespace. */
  async close(): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    await Promise.all([this.#udp, this.#tcp].map(closed));
  }
}

/** @returns undefined for what is no query. */
function answerTo(message: Buffer, names: Names): Buffer | undefined {
  let query: dns.DecodedPacket;
  try {
    query = dns.decode(message);
  } catch {
    return undefined;
  }
  const [question] = query.questions ?? [];
  if (query.type !== 'query' || !question) return undefined;
  const name = question.name.toLowerCase();
  const known = NAMES[name];
  const addresses = known === undefined ? names(name) : [known];
  const answers =
    question.type === 'A'
      ? (addresses ?? []).map((data) => ({ type: 'A', name: question.name, ttl: TTL, data }))
      : [];
  return dns.encode({
    type: 'response',
    id: query.id ?? 0,
    flags:
      (query.flags! & dns.RECURSION_DESIRED) |
      dns.RECURSION_AVAILABLE |
      dns.AUTHORITATIVE_ANSWER |
      (addresses ? 0 : NXDOMAIN),
    questions: [question],
    answers: answers as dns.Answer[],
  });
}
