import type { Deployment, ReplicaSet } from '@enid/kube';
import { intOrPercent } from '../shared/int-or-percent.ts';

/** What of a ReplicaSet a rollout looks at. */
export type Replicas = {
  readonly name: string;
  /** Wanted. */
  readonly replicas: number;
  readonly available: number;
  /** How many there could be at most when its size was last set (annotation `max-replicas`). */
  readonly max: number | undefined;
};

export type Bounds = {
  readonly replicas: number;
  readonly maxSurge: number;
  readonly maxUnavailable: number;
};

/** New sizes by name: only of those that are to change. */
export type Sizes = ReadonlyMap<string, number>;

const NONE: Sizes = new Map();
const sum = (sets: readonly Replicas[], of: (set: Replicas) => number) =>
  sets.reduce((total, set) => total + of(set), 0);

/** Surge rounds up, unavailability down; both 0 would let nothing ever change. */
export function boundsOf(deployment: Deployment): Bounds {
  const { replicas = 1, strategy } = deployment.spec ?? {};
  if (strategy?.type === 'Recreate') return { replicas, maxSurge: 0, maxUnavailable: replicas };
  const maxSurge = intOrPercent(strategy?.rollingUpdate?.maxSurge ?? '25%', replicas, 'up');
  const part = intOrPercent(strategy?.rollingUpdate?.maxUnavailable ?? '25%', replicas, 'down');
  const maxUnavailable = maxSurge === 0 && part === 0 ? 1 : part;
  return {
    replicas,
    maxSurge: replicas > 0 ? maxSurge : 0,
    maxUnavailable: Math.min(maxUnavailable, replicas),
  };
}

export function replicasOf(set: ReplicaSet): Replicas {
  const max = set.metadata?.annotations?.['deployment.kubernetes.io/max-replicas'];
  return {
    name: set.metadata?.name ?? '',
    replicas: set.spec?.replicas ?? 1,
    available: set.status?.availableReplicas ?? 0,
    max: max === undefined ? undefined : Number(max),
  };
}

/** What the new ReplicaSet's size is to be in a rollout: what is missing, within the surge. */
export function newSize(bounds: Bounds, fresh: number, all: number): number {
  const { replicas, maxSurge } = bounds;
  if (fresh >= replicas) return replicas;
  const room = Math.max(replicas + maxSurge - all, 0);
  return fresh + Math.min(room, replicas - fresh);
}

/**
 * The next step of a rolling update: the new set grows as the surge allows, else the old ones shrink as the pods that must
 * stay available allow, those first that are not available anyway.
 * @param old in the order of their age.
 */
export function rollingStep(bounds: Bounds, fresh: Replicas, old: readonly Replicas[]): Sizes {
  const all = sum([fresh, ...old], (set) => set.replicas);
  const size = newSize(bounds, fresh.replicas, all);
  if (size !== fresh.replicas) return new Map([[fresh.name, size]]);

  const least = bounds.replicas - bounds.maxUnavailable;
  const room = all - least - Math.max(fresh.replicas - fresh.available, 0);
  if (sum(old, (set) => set.replicas) === 0 || room <= 0) return NONE;

  const sizes = new Map(old.map((set) => [set.name, set.replicas]));
  let left = room;
  for (const set of old) {
    const unhealthy = Math.min(left, Math.max(set.replicas - set.available, 0));
    sizes.set(set.name, set.replicas - unhealthy);
    left -= unhealthy;
  }
  let spare = sum([fresh, ...old], (set) => Math.min(set.available, set.replicas)) - least;
  for (const set of old) {
    const size = sizes.get(set.name)!;
    const fewer = Math.min(Math.max(spare, 0), size);
    sizes.set(set.name, size - fewer);
    spare -= fewer;
  }
  return changes(sizes, old);
}

/**
 * New sizes when the Deployment's size has changed, or it is paused: of one set that has pods all, of many each its part.
 * @param fresh undefined: there is no new one yet.
 */
export function scaleStep(bounds: Bounds, fresh: Replicas | undefined, old: readonly Replicas[]): Sizes {
  const sets = fresh ? [fresh, ...old] : [...old];
  const active = sets.filter(({ replicas }) => replicas > 0);
  const only = active.length > 1 ? undefined : (active[0] ?? fresh ?? old.at(-1));
  if (only) return changes(new Map([[only.name, bounds.replicas]]), sets);
  if (fresh && fresh.replicas === bounds.replicas && fresh.available === bounds.replicas) {
    return changes(new Map(old.map(({ name }) => [name, 0])), sets);
  }
  const total = sum(active, ({ replicas }) => replicas);
  const allowed = bounds.replicas > 0 ? bounds.replicas + bounds.maxSurge : 0;
  const toAdd = allowed - total;
  // The largest first, so that what is left by rounding goes to where it matters least.
  const bySize = active.sort((a, b) => b.replicas - a.replicas);
  const sizes = new Map<string, number>();
  let added = 0;
  for (const { name, replicas, max } of bySize) {
    const share = Math.round((replicas * allowed) / (max || total)) - replicas;
    const left = toAdd - added;
    const part = toAdd > 0 ? Math.min(Math.max(share, 0), left) : Math.max(Math.min(share, 0), left);
    sizes.set(name, replicas + part);
    added += part;
  }
  const [largest] = bySize;
  if (largest) sizes.set(largest.name, Math.max(sizes.get(largest.name)! + toAdd - added, 0));
  return changes(sizes, sets);
}

function changes(sizes: Sizes, sets: readonly Replicas[]): Sizes {
  const now = new Map(sets.map(({ name, replicas }) => [name, replicas]));
  return new Map([...sizes].filter(([name, size]) => now.get(name) !== size));
}
