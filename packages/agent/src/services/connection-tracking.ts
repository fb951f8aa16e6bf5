/** How many connections the kernel keeps track of, and for how long: what kube-proxy sets unless it is told otherwise. */
import { availableParallelism } from 'node:os';
import { type NetNamespace, sysctl } from '@enid/linux';
import type { Problem } from './model.ts';

const PER_CPU = 32_768;
const AT_LEAST = 131_072;
/** In seconds: a day for one that says nothing, where the kernel has five; an hour for one that only one side has closed. */
const TIMEOUTS = { established: 86_400, close_wait: 3600 };

/**
 * Makes room for the connections of a node: where there is none, the kernel drops new ones. What has more room is left as it is.
 * @returns what is wrong: Services are served with what there is.
 */
export function setConnectionTracking(ns: NetNamespace, cpus = availableParallelism()): Problem[] {
  const connections = Math.max(AT_LEAST, PER_CPU * cpus);
  try {
    for (const [state, seconds] of Object.entries(TIMEOUTS))
      sysctl.set(ns, `net.netfilter.nf_conntrack_tcp_timeout_${state}`, seconds);
    raise(ns, 'nf_conntrack_max', connections);
    raise(ns, 'nf_conntrack_buckets', connections / 4);
    return [];
  } catch (error) {
    const message =
      `connection tracking is not set up for ${connections} connections, beyond which new ones are dropped: ` +
      `${(error as Error).message}`;
    return [{ service: undefined, reason: 'ConnectionTracking', message }];
  }
}

function raise(ns: NetNamespace, name: string, value: number): void {
  const key = `net.netfilter.${name}`;
  if (Number(sysctl.get(ns, key)) < value) sysctl.set(ns, key, value);
}
