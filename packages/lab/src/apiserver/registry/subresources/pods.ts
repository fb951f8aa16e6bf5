/** What can be done to a pod beside changing it: give it a node, and evict it. */
import { type Fields, isFields, type KubeObject, type StoredObject, timestamp } from '../../object.ts';
import { ApiError, badRequest, conflict } from '../../status.ts';
import { UNREVIEWED } from '../admission.ts';
import type { Call, Target } from '../call.ts';
import { keyOf } from '../call.ts';
import { type Deleted, deleteObject, readDeleteOptions } from '../deletes.ts';
import { selectorMatches } from '../label-selector.ts';
import { getObject } from '../reads.ts';
import { BUILT_IN } from '../resources.ts';
import { bind } from '../strategies/pods.ts';
import type { Cluster } from '../strategy.ts';

const BUDGETS = BUILT_IN.find(({ kind }) => kind === 'PodDisruptionBudget')!;
/** How long a client is asked to wait for the control loop that has not seen a budget yet. */
const RETRY_AFTER_SECONDS = 10;

/** `pods/binding`. @throws {ApiError} NotFound, Conflict when the pod has a node, BadRequest. */
export function bindPod(cluster: Cluster, target: Target, body: Fields, call: Call): void {
  const node = isFields(body.target) ? body.target.name : undefined;
  if (typeof node !== 'string' || node === '')
    throw badRequest('target.name is required: the node to bind the pod to');
  const old = getObject(cluster.store, target);
  const { uid } = (body.metadata ?? {}) as { uid?: string };
  if (uid && uid !== old.metadata.uid)
    throw conflict(target.resource, target.name, 'the UID is that of another pod');
  if (old.metadata.deletionTimestamp)
    throw conflict(
      target.resource,
      target.name,
      `pod ${target.name} is being deleted, cannot be assigned to a host`,
    );
  if (old.spec?.nodeName) {
    throw conflict(
      target.resource,
      target.name,
      `pod ${target.name} is already assigned to node "${old.spec.nodeName}"`,
    );
  }
  const next: KubeObject = structuredClone(old);
  bind(next, node, timestamp(cluster.now()));
  if (!call.dryRun) cluster.store.put(target.resource.storage, keyOf(target), next);
}

/** `pods/eviction`: deletes a pod if its disruption budgets allow that. @throws {ApiError} TooManyRequests. */
export function evictPod(cluster: Cluster, target: Target, body: Fields, call: Call): Promise<Deleted> {
  const pod = getObject(cluster.store, target);
  const options = readDeleteOptions(
    isFields(body.deleteOptions) ? body.deleteOptions : {},
    new URLSearchParams(),
  );
  const ended = ['Succeeded', 'Failed', 'Pending'].includes(String(pod.status?.phase));
  if (!ended && !pod.metadata.deletionTimestamp) spend(cluster, pod, call);
  // The eviction was reviewed: what it does is not reviewed again.
  return deleteObject({ ...cluster, admission: UNREVIEWED }, target, options, call);
}

/** Takes one from what the pod's budgets allow. */
function spend(cluster: Cluster, pod: StoredObject, call: Call): void {
  const { namespace = '', name, labels = {} } = pod.metadata;
  const budgets = [...cluster.store.all(BUDGETS.storage)].filter(
    ({ metadata, spec }) =>
      metadata.namespace === namespace && selectorMatches(spec?.selector as Fields, labels),
  );
  if (budgets.length > 1) {
    throw new ApiError(
      'InternalError',
      `pod ${name} has more than one PodDisruptionBudget, which the eviction subresource does not support`,
    );
  }
  const [budget] = budgets;
  if (!budget) return;
  if (mayGoUnready(budget, pod)) return;
  const { disruptionsAllowed = 0, observedGeneration } = statusOf(budget);
  const known = observedGeneration === budget.metadata.generation;
  if (disruptionsAllowed <= 0 || !known) {
    const { desiredHealthy, currentHealthy } = statusOf(budget);
    const message = known
      ? `The disruption budget ${budget.metadata.name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`
      : `The disruption budget ${budget.metadata.name} is still being processed by the server.`;
    throw new ApiError(
      'TooManyRequests',
      "Cannot evict pod as it would violate the pod's disruption budget.",
      {
        name,
        kind: 'pods',
        causes: [{ reason: 'DisruptionBudget', message }],
        ...(!known && { retryAfterSeconds: RETRY_AFTER_SECONDS }),
      },
    );
  }
  const disruptedPods = {
    ...(budget.status?.disruptedPods as Fields | undefined),
    [name]: timestamp(cluster.now()),
  };
  const next = {
    ...budget,
    status: { ...budget.status, disruptionsAllowed: disruptionsAllowed - 1, disruptedPods },
  };
  if (!call.dryRun) cluster.store.put(BUDGETS.storage, `${namespace}/${budget.metadata.name}`, next);
}

const statusOf = (budget: StoredObject) => (budget.status ?? {}) as Record<string, number | undefined>;

/** Whether a pod that is not ready does not count, because enough others are, or because the budget says so. */
function mayGoUnready(budget: StoredObject, pod: StoredObject): boolean {
  const conditions = (pod.status?.conditions ?? []) as Fields[];
  if (conditions.some(({ type, status }) => type === 'Ready' && status === 'True')) return false;
  if (budget.spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = statusOf(budget);
  return desiredHealthy > 0 && currentHealthy >= desiredHealthy;
}
