import { type Lease, type Node, type Pod, type Taint, timestamp } from '@enid/kube';
import { tolerates } from '../shared/taints.ts';

export const NOT_READY = 'node.kubernetes.io/not-ready';
export const UNREACHABLE = 'node.kubernetes.io/unreachable';
const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable';
/** By condition that is True: the taint of it. */
const PRESSURE: Readonly<Record<string, string>> = {
  MemoryPressure: 'node.kubernetes.io/memory-pressure',
  DiskPressure: 'node.kubernetes.io/disk-pressure',
  PIDPressure: 'node.kubernetes.io/pid-pressure',
  NetworkUnavailable: 'node.kubernetes.io/network-unavailable',
};
const OURS = new Set([NOT_READY, UNREACHABLE, UNSCHEDULABLE, ...Object.values(PRESSURE)]);

/** What a kubelet says of its node; unknown when it is not heard of. */
const HEARTBEAT_CONDITIONS = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'];

type Condition = NonNullable<NonNullable<Node['status']>['conditions']>[number];

/**
 * When a node was last heard of, in milliseconds since 1970: its lease was renewed, or it wrote its status, or it was made.
 */
export function lastHeard(node: Node, lease: Lease | undefined): number {
  const times = [
    lease?.spec?.renewTime,
    node.metadata?.creationTimestamp,
    ...(node.status?.conditions ?? []).map(({ lastHeartbeatTime }) => lastHeartbeatTime),
  ];
  return Math.max(0, ...times.map((time) => (time ? Date.parse(time) : 0)));
}

/** The conditions of a node that is not heard of any more; undefined when they say so already. */
export function unknownConditions(node: Node, now: number): Condition[] | undefined {
  const conditions = node.status?.conditions ?? [];
  const stale = HEARTBEAT_CONDITIONS.filter(
    (type) => conditions.find((c) => c.type === type)?.status !== 'Unknown',
  );
  if (stale.length === 0) return undefined;
  const time = timestamp(now);
  const unknown = stale.map((type) => {
    const before = conditions.find((c) => c.type === type);
    return {
      type,
      status: 'Unknown',
      reason: before ? 'NodeStatusUnknown' : 'NodeStatusNeverUpdated',
      message: before ? 'Kubelet stopped posting node status.' : 'Kubelet never posted node status.',
      lastHeartbeatTime: before?.lastHeartbeatTime ?? node.metadata?.creationTimestamp,
      lastTransitionTime: time,
    };
  });
  return [...conditions.filter(({ type }) => !stale.includes(type)), ...unknown];
}

/** The taints that a node is to have: those that others gave it, and ours by its conditions. */
export function taintsFor(node: Node, now: number): Taint[] {
  const status = (type: string) => node.status?.conditions?.find((c) => c.type === type)?.status;
  const wanted: Taint[] = [];
  const ready = status('Ready');
  const trouble = ready === 'True' ? undefined : ready === 'Unknown' ? UNREACHABLE : NOT_READY;
  if (trouble) wanted.push({ key: trouble, effect: 'NoSchedule' }, { key: trouble, effect: 'NoExecute' });
  for (const [type, key] of Object.entries(PRESSURE)) {
    if (status(type) === 'True') wanted.push({ key, effect: 'NoSchedule' });
  }
  if (node.spec?.unschedulable) wanted.push({ key: UNSCHEDULABLE, effect: 'NoSchedule' });
  const before = node.spec?.taints ?? [];
  const same = (a: Taint) => (b: Taint) => a.key === b.key && a.effect === b.effect;
  const kept = before.filter((taint) => !OURS.has(taint.key) || wanted.some(same(taint)));
  const added = wanted.filter((taint) => !before.some(same(taint)));
  return [...kept, ...added.map((taint) => ({ ...taint, timeAdded: timestamp(now) }))];
}

/**
 * When a pod has to leave its node for the node's taints, in milliseconds since 1970; undefined: it may stay.
 * Of several tolerations the shortest holds.
 */
export function evictionTime(pod: Pod, node: Node, now: number): number | undefined {
  const taints = (node.spec?.taints ?? []).filter(({ effect }) => effect === 'NoExecute');
  let earliest: number | undefined;
  for (const taint of taints) {
    const matching = (pod.spec?.tolerations ?? []).filter((toleration) => tolerates(toleration, taint));
    if (matching.length === 0) return now;
    const seconds = matching.flatMap(({ tolerationSeconds }) => tolerationSeconds ?? []);
    if (seconds.length === 0) continue;
    const since = taint.timeAdded ? Date.parse(taint.timeAdded) : now;
    const at = since + Math.max(Math.min(...seconds), 0) * 1000;
    earliest = Math.min(earliest ?? at, at);
  }
  return earliest;
}
