import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { isTruncated } from './wire.ts';

/** How long one server may take, in milliseconds. */
const TIMEOUT = 2_000;

/** Another DNS server. */
export type Upstream = { readonly address: string; readonly port: number };

/** No other server has answered. */
export class ForwardError extends Error {
  override readonly name = 'ForwardError';
}

/** Asks other DNS servers: one after another, by UDP, and by TCP what UDP has no room for. */
export class Forwarder {
  readonly upstreams: readonly Upstream[];
  readonly #timeout: number;

  constructor(upstreams: readonly Upstream[], timeout = TIMEOUT) {
    this.upstreams = upstreams;
    this.#timeout = timeout;
  }

  /**
   * @param query as it came; its ID is replaced.
   * @returns the answer, with an ID of its own.
   * @throws {ForwardError} when none answers.
   */
  async ask(query: Buffer): Promise<{ message: Buffer; upstream: Upstream }> {
    const failures: string[] = [];
    for (const upstream of this.upstreams) {
      const question = Buffer.from(query);
      question.writeUInt16BE(randomInt(0x10000), 0);
      try {
        const message = await askByUdp(upstream, question, this.#timeout);
        if (!isTruncated(message)) return { message, upstream };
        return { message: await askByTcp(upstream, question, this.#timeout), upstream };
      } catch (error) {
        failures.push(`${upstream.address}: ${(error as Error).message}`);
      }
    }
    throw new ForwardError(failures.join('; ') || 'no other server is known: /etc/resolv.conf names none');
  }
}

/** Whether a message answers a question: it has its ID and repeats it. */
function answers(message: Buffer, question: Buffer): boolean {
  return (
    message.length >= 12 && message.readUInt16BE(0) === question.readUInt16BE(0) && (message[2]! & 0x80) !== 0
  );
}

async function askByUdp({ address, port }: Upstream, question: Buffer, timeout: number): Promise<Buffer> {
  // A socket for each question has a port that cannot be guessed.
  const socket = createSocket('udp4');
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no answer in time')), timeout);
      socket.once('close', () => clearTimeout(timer));
      socket.once('error', reject);
      socket.on('message', (message) => {
        if (answers(message, question)) resolve(message);
      });
      // Connected, so that nobody else is heard and that a refusal is.
      socket.connect(port, address, () => socket.send(question));
    });
  } finally {
    socket.close();
  }
}

async function askByTcp({ address, port }: Upstream, question: Buffer, timeout: number): Promise<Buffer> {
  const socket = connect({ host: address, port, timeout });
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no answer in time')), timeout);
      socket.once('close', () => {
        clearTimeout(timer);
        reject(new Error('the connection was closed before the answer'));
      });
      socket.once('error', reject);
      const messages = new MessageReader((message) => {
        if (answers(message, question)) resolve(message);
      });
      socket.on('data', (chunk) => messages.add(chunk));
      socket.write(withLength(question));
    });
  } finally {
    socket.destroy();
  }
}

/** A message as TCP carries it. */
export function withLength(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

/** Cuts what comes by TCP into messages. */
export class MessageReader {
  readonly #deliver: (message: Buffer) => void;
  #rest = Buffer.alloc(0);

  constructor(deliver: (message: Buffer) => void) {
    this.#deliver = deliver;
  }

  add(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 2) {
      const end = 2 + this.#rest.readUInt16BE(0);
      if (this.#rest.length < end) return;
      const message = this.#rest.subarray(2, end);
      this.#rest = this.#rest.subarray(end);
      this.#deliver(message);
    }
  }
}
