/** The {@link Prober} of a lab: sockets of this process in the network namespaces of pods and nodes. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseIp } from '@enid/ip';
import { bindUdp, connectTcp, listenTcp, type NetNamespace } from '@enid/linux';
import type { Peer, Probe, Prober } from './probes.ts';
import { SctpEndpoint } from './sctp.ts';

/** Where a peer is. */
export type Site = Peer & { readonly ns: NetNamespace };

/** What listens at one peer, and asks others for it. */
class Station implements AsyncDisposable {
  readonly sctp: SctpEndpoint;
  readonly #listeners: (Server | UdpSocket)[] = [];
  readonly #accepted = new Set<Socket>();
  readonly #client: UdpSocket;
  readonly #answered = new Set<string>();

  private constructor({ ns, address }: Site, ports: readonly number[]) {
    this.sctp = new SctpEndpoint(ns, address, ports);
    this.#client = createSocket('udp4').bind({ fd: bindUdp(ns, parseIp(address), 0) });
    this.#client.on('message', (text) => this.#answered.add(String(text)));
    this.#client.on('error', () => {});
  }

  /** Answers on the ports by TCP, UDP and SCTP. */
  static async open(site: Site, ports: readonly number[]): Promise<Station> {
    const station = new Station(site, ports);
    const address = parseIp(site.address);
    for (const port of ports) {
      const server = createServer((socket) => {
        // Of some it is never heard that the other side is gone: a policy may have come in between.
        station.#accepted.add(socket.on('close', () => station.#accepted.delete(socket)));
        socket.on('error', () => {}).end('here');
      });
      server.listen({ fd: listenTcp(site.ns, address, port) });
      const echo = createSocket('udp4').bind({ fd: bindUdp(site.ns, address, port) });
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

export class NamespaceProber implements Prober {
  readonly protocols = ['TCP', 'UDP', 'SCTP'] as const;
  readonly quiet = 150;
  readonly patience = 1500;
  readonly #sites: ReadonlyMap<string, Site>;
  readonly #stations = new Map<string, Station>();
  #round = 0;

  private constructor(sites: readonly Site[]) {
    this.#sites = new Map(sites.map((site) => [site.name, site]));
  }

  /** Listens at all of them. The namespaces are its own from then on. */
  static async open(sites: readonly Site[], ports: readonly number[]): Promise<NamespaceProber> {
    const prober = new NamespaceProber(sites);
    for (const site of sites) prober.#stations.set(site.name, await Station.open(site, ports));
    return prober;
  }

  async run(probes: readonly Probe[], expected: readonly boolean[], patience: number): Promise<boolean[]> {
    const began = performance.now();
    const round = this.#round++;
    const passed = probes.map(() => false);
    const ends: (() => void)[] = [];
    const checks: (() => void)[] = [];
    for (const [i, probe] of probes.entries()) {
      const station = this.#stations.get(probe.from.name)!;
      if (probe.protocol === 'TCP') {
        const socket = connectTcp(
          this.#sites.get(probe.from.name)!.ns,
          parseIp(probe.to.address),
          probe.port,
          {
            localAddress: parseIp(probe.from.address),
          },
        );
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
      if (took > patience || (complete && took > this.quiet)) break;
    }
    for (const end of ends) end();
    return passed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const station of this.#stations.values()) await station[Symbol.asyncDispose]();
    for (const { ns } of this.#sites.values()) ns.close();
  }
}
