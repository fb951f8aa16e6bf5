/** NodePorts that processes of the node listen at. */
import { closeSync, readFileSync } from 'node:fs';
import { parseIp } from '@enid/ip';
import { bindUdp, listenTcp, type NetNamespace } from '@enid/linux';
import { ANY } from './layout.ts';
import type { Problem, ServicePort } from './model.ts';
import { familyName } from './plan.ts';

/** The state of a socket that listens, in /proc/net (net/tcp_states.h). */
const LISTENING = '10';

/** What is wrong with the NodePorts of Services: those get what comes for a port, and no process does. */
export class TakenNodePorts {
  readonly #ns: NetNamespace;
  /** What was seen of each NodePort of a Service; undefined: nobody has it. */
  #seen = new Map<string, Problem | undefined>();

  constructor(ns: NetNamespace) {
    this.#ns = ns;
  }

  /** Looks at those that no Service had before. @returns what is known of all. */
  look(ports: Iterable<ServicePort>): Problem[] {
    const sctp = new Sctp(this.#ns);
    const seen = new Map<string, Problem | undefined>();
    for (const { service, protocol, family, frontends } of ports) {
      for (const { address, port } of frontends) {
        if (address !== undefined) continue;
        const key = `${service} ${family} ${protocol} ${port}`;
        if (this.#seen.has(key)) {
          seen.set(key, this.#seen.get(key));
          continue;
        }
        const isTaken = protocol === 'sctp' ? sctp.has(port) : hasPort(this.#ns, protocol, family, port);
        const message =
          `a process on this node has ${protocol.toUpperCase()} port ${port}, which is a NodePort: what comes ` +
          'for it now goes to the Service. Let the process use a port outside the NodePort range';
        seen.set(key, isTaken ? { service, reason: 'NodePortInUse', message } : undefined);
      }
    }
    this.#seen = seen;
    return [...seen.values()].filter((problem) => problem !== undefined);
  }

  /** Looks at all of them anew: processes come and go. */
  lookAgain(ports: Iterable<ServicePort>): Problem[] {
    this.#seen.clear();
    return this.look(ports);
  }
}

/** Whether a process in the namespace has a port. */
function hasPort(ns: NetNamespace, protocol: 'tcp' | 'udp', family: 4 | 6, port: number): boolean {
  const any = parseIp(ANY[familyName(family)]);
  try {
    closeSync(protocol === 'tcp' ? listenTcp(ns, any, port) : bindUdp(ns, any, port));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
  }
}

/** The ports of SCTP that processes in a namespace listen at, read once. A kernel without SCTP tells of none. */
class Sctp {
  readonly #ns: NetNamespace;
  #ports: ReadonlySet<number> | undefined;

  constructor(ns: NetNamespace) {
    this.#ns = ns;
  }

  has(port: number): boolean {
    this.#ports ??= this.#read();
    return this.#ports.has(port);
  }

  #read(): ReadonlySet<number> {
    try {
      return listeningPorts(this.#ns.run(() => readFileSync('/proc/thread-self/net/sctp/eps', 'utf8')));
    } catch {
      return new Set();
    }
  }
}

/** @param table /proc/net/sctp/eps: after its header a line for each socket, `ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS`. */
export function listeningPorts(table: string): ReadonlySet<number> {
  const sockets = table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/));
  return new Set(sockets.filter((socket) => socket[3] === LISTENING).map((socket) => Number(socket[5])));
}
