/** Questions, from network namespaces, to backends that tell who they are and whom they see. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Ip, parseIp } from '@enid/ip';
import { bindUdp, connectTcp, type NetNamespace } from '@enid/linux';
import { SctpEndpoint } from './sctp.ts';

export const INTERNET = '198.51.100.10';

/** Somebody who sends and, as a backend, answers. */
export type Spot = {
  readonly name: string;
  readonly kind: 'pod' | 'node' | 'internet';
  readonly node: string | undefined;
  readonly address: string;
};

/** The same of whom the namespace can be entered. */
export type Place = Spot & { readonly ns: NetNamespace };

/** What came of a question: who answered and which client it saw, or why nobody did. */
export type Outcome = { readonly by: string; readonly sees: string } | 'refused' | 'timeout' | string;
type Options = { readonly timeout?: number; readonly from?: string };

/** Asks a backend who it is, and whom it sees, on one connection. */
export async function ask(
  { ns, kind }: Place,
  protocol: 'tcp' | 'udp',
  address: string,
  port: number,
  given: Options = {},
): Promise<Outcome> {
  // The internet's host has several addresses.
  const options = kind === 'internet' ? { from: INTERNET, ...given } : given;
  try {
    return await (protocol === 'tcp' ? askTcp : askUdp)(ns, parseIp(address), port, options);
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (code === 'ABORT_ERR') return 'timeout';
    return code === 'ECONNREFUSED' ? 'refused' : `${code} ${message}`;
  }
}

async function askTcp(
  ns: NetNamespace,
  address: Ip,
  port: number,
  { timeout = 5000, from }: Options,
): Promise<Outcome> {
  const socket = connectTcp(ns, address, port, from ? { localAddress: parseIp(from) } : {});
  try {
    let text = '';
    socket.setEncoding('utf8').on('data', (data) => {
      text += data;
    });
    const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: it\r\n${more}\r\n`;
    socket.write(get('/hostname') + get('/clientip', 'Connection: close\r\n'));
    await once(socket, 'end', { signal: AbortSignal.timeout(timeout) });
    const [by = '', client = ''] = text
      .split(/HTTP\/1\.1 200/)
      .slice(1)
      .map((answer) => answer.split('\r\n\r\n')[1]!);
    return client ? { by, sees: client.split(':')[0]! } : `half an answer: ${text}`;
  } finally {
    socket.destroy();
  }
}

async function askUdp(
  ns: NetNamespace,
  address: Ip,
  port: number,
  { timeout = 2000, from = '0.0.0.0' }: Options,
): Promise<Outcome> {
  const flow = await UdpFlow.open(ns, address, port, from);
  try {
    const by = await flow.ask('hostname', timeout);
    return { by, sees: (await flow.ask('clientip', timeout)).split(':')[0]! };
  } finally {
    flow.close();
  }
}

/** Backends of SCTP, by name. The kernel has no SCTP, so they are the test's own. */
export class SctpBackends implements Disposable {
  readonly #ends: ReadonlyMap<string, SctpEndpoint>;

  constructor(places: readonly Place[], port: number) {
    this.#ends = new Map(
      places.map(({ name, ns, address }) => [name, new SctpEndpoint(ns, address, [port])]),
    );
  }

  /** Begins an association. Of several at a time from one place it is not told which is refused. */
  async ask({ ns, kind }: Place, address: string, port: number, timeout: number): Promise<Outcome> {
    const client = new SctpEndpoint(ns, kind === 'internet' ? INTERNET : '0.0.0.0', [], { errors: true });
    try {
      const { tag, acknowledged } = client.begin(address, port);
      for (const end = performance.now() + timeout; performance.now() < end; ) {
        for (const backend of this.#ends.values()) backend.poll();
        client.poll();
        if (client.isRefused) return 'refused';
        if (acknowledged())
          for (const [by, { begun }] of this.#ends) if (begun.has(tag)) return { by, sees: begun.get(tag)! };
        await sleep(2);
      }
      return 'timeout';
    } finally {
      client.close();
    }
  }

  [Symbol.dispose](): void {
    for (const end of this.#ends.values()) end.close();
  }
}

/** One flow of UDP: questions by the same pair of ports. */
export class UdpFlow {
  readonly #socket;

  private constructor(ns: NetNamespace, from: string) {
    this.#socket = createSocket('udp4').bind({ fd: bindUdp(ns, parseIp(from), 0) });
  }

  static async open(ns: NetNamespace, address: string, port: number, from = '0.0.0.0'): Promise<UdpFlow> {
    const flow = new UdpFlow(ns, from);
    flow.#socket.connect(port, address);
    await once(flow.#socket, 'connect');
    return flow;
  }

  /** @throws with ECONNREFUSED when the question is refused, ABORT_ERR when nobody answers in time. */
  async ask(question: string, timeout: number): Promise<string> {
    const answer = once(this.#socket, 'message', { signal: AbortSignal.timeout(timeout) });
    this.#socket.send(question);
    return String((await answer)[0]);
  }

  close(): void {
    this.#socket.on('error', () => {});
    this.#socket.close();
  }
}

/** Questions by one connection, which is never opened anew. */
export class TcpConnection {
  readonly #socket;

  constructor(ns: NetNamespace, address: string, port: number) {
    this.#socket = connectTcp(ns, parseIp(address), port).setEncoding('utf8');
  }

  /** @throws the error that ended the connection, ABORT_ERR when nobody answers in time. */
  async ask(question: string, timeout: number): Promise<string> {
    const signal = AbortSignal.timeout(timeout);
    this.#socket.write(`GET /${question} HTTP/1.1\r\nHost: it\r\n\r\n`);
    for (let text = ''; ; ) {
      const [data] = await once(this.#socket, 'data', { signal });
      text += data;
      const [, answer] = text.split('\r\n\r\n');
      if (answer) return answer;
    }
  }

  close(): void {
    this.#socket.on('error', () => {}).destroy();
  }
}

/** Asks at a steady rate until told to stop. @returns how often each outcome came. */
export function load(perSecond: number, question: (number: number) => Promise<Outcome>) {
  const counts = new Map<string, number>();
  const pending = new Set<Promise<void>>();
  const began = performance.now();
  let asked = 0;
  const one = async () => {
    const outcome = await question(asked);
    const key = typeof outcome === 'object' ? outcome.by : `failed: ${outcome}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  };
  const timer = setInterval(() => {
    for (const due = ((performance.now() - began) / 1000) * perSecond; asked < due; asked++) {
      const asking = one().finally(() => pending.delete(asking));
      pending.add(asking);
    }
  }, 5);
  return {
    async stop() {
      clearInterval(timer);
      const seconds = (performance.now() - began) / 1000;
      await Promise.all(pending);
      const failures = [...counts].filter(([key]) => key.startsWith('failed'));
      return { counts, failures, perSecond: asked / seconds };
    },
  };
}
