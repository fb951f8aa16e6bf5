import { type ControllerRevision, isAlreadyExists, keyOf, type Pod, type StatefulSet } from '@enid/kube';
import { claim, suitors } from '../shared/claim.ts';
import type { Cluster, Loop } from '../shared/cluster.ts';
import {
  currentRevision,
  hashOfRevision,
  REVISION_HASH,
  templateOf,
  trimHistory,
} from '../shared/history.ts';
import { reconciler } from '../shared/loop.ts';
import { controllerOf } from '../shared/owners.ts';
import { PodControl, podFrom } from '../shared/pod-control.ts';
import { availableAt } from '../shared/pods.ts';
import { followPods } from '../shared/pods-of.ts';
import { writeStatus } from '../shared/status.ts';
import { ordinalOf, planPods, statefulSetStatus, templateFor } from './plan.ts';

const TYPE = { apiVersion: 'apps/v1', kind: 'StatefulSet' };

/** Keeps the numbered pods of StatefulSets. A pod's name is its own, so none can be made twice. */
export function startStatefulSets(cluster: Cluster): Loop {
  const { state, client, clock } = cluster;
  const recorder = cluster.recorder('statefulset-controller');
  const loop = reconciler(cluster, 'statefulset', reconcile);
  const { queue } = loop;
  loop.on(
    state.statefulSets.onChange((old, now) => queue.add(keyOf((now ?? old)!))),
    followPods(state.pods, TYPE.kind, queue, undefined, (pod) =>
      suitors(pod, state.statefulSets.by('namespace', pod.metadata?.namespace ?? '')),
    ),
    state.controllerRevisions.onChange((old, now) => {
      const owner = controllerOf((now ?? old)!);
      if (owner?.kind === TYPE.kind) queue.add(`${(now ?? old)!.metadata?.namespace}/${owner.name}`);
    }),
  );
  return loop;

  async function reconcile(key: string): Promise<void> {
    const found = state.statefulSets.get(key);
    if (!found) return;
    const set = { ...found, ...TYPE };
    const { uid = '', namespace = '', name, deletionTimestamp } = set.metadata ?? {};
    if (deletionTimestamp) return;
    if (set.spec?.volumeClaimTemplates?.length) {
      const message =
        'volumeClaimTemplates: this cluster has no persistent volumes: use a volume in the template, such as emptyDir';
      recorder.event(set, 'Warning', 'FailedCreate', message);
      return;
    }
    const claimOf = { client, owner: set, ...TYPE, selector: set.spec?.selector };
    const pods = await claim<Pod>({
      ...claimOf,
      owned: state.pods.by('controller', uid),
      orphans: state.pods.by('orphans', namespace),
      mayAdopt: (pod) => ordinalOf(set, pod) !== undefined,
      pathOf: ({ metadata }) => `/api/v1/namespaces/${namespace}/pods/${metadata?.name}`,
    });
    const history = await claim<ControllerRevision>({
      ...claimOf,
      owned: state.controllerRevisions.by('controller', uid),
      orphans: state.controllerRevisions.by('orphans', namespace),
      pathOf: ({ metadata }) => `/apis/apps/v1/namespaces/${namespace}/controllerrevisions/${metadata?.name}`,
    });
    const update = await currentRevision(client, set, history);
    const current = history.find(({ metadata }) => metadata?.name === set.status?.currentRevision) ?? update;
    const hashes = { current: hashOfRevision(current), update: hashOfRevision(update) };
    const names = { current: current.metadata!.name!, update: update.metadata!.name! };
    try {
      await act(key, set, pods, current, update);
    } finally {
      const path = `/apis/apps/v1/namespaces/${namespace}/statefulsets/${name}`;
      await writeStatus(client, path, set, statefulSetStatus(set, pods, hashes, names, clock.now()));
    }
    const used = new Set([hashes.current, hashes.update]);
    for (const { metadata } of pods) used.add(metadata?.labels?.[REVISION_HASH] ?? '');
    await trimHistory(client, set, history, used);
    lookAgain(key, set, pods);
  }

  async function act(
    key: string,
    set: StatefulSet & typeof TYPE,
    pods: readonly Pod[],
    current: ControllerRevision,
    update: ControllerRevision,
  ): Promise<void> {
    const hashes = { current: hashOfRevision(current), update: hashOfRevision(update) };
    const { create, remove } = planPods(set, pods, hashes, clock.now());
    const control = new PodControl(client, recorder, set, key);
    await control.delete(remove);
    const wanted = create.map(({ ordinal, revision }) => {
      const template = templateOf(revision === hashes.update ? update : current);
      return podFrom(set, templateFor(set, template, ordinal, revision), `${set.metadata?.name}-${ordinal}`);
    });
    try {
      await control.create(wanted);
    } catch (error) {
      // Made before, and not seen yet; or another's, which is seen when it goes.
      if (!isAlreadyExists(error)) throw error;
      queue.addAfter(key, 1_000);
    }
  }

  function lookAgain(key: string, set: StatefulSet, pods: readonly Pod[]): void {
    const now = clock.now();
    const times = pods
      .map((pod) => availableAt(pod, set.spec?.minReadySeconds) ?? 0)
      .filter((at) => at > now);
    if (times.length > 0) queue.addAfter(key, Math.min(...times) - now);
  }
}
