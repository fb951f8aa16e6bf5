/** Which pods come and go where: drawn at random, or read from a trace. */
import { Random } from './random.ts';

/** A pod that comes to a node, or leaves it. Times are milliseconds since the start. */
export type PodEvent = {
  readonly at: number;
  readonly node: number;
  readonly pod: number;
  readonly kind: 'add' | 'delete';
};

export type Workload = {
  /** Pods that run from the start on, by node. */
  readonly initial: readonly (readonly number[])[];
  /** By time. */
  readonly events: readonly PodEvent[];
};

/** Text that is no trace. */
export class TraceError extends Error {
  override readonly name = 'TraceError';
}

export type Churn = {
  readonly nodes: number;
  readonly hours: number;
  /** Pods that come and pods that go, together, of a node in an hour. */
  readonly changesPerNodeHour: number;
  /** Pods of a node on average. */
  readonly podsPerNode: number;
  /** Pods that come to a node at one time. */
  readonly burst: number;
  /** Pods that a node takes: a full one gets none. */
  readonly podLimit: number;
  readonly seed: number;
};

const HOUR = 3_600_000;
/** Nodes that are tried for one with room. */
const TRIES = 20;

/** Pods that come independently of each other, stay as long as it takes for the number to hold, and go. */
export function churnWorkload(churn: Churn): Workload {
  const random = new Random(churn.seed, 'workload');
  const end = churn.hours * HOUR;
  const arrivals = churn.changesPerNodeHour / 2;
  const stay = arrivals > 0 ? (churn.podsPerNode / arrivals) * HOUR : Infinity;
  const events: PodEvent[] = [];
  /** When the pods of each node go: what tells whether it has room. */
  const leaving: number[][] = [];
  let pods = 0;
  const come = (node: number, at: number): number => {
    const pod = pods++;
    const until = at + random.exponential(1) * stay;
    leaving[node]!.push(until);
    if (until < end) events.push({ at: until, node, pod, kind: 'delete' });
    return pod;
  };
  const initial = Array.from({ length: churn.nodes }, (_, node) => {
    leaving[node] = [];
    const count = Math.min(random.poisson(churn.podsPerNode), churn.podLimit);
    return Array.from({ length: count }, () => come(node, 0));
  });
  const roomOf = (node: number, at: number): number => {
    leaving[node] = leaving[node]!.filter((until) => until > at);
    return churn.podLimit - leaving[node]!.length;
  };
  const apart = HOUR / (churn.nodes * (arrivals / churn.burst));
  for (let at = random.exponential(apart); at < end; at += random.exponential(apart)) {
    let node = random.below(churn.nodes);
    for (let tries = 0; tries < TRIES && roomOf(node, at) < churn.burst; tries++)
      node = random.below(churn.nodes);
    const count = Math.min(roomOf(node, at), churn.burst);
    for (let each = 0; each < count; each++) events.push({ at, node, pod: come(node, at), kind: 'add' });
  }
  // A pod that comes and goes at one instant would otherwise go first.
  events.sort((a, b) => a.at - b.at || (a.kind === b.kind ? a.pod - b.pod : a.kind === 'add' ? -1 : 1));
  return { initial, events };
}

/**
 * Reads a trace: a line for each pod that comes or goes, `seconds,node,add|delete,pod`, in any order. Empty lines, those
 * that begin with #, and a heading are passed over.
 * @throws {TraceError} naming the line.
 */
export function readTrace(text: string, nodes: number): Workload {
  const nodeNumbers = new Map<string, number>();
  const podNumbers = new Map<string, number>();
  const numberIn = (map: Map<string, number>, name: string): number => {
    const number = map.get(name) ?? map.size;
    map.set(name, number);
    return number;
  };
  const events: PodEvent[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*(#|$)/.test(line) || (index === 0 && /^\s*seconds\b/i.test(line))) continue;
    const [seconds = '', node, kind, pod, ...more] = line.split(',').map((cell) => cell.trim());
    const wrong = (what: string) =>
      new TraceError(
        `line ${index + 1} of the trace, "${line.trim()}", ${what}: write seconds,node,add|delete,pod`,
      );
    if (!/^\d+(\.\d+)?$/.test(seconds)) throw wrong('does not begin with a number of seconds');
    if (kind !== 'add' && kind !== 'delete') throw wrong('says neither add nor delete');
    if (!node || !pod || more.length > 0) throw wrong('has not four cells');
    events.push({
      at: Number(seconds) * 1000,
      node: numberIn(nodeNumbers, node),
      pod: numberIn(podNumbers, pod),
      kind,
    });
  }
  if (events.length === 0)
    throw new TraceError('the trace has no pods: write lines seconds,node,add|delete,pod');
  if (nodeNumbers.size > nodes) {
    throw new TraceError(`the trace has ${nodeNumbers.size} nodes and there are ${nodes}: raise --nodes`);
  }
  events.sort((a, b) => a.at - b.at);
  return { initial: Array.from({ length: nodes }, () => []), events };
}
