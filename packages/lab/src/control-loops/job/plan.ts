import { backoffDelay, type Job, type Pod, timestamp, type Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';
import { isDeleted, isFinished, isReady } from '../shared/pods.ts';
import { formatIndexes, parseIndexes } from './indexes.ts';

export const INDEX = 'batch.kubernetes.io/job-completion-index';
type Condition = Wire<k8s.V1JobCondition>;
type Status = NonNullable<Job['status']>;

/** How long to wait after a pod has failed before the next is made. */
const BACKOFF = { base: 10_000, max: 6 * 60_000, random: () => 0 };

export type Outcome = {
  readonly type: 'Complete' | 'Failed';
  readonly reason: string;
  readonly message: string;
};

export type JobPlan = {
  /** How many pods to make; of an Indexed job, which. */
  readonly create: readonly (number | undefined)[];
  readonly remove: readonly Pod[];
  readonly status: Status;
  /** How the job has ended, just now. */
  readonly outcome: Outcome | undefined;
  /** When time alone changes something, in milliseconds since 1970. */
  readonly nextAt: number | undefined;
};

export const indexOf = (pod: Pod): number | undefined => {
  const value = pod.metadata?.annotations?.[INDEX] ?? pod.metadata?.labels?.[INDEX];
  return value === undefined ? undefined : Number(value);
};

export const ended = (job: Job) =>
  job.status?.conditions?.find(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  );

const restartsOf = (pod: Pod) =>
  [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])].reduce(
    (sum, { restartCount }) => sum + restartCount,
    0,
  );

/** When a pod's containers ended. */
function endOf(pod: Pod): number {
  const times = (pod.status?.containerStatuses ?? []).map(({ state }) => state?.terminated?.finishedAt);
  const known = times.flatMap((time) => (time ? Date.parse(time) : []));
  return known.length > 0 ? Math.max(...known) : Date.parse(pod.metadata?.creationTimestamp ?? timestamp(0));
}

/** What a job needs next. Finished pods are counted as long as they are there, which they are until the job goes. */
export function planJob(job: Job, pods: readonly Pod[], now: number): JobPlan {
  const { spec } = job;
  const { completions, parallelism = 1, backoffLimit = 6, activeDeadlineSeconds } = spec!;
  const indexed = spec!.completionMode === 'Indexed';
  const active = pods.filter((pod) => !isFinished(pod) && !isDeleted(pod));
  const before = job.status ?? {};
  // Of an Indexed job what counts is the index, not how many pods succeeded with it.
  const succeededPods = pods.filter((pod) => pod.status?.phase === 'Succeeded');
  const done = indexed ? parseIndexes(before.completedIndexes) : new Set<number>();
  if (indexed) {
    for (const pod of succeededPods) {
      const index = indexOf(pod);
      if (index !== undefined && index < completions!) done.add(index);
    }
  }
  const succeeded = indexed ? done.size : Math.max(succeededPods.length, before.succeeded ?? 0);
  const failedPods = pods.filter((pod) => pod.status?.phase === 'Failed');
  const failed = Math.max(failedPods.length, before.failed ?? 0);
  const restarts =
    spec!.template.spec?.restartPolicy === 'OnFailure'
      ? pods.filter((pod) => !isFinished(pod)).reduce((sum, pod) => sum + restartsOf(pod), 0)
      : 0;
  const suspended = spec!.suspend ?? false;
  const startTime = suspended ? undefined : (before.startTime ?? timestamp(now));

  const deadline =
    activeDeadlineSeconds !== undefined && startTime
      ? Date.parse(startTime) + activeDeadlineSeconds * 1000
      : undefined;
  const isComplete =
    completions === undefined ? succeeded > 0 && active.length === 0 : succeeded >= completions;
  const outcome: Outcome | undefined =
    failed > backoffLimit || (restarts > 0 && failed + restarts > backoffLimit)
      ? {
          type: 'Failed',
          reason: 'BackoffLimitExceeded',
          message: 'Job has reached the specified backoff limit',
        }
      : deadline !== undefined && now >= deadline
        ? {
            type: 'Failed',
            reason: 'DeadlineExceeded',
            message: 'Job was active longer than specified deadline',
          }
        : isComplete && !suspended
          ? {
              type: 'Complete',
              reason: 'CompletionsReached',
              message: 'Reached expected number of succeeded pods',
            }
          : undefined;

  let create: (number | undefined)[] = [];
  let remove: Pod[] = [];
  let nextAt = deadline;
  if (outcome || suspended) remove = active;
  else {
    const room =
      completions === undefined
        ? succeeded > 0
          ? active.length
          : parallelism
        : Math.min(parallelism, completions - succeeded);
    const missing = room - active.length;
    const latest = failedPods.length > 0 ? Math.max(...failedPods.map(endOf)) : undefined;
    const until = latest === undefined ? 0 : latest + backoffDelay(failedPods.length - 1, BACKOFF);
    if (missing > 0 && until > now) nextAt = Math.min(nextAt ?? until, until);
    else if (missing > 0) create = nextIndexes(indexed ? completions! : undefined, done, active, missing);
    else if (missing < 0) remove = leastFirst(active).slice(0, -missing);
  }

  const gone = outcome ? 0 : active.length;
  const status: Status = {
    ...before,
    startTime,
    active: gone || undefined,
    ready: outcome ? 0 : active.filter(isReady).length,
    terminating: pods.filter((pod) => isDeleted(pod) && !isFinished(pod)).length,
    succeeded: succeeded || undefined,
    failed: failed + (outcome?.type === 'Failed' ? active.length : 0) || undefined,
    uncountedTerminatedPods: {},
    completedIndexes: indexed && done.size > 0 ? formatIndexes(done) : before.completedIndexes,
    completionTime: outcome?.type === 'Complete' ? timestamp(now) : before.completionTime,
    conditions: conditions(before.conditions ?? [], suspended, outcome, timestamp(now)),
  };
  return { create, remove, status, outcome, nextAt };
}

