import { type ControllerRevision, type DaemonSet, keyOf, type Pod } from '@enid/kube';
import { isEqual } from '../shared/canonical.ts';
import { claim, suitors } from '../shared/claim.ts';
import type { Cluster, Loop } from '../shared/cluster.ts';
import { EXPECTATION_LIFETIME, Expectations } from '../shared/expectations.ts';
import { currentRevision, hashOfRevision, REVISION_HASH, trimHistory } from '../shared/history.ts';
import { reconciler } from '../shared/loop.ts';
import { controllerOf } from '../shared/owners.ts';
import { PodControl, podFrom } from '../shared/pod-control.ts';
import { availableAt } from '../shared/pods.ts';
import { followPods } from '../shared/pods-of.ts';
import { writeStatus } from '../shared/status.ts';
import { daemonSetStatus, planDaemons, templateFor } from './plan.ts';

const TYPE = { apiVersion: 'apps/v1', kind: 'DaemonSet' };
/** How long to wait before a daemon that has failed is made again, in milliseconds; twice as long each time. */
const BACKOFF = { base: 1_000, max: 15 * 60_000 };

/** Keeps a pod of each DaemonSet on each node that fits. */
export function startDaemonSets(cluster: Cluster): Loop {
  const { state, client, clock } = cluster;
  const recorder = cluster.recorder('daemonset-controller');
  const expectations = new Expectations(clock);
  const loop = reconciler(cluster, 'daemonset', reconcile);
  const { queue } = loop;
  /** By set and node: how often its daemon has failed, and when the next may be removed. */
  const failures = new Map<string, { readonly count: number; readonly until: number }>();

  loop.on(
    state.daemonSets.onChange((old, now) => {
      const key = keyOf((now ?? old)!);
      if (!now) expectations.forget(key);
      queue.add(key);
    }),
    followPods(state.pods, TYPE.kind, queue, expectations, (pod) =>
      suitors(pod, state.daemonSets.by('namespace', pod.metadata?.namespace ?? '')),
    ),
    state.controllerRevisions.onChange((old, now) => {
      const owner = controllerOf((now ?? old)!);
      if (owner?.kind === TYPE.kind) queue.add(`${(now ?? old)!.metadata?.namespace}/${owner.name}`);
    }),
    state.nodes.onChange((old, now) => {
      const essence = (node: typeof now) => [node?.metadata?.uid, node?.metadata?.labels, node?.spec?.taints];
      if (!isEqual(essence(old), essence(now)))
        for (const set of state.daemonSets.list()) queue.add(keyOf(set));
    }),
  );
  return loop;

  async function reconcile(key: string): Promise<void> {
    const found = state.daemonSets.get(key);
    if (!found) return;
    const set = { ...found, ...TYPE };
    const { uid = '', namespace = '', name, deletionTimestamp } = set.metadata ?? {};
    if (deletionTimestamp) return;
    const claimOf = { client, owner: set, ...TYPE, selector: set.spec?.selector };
    const settled = expectations.satisfied(key);
    if (!settled) queue.addAfter(key, EXPECTATION_LIFETIME);
    const pods = await claim<Pod>({
      ...claimOf,
      owned: state.pods.by('controller', uid),
      orphans: state.pods.by('orphans', namespace),
      pathOf: ({ metadata }) => `/api/v1/namespaces/${namespace}/pods/${metadata?.name}`,
    });
    const revisions = await claim<ControllerRevision>({
      ...claimOf,
      owned: state.controllerRevisions.by('controller', uid),
      orphans: state.controllerRevisions.by('orphans', namespace),
      pathOf: ({ metadata }) => `/apis/apps/v1/namespaces/${namespace}/controllerrevisions/${metadata?.name}`,
    });
    const hash = hashOfRevision(await currentRevision(client, set, revisions));
    const nodes = state.nodes.list();
    const now = clock.now();
    try {
      if (settled) await act(key, set, pods, hash);
    } finally {
      const path = `/apis/apps/v1/namespaces/${namespace}/daemonsets/${name}`;
      await writeStatus(client, path, set, daemonSetStatus(set, nodes, pods, hash, now));
    }
    const used = new Set([hash, ...pods.map(({ metadata }) => metadata?.labels?.[REVISION_HASH] ?? '')]);
    await trimHistory(client, set, revisions, used);
    const { minReadySeconds = 0 } = set.spec ?? {};
    const times = pods.map((pod) => availableAt(pod, minReadySeconds) ?? 0).filter((at) => at > now);
    if (times.length > 0) queue.addAfter(key, Math.min(...times) - now);
  }

  async function act(
    key: string,
    set: DaemonSet & typeof TYPE,
    pods: readonly Pod[],
    hash: string,
  ): Promise<void> {
    const plan = planDaemons(set, state.nodes.list(), pods, hash, clock.now());
    const control = new PodControl(client, recorder, set, key, expectations);
    const delayed = plan.failed.filter((pod) => isTooEarly(key, set, pod));
    await control.delete(plan.remove.filter((pod) => !delayed.includes(pod)));
    await control.create(
      plan.create.map((node) => podFrom(set, templateFor(set.spec!.template, node, hash))),
    );
  }

  /** A daemon that fails again and again is removed, and so made again, ever later. */
  function isTooEarly(key: string, set: DaemonSet & typeof TYPE, pod: Pod): boolean {
    const now = clock.now();
    const node = pod.spec?.nodeName ?? '';
    const id = `${set.metadata?.uid} ${node}`;
    const before = failures.get(id);
    if (before && now < before.until) {
      queue.addAfter(key, before.until - now);
      return true;
    }
    const count = before && now - before.until < 2 * BACKOFF.max ? before.count + 1 : 0;
    failures.set(id, { count, until: now + Math.min(BACKOFF.base * 2 ** count, BACKOFF.max) });
    const message = `Found failed daemon pod ${keyOf(pod)} on node ${node}, will try to kill it`;
    recorder.event(set, 'Warning', 'FailedDaemonPod', message);
    return false;
  }
}
