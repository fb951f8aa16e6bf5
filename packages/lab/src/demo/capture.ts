import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Lab } from '../lab/lab.ts';

/** How long a packet that was seen at its destination may take to be printed, in milliseconds. */
const PATIENCE = 5_000;

/** One packet as tcpdump saw it on one interface. */
export type Packet = {
  readonly link: string;
  readonly direction: 'In' | 'Out';
  /** tcpdump's own words: `IP 10.0.1.5 > 10.0.12.7: ICMP echo request, ...`. */
  readonly text: string;
};

/** A running tcpdump on every interface of a node, a pod, the VPC or the internet. */
export class Capture {
  readonly packets: Packet[] = [];
  readonly #child: ChildProcess;
  #arrival = Promise.withResolvers<void>();

  private constructor(child: ChildProcess) {
    this.#child = child;
    createInterface(child.stdout!).on('line', (line) => {
      const [, link, direction, text] = /^\S+ +(\S+) +(In|Out) +(.*)$/.exec(line) ?? [];
      if (!link || !text) return;
      this.packets.push({ link, direction: direction as Packet['direction'], text });
      this.#arrival.resolve();
      this.#arrival = Promise.withResolvers();
    });
  }

  /** Starts to capture what matches a pcap filter; packets are seen from the moment that this resolves. */
  static async start(lab: Lab, target: string, filter: string): Promise<Capture> {
    const child = lab.spawn(
      target,
      ['tcpdump', '-i', 'any', '-nn', '-l', '--immediate-mode', filter],
      ['ignore', 'pipe', 'pipe'],
    );
    const capture = new Capture(child);
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`tcpdump ended: ${said}`)));
      child.stderr!.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.includes('listening on')) resolve();
      });
    });
    return capture;
  }

  /**
   * Waits for a packet and returns it; undefined when none came in time.
   * @param text what tcpdump's words for it must match.
   */
  async find(link: string, direction: Packet['direction'], text: RegExp): Promise<Packet | undefined> {
    const patience = AbortSignal.timeout(PATIENCE);
    const over = once(patience, 'abort');
    for (;;) {
      const found = this.packets.find(
        (p) => p.link === link && p.direction === direction && text.test(p.text),
      );
      if (found || patience.aborted) return found;
      await Promise.race([this.#arrival.promise, over]);
    }
  }

  /** The packets of one interface, in both directions. */
  on(link: string): Packet[] {
    return this.packets.filter((packet) => packet.link === link);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.removeAllListeners('exit');
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** A packet as one line. */
export const line = (packet: Packet): string => `${packet.link} ${packet.direction.padEnd(3)} ${packet.text}`;
