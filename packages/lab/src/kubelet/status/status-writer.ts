import { isDeepStrictEqual } from 'node:util';
import { isConflict, isNotFound, type KubeClient, type Pod } from '@enid/kube';
import type { Logger } from 'pino';
import { hasEnded, nameOf, namespaceOf, type PodStatus, uidOf } from '../pod.ts';

type Entry = {
  pod: Pod;
  wanted: PodStatus;
  /** As the API has it: what was written, or what others have made of it since. */
  told: PodStatus;
  /** Of the object that has it so. */
  version: number;
  writing: Promise<void> | undefined;
};

const RETRY = 1_000;
/** Of what the kubelet told and tells no more. */
const FIELDS = ['reason', 'message', 'podIP', 'initContainerStatuses', 'ephemeralContainerStatuses'] as const;

/**
 * Tells the API the statuses of pods: each time the newest one, one request at a time for a pod, and none for nothing. Others
 * write statuses, too: the pods of a node that is not heard of are called not ready. What they say of what is the kubelet's to
 * tell is put right as soon as it is seen.
 */
export class StatusWriter {
  readonly #client: KubeClient;
  readonly #log: Logger;
  readonly #entries = new Map<string, Entry>();
  #closed = false;

  constructor(client: KubeClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  /** The status that the pod will have when all is written. */
  latest(pod: Pod): PodStatus {
    const wanted = this.#entries.get(uidOf(pod))?.wanted;
    // Somebody else may have ended the pod, which is for ever.
    return !wanted || hasEnded(pod) ? (pod.status ?? {}) : wanted;
  }

  /** @param pod as it was last seen in the API. */
  publish(pod: Pod, status: PodStatus): void {
    const uid = uidOf(pod);
    let entry = this.#entries.get(uid);
    if (!entry) {
      entry = { pod, wanted: status, told: {}, version: 0, writing: undefined };
      this.#entries.set(uid, entry);
    }
    entry.pod = pod;
    entry.wanted = status;
    learn(entry, pod, pod.status ?? {});
    entry.writing ??= this.#write(entry);
  }

  /** Resolves when the pod's newest status is written. */
  async flush(pod: Pod): Promise<void> {
    await this.#entries.get(uidOf(pod))?.writing;
  }

  forget(podUid: string): void {
    this.#entries.delete(podUid);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#entries.values()].map(({ writing }) => writing));
  }

  async #write(entry: Entry): Promise<void> {
    await Promise.resolve(); // What is published in the same turn is written once.
    while (!tells(entry.told, entry.wanted)) {
      const { pod, wanted, told } = entry;
      try {
        const path = `/api/v1/namespaces/${namespaceOf(pod)}/pods/${nameOf(pod)}/status`;
        const body = { metadata: { uid: uidOf(pod) }, status: statusPatch(told, wanted) };
        // What a server would not keep is not told again and again: what it answers counts when it is seen.
        learn(entry, await this.#client.patch<Pod>(path, body, 'strategic'), wanted);
      } catch (error) {
        // It is gone, or another pod has its name.
        if (isNotFound(error) || isConflict(error)) break;
        this.#log.warn({ pod: nameOf(pod), error: String(error) }, 'status of pod not written');
        if (this.#closed) break;
        await new Promise((resolve) => setTimeout(resolve, RETRY));
      }
    }
    // In the same step in which nothing was left to tell: what is published a moment later begins anew.
    entry.writing = undefined;
  }
}

/** Takes down what the API has, unless something newer is known. */
function learn(entry: Entry, { metadata }: Pod, told: PodStatus): void {
  const version = Number(metadata?.resourceVersion ?? 0);
  if (version < entry.version) return;
  entry.version = version;
  entry.told = told;
}

/** The strategic merge patch from one status to another: conditions are merged by type, so that others' stay. */
export function statusPatch(from: PodStatus, to: PodStatus): object {
  const removed = FIELDS.filter((field) => from[field] !== undefined && to[field] === undefined);
  const addresses = to.podIPs ?? [];
  const gone = (from.podIPs ?? []).filter(({ ip }) => !addresses.some((address) => address.ip === ip));
  const podIPs = [...gone.map(({ ip }) => ({ $patch: 'delete', ip })), ...addresses];
  const conditions = (to.conditions ?? []).map((condition) => {
    const before = from.conditions?.find(({ type }) => type === condition.type);
    const lost = (['reason', 'message'] as const).filter((field) => before?.[field] && !condition[field]);
    return { ...condition, ...Object.fromEntries(lost.map((field) => [field, null])) };
  });
  return {
    ...to,
    conditions,
    ...(podIPs.length > 0 && { podIPs }),
    ...Object.fromEntries(removed.map((field) => [field, null])),
  };
}

/** Whether a status says all that another does, and nothing that it does not say. */
function tells(told: PodStatus, wanted: PodStatus): boolean {
  const same = (field: keyof PodStatus) => isDeepStrictEqual(told[field], wanted[field]);
  const conditions = (wanted.conditions ?? []).every((condition) => {
    const before = told.conditions?.find(({ type }) => type === condition.type);
    const { type, status, reason, message, lastTransitionTime } = before ?? {};
    const view = { type, status, lastTransitionTime, ...(reason && { reason }), ...(message && { message }) };
    return isDeepStrictEqual(view, condition);
  });
  const fields = [
    ...FIELDS,
    'phase',
    'hostIP',
    'hostIPs',
    'podIPs',
    'startTime',
    'containerStatuses',
  ] as const;
  return conditions && fields.every(same);
}