/** Indexes that neither are done nor have a pod, the lowest first; of a job without, as many as are missing. */
function nextIndexes(
  completions: number | undefined,
  done: ReadonlySet<number>,
  active: readonly Pod[],
  missing: number,
): (number | undefined)[] {
  if (completions === undefined) return Array<undefined>(missing).fill(undefined);
  const taken = new Set(active.map(indexOf));
  const free: number[] = [];
  for (let index = 0; index < completions && free.length < missing; index++) {
    if (!done.has(index) && !taken.has(index)) free.push(index);
  }
  return free;
}

const leastFirst = (pods: readonly Pod[]) =>
  pods.toSorted(
    (a, b) =>
      Number(Boolean(a.spec?.nodeName)) - Number(Boolean(b.spec?.nodeName)) ||
      Number(isReady(a)) - Number(isReady(b)),
  );

function conditions(
  before: readonly Condition[],
  suspended: boolean,
  outcome: Outcome | undefined,
  time: string,
): Condition[] | undefined {
  const made = (type: string, status: string, reason: string, message: string): Condition => ({
    type,
    status,
    reason,
    message,
    lastProbeTime: time,
    lastTransitionTime: time,
  });
  const result = before.filter(({ type }) => type !== 'Suspended');
  const old = before.find(({ type }) => type === 'Suspended');
  if (suspended) {
    result.push(old?.status === 'True' ? old : made('Suspended', 'True', 'JobSuspended', 'Job suspended'));
  } else if (old)
    result.push(old.status === 'False' ? old : made('Suspended', 'False', 'JobResumed', 'Job resumed'));
  if (outcome) {
    const { type, reason, message } = outcome;
    const first = type === 'Complete' ? 'SuccessCriteriaMet' : 'FailureTarget';
    result.push(made(first, 'True', reason, message), made(type, 'True', reason, message));
  }
  return result.length > 0 ? result : undefined;
}

/** When a job that has ended is removed, in milliseconds since 1970; undefined: it stays. */
export function expiry(job: Job): number | undefined {
  const { ttlSecondsAfterFinished: seconds } = job.spec ?? {};
  const time = job.status?.completionTime ?? ended(job)?.lastTransitionTime;
  return seconds !== undefined && time ? Date.parse(time) + seconds * 1000 : undefined;
}
