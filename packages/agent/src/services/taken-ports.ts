/** NodePorts that processes of the node listen at. */
import { closeSync } from 'node:fs';
import { parseIp } from '@enid/ip';
import { bindUdp, listenTcp, type NetNamespace } from '@enid/linux';
import { ANY } from './layout.ts';
import type { Problem, Protocol, ServicePort } from './model.ts';
import { type Change, objectKey } from './objects.ts';
import { familyName, frontendKey } from './plan.ts';

/** What is wrong with the NodePorts that some changes gave to Services: those have them from now on, and no process. */
export function takenNodePorts(
  ns: NetNamespace,
  ports: Iterable<ServicePort>,
  changes: readonly Change[],
): Problem[] {
  // One that changes may go from one Service to another.
  const fresh = new Set(changes.flatMap(({ object, to }) => (to === undefined ? [] : object)));
  if (fresh.size === 0) return [];
  const problems: Problem[] = [];
  for (const port of ports) {
    const { service, protocol, family } = port;
    for (const frontend of port.frontends) {
      const key = frontendKey(port, frontend);
      const isFresh = fresh.has(objectKey({ family: familyName(family), set: 'frontends', key }));
      if (frontend.address !== undefined || !isFresh || !isTaken(ns, protocol, family, frontend.port))
        continue;
      const message =
        `a process on this node has ${protocol.toUpperCase()} port ${frontend.port}, which is a NodePort: what comes ` +
        'for it now goes to the Service. Let the process use a port outside the NodePort range';
      problems.push({ service, reason: 'NodePortInUse', message });
    }
  }
  return problems;
}

/** Whether a process in the namespace has a port. */
function isTaken(ns: NetNamespace, protocol: Protocol, family: 4 | 6, port: number): boolean {
  if (protocol === 'sctp') return false;
  const any = parseIp(ANY[familyName(family)]);
  try {
    closeSync(protocol === 'tcp' ? listenTcp(ns, any, port) : bindUdp(ns, any, port));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
  }
}
