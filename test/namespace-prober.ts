/**
 * Who reaches whom: connections of TCP, questions by UDP, and associations of SCTP that are begun, between network namespaces,
 * all at once. What listens is made here too.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseIp } from '@enid/ip';
import { bindUdp, connectTcp, listenTcp, type NetNamespace } from '@enid/linux';
import { SctpEndpoint } from './sctp.ts';

export type Protocol = 'TCP' | 'UDP' | 'SCTP';
/** One who sends and answers. */
export type Peer = { readonly name: string; readonly address: string; readonly ns: NetNamespace };
export type Probe = {
  readonly from: Peer;
  readonly to: Peer;
  readonly protocol: Protocol;
  readonly port: number;
};

/** How long those that are to get through have at most, and those that are not to, in milliseconds. */
export const PATIENCE = 1500;
export const QUIET = 150;

/** What listens at one peer, and asks others for it. */
class Station implements AsyncDisposable {
  readonly sctp: SctpEndpoint;
  readonly #listeners: (Server | UdpSocket)[] = [];
  readonly #accepted = new Set<Socket>();
  readonly #client: UdpSocket;
  readonly #answered = new Set<string>();

  private constructor({ ns, address }: Peer, ports: readonly number[]) {
    this.sctp = new SctpEndpoint(ns, address, ports);
    this.#client = createSocket('udp4').bind({ fd: bindUdp(ns, parseIp(address), 0) });
    this.#client.on('message', (text) => this.#answered.add(String(text)));
    this.#client.on('error', () => {});
  }

  /** Answers on the ports by TCP, UDP and SCTP. */
  static async open(peer: Peer, ports: readonly number[]): Promise<Station> {
    const station = new Station(peer, ports);
    const address = parseIp(peer.address);
    for (const port of ports) {
      const server = createServer((socket) => {
        // Of some it is never heard that the other side is gone: a policy may have come in between.
        station.#accepted.add(socket.on('close', () => station.#accepted.delete(socket)));
        socket.on('error', () => {}).end('here');
      });
      server.listen({ fd: listenTcp(peer.ns, address, port) });
      const echo = createSocket('udp4').bind({ fd: bindUdp(peer.ns, address, port) });
      echo.on('message', (text, { address: to, port: at }) => echo.send(text, at, to, () => {}));
      echo.on('error', () => {});
      station.#listeners.push(server, echo);
      await once(server, 'listening');
    }
    return station;
  }

  /** Whether the peer answers to a question that is asked once. */
  ask({ to, port }: Probe, tag: string): () => boolean {
    this.#client.send(tag, port, to.address, () => {});
    return () => this.#answered.delete(tag);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sctp.close();
    this.#client.close();
    for (const listener of this.#listeners) listener.close();
    for (const socket of this.#accepted) socket.destroy();
  }
}

export class Prober implements AsyncDisposable {
  readonly #stations = new Map<string, Station>();
  #round = 0;

  static async open(peers: readonly Peer[], ports: readonly number[]): Promise<Prober> {
    const prober = new Prober();
    for (const peer of peers) prober.#stations.set(peer.name, await Station.open(peer, ports));
    return prober;
  }

  /**
   * Tries all of them at once, each anew.
   * @param expected which are to get through: waiting ends when they have, and the others had their time.
   * @param patience with those, in milliseconds.
   * @returns which got through.
   */
  async run(probes: readonly Probe[], expected: readonly boolean[], patience = PATIENCE): Promise<boolean[]> {
    const began = performance.now();
    const round = this.#round++;
    const passed = probes.map(() => false);
    const ends: (() => void)[] = [];
    const checks: (() => void)[] = [];
    for (const [i, probe] of probes.entries()) {
      const station = this.#stations.get(probe.from.name)!;
      if (probe.protocol === 'TCP') {
        const socket = connectTcp(probe.from.ns, parseIp(probe.to.address), probe.port, {
          localAddress: parseIp(probe.from.address),
        });
        socket
          .on('error', () => {})
          .on('data', () => {
            passed[i] = true;
          });
        ends.push(() => socket.destroy());
      } else {
        const answered =
          probe.protocol === 'UDP'
            ? station.ask(probe, `${round}-${i}`)
            : station.sctp.begin(probe.to.address, probe.port).acknowledged;
        checks.push(() => {
          passed[i] ||= answered();
        });
      }
    }
    for (;;) {
      await sleep(10);
      for (const { sctp } of this.#stations.values()) sctp.poll();
      // What was answered at the last look, too.
      for (const { sctp } of this.#stations.values()) sctp.poll();
      for (const check of checks) check();
      const took = performance.now() - began;
      const complete = expected.every((wanted, i) => !wanted || passed[i]);
      if (took > patience || (complete && took > QUIET)) break;
    }
    for (const end of ends) end();
    return passed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const station of this.#stations.values()) await station[Symbol.asyncDispose]();
  }
}
