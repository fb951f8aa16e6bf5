import { type Deployment, isAlreadyExists, isNotFound, keyOf, type ReplicaSet } from '@enid/kube';
import { hashOf, isEqual } from '../shared/canonical.ts';
import { claim, suitors } from '../shared/claim.ts';
import type { Cluster, Loop } from '../shared/cluster.ts';
import { reconciler } from '../shared/loop.ts';
import { controllerOf, controllerReference } from '../shared/owners.ts';
import { isFinished } from '../shared/pods.ts';
import { writeStatus } from '../shared/status.ts';
import {
  annotationsFor,
  beyondHistory,
  byAge,
  DESIRED,
  findNew,
  HASH,
  MAX,
  nextRevision,
  REVISION,
} from './revisions.ts';
import { boundsOf, newSize, replicasOf, rollingStep, type Sizes, scaleStep } from './rollout.ts';
import { deadline, deploymentStatus, isComplete } from './status.ts';

const TYPE = { apiVersion: 'apps/v1', kind: 'Deployment' };
const REPLICA_SET = { apiVersion: 'apps/v1', kind: 'ReplicaSet' };

/** Rolls out what Deployments say by growing and shrinking ReplicaSets, a step at a time. */
export function startDeployments(cluster: Cluster): Loop {
  const { state, client, clock } = cluster;
  const recorder = cluster.recorder('deployment-controller');
  const loop = reconciler(cluster, 'deployment', reconcile);
  const { queue } = loop;

  const addOwner = (set: ReplicaSet | undefined) => {
    const owner = set && controllerOf(set);
    if (owner?.kind === TYPE.kind) queue.add(`${set!.metadata?.namespace}/${owner.name}`);
  };
  loop.on(
    state.deployments.onChange((old, now) => queue.add(keyOf((now ?? old)!))),
    state.replicaSets.onChange((old, now) => {
      addOwner(old);
      addOwner(now);
      const { namespace = '' } = now?.metadata ?? {};
      if (now)
        for (const suitor of suitors(now, state.deployments.by('namespace', namespace)))
          queue.add(keyOf(suitor));
    }),
    // A Deployment that recreates waits for the old pods to be gone.
    state.pods.onChange((old, now) => {
      const owner = old && (!now || isFinished(now)) ? controllerOf(old) : undefined;
      if (owner?.kind === REPLICA_SET.kind)
        addOwner(state.replicaSets.get(`${old!.metadata?.namespace}/${owner.name}`));
    }),
  );
  return loop;

  async function reconcile(key: string): Promise<void> {
    const found = state.deployments.get(key);
    if (!found) return;
    const deployment = { ...found, ...TYPE };
    const { uid = '', namespace = '', name } = deployment.metadata ?? {};
    const sets = await claim<ReplicaSet>({
      client,
      owner: deployment,
      ...TYPE,
      selector: deployment.spec?.selector,
      owned: state.replicaSets.by('controller', uid),
      orphans: state.replicaSets.by('orphans', namespace),
      pathOf: pathOfSet,
    });
    const fresh = findNew(deployment, sets);
    const old = sets.filter((set) => set !== fresh).sort(byAge);
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`;
    const created = deployment.metadata?.deletionTimestamp
      ? undefined
      : await step(path, deployment, fresh, old);
    const status = deploymentStatus(deployment, fresh, old, clock.now(), created);
    await writeStatus(
      client,
      path,
      state.deployments.get(key) === found ? deployment : { ...deployment },
      status,
    );
    const limit = deadline(deployment, status);
    if (limit !== undefined) queue.addAfter(key, Math.max(limit - clock.now(), 0) + 1);
  }

  /** Does what comes next; the ReplicaSets' changes call for more. @returns the name of a set that was made. */
  async function step(
    path: string,
    deployment: Deployment & typeof TYPE,
    fresh: ReplicaSet | undefined,
    old: readonly ReplicaSet[],
  ): Promise<string | undefined> {
    const bounds = boundsOf(deployment);
    const revision = nextRevision(fresh, old);
    const sets = fresh ? [fresh, ...old] : old;
    const paused = deployment.spec?.paused ?? false;
    const annotate = { revision, desired: bounds.replicas, max: bounds.replicas + bounds.maxSurge };
    const isResized = sets.some(
      ({ spec, metadata }) =>
        (spec?.replicas ?? 0) > 0 && metadata?.annotations?.[DESIRED] !== String(bounds.replicas),
    );
    if (paused || isResized) {
      await resize(
        deployment,
        sets,
        scaleStep(bounds, fresh && replicasOf(fresh), old.map(replicasOf)),
        true,
      );
      return undefined;
    }
    const recreate = deployment.spec?.strategy?.type === 'Recreate';
    if (recreate && (await retire(deployment, old))) return undefined;
    if (!fresh) {
      const all = old.reduce((total, set) => total + (set.spec?.replicas ?? 0), 0);
      return createSet(path, deployment, newSize(bounds, 0, all), annotate);
    }
    if (await update(deployment, fresh, annotate)) return undefined;
    if (deployment.metadata?.annotations?.[REVISION] !== String(revision)) {
      await client.patch(path, { metadata: { annotations: { [REVISION]: String(revision) } } });
    }
    const sizes = recreate
      ? new Map([[fresh.metadata!.name!, bounds.replicas]])
      : rollingStep(bounds, replicasOf(fresh), old.map(replicasOf));
    await resize(deployment, sets, sizes, false);
    if (isComplete(deployment, deploymentStatus(deployment, fresh, old, clock.now())))
      await cleanUp(deployment, old);
    return undefined;
  }

  /** Shrinks old sets to nothing. @returns whether any of their pods are left. */
  async function retire(deployment: Deployment & typeof TYPE, old: readonly ReplicaSet[]): Promise<boolean> {
    const sizes = new Map(old.map(({ metadata }) => [metadata!.name!, 0]));
    await resize(deployment, old, sizes, false);
    return old.some(
      ({ spec, metadata }) =>
        (spec?.replicas ?? 0) > 0 ||
        state.pods.by('controller', metadata?.uid ?? '').some((pod) => !isFinished(pod)),
    );
  }

  /** @param annotateAll also says on those whose size is right what the Deployment's size is. */
  async function resize(
    deployment: Deployment & typeof TYPE,
    sets: readonly ReplicaSet[],
    sizes: Sizes,
    annotateAll: boolean,
  ): Promise<void> {
    const { replicas, maxSurge } = boundsOf(deployment);
    const annotations = { [DESIRED]: String(replicas), [MAX]: String(replicas + maxSurge) };
    for (const set of sets) {
      const before = set.spec?.replicas ?? 0;
      const size = sizes.get(set.metadata!.name!) ?? before;
      const isNoted = set.metadata?.annotations?.[DESIRED] === annotations[DESIRED];
      if (size === before && (!annotateAll || before === 0 || isNoted)) continue;
      const { resourceVersion, name } = set.metadata!;
      await client.patch(pathOfSet(set), {
        metadata: { resourceVersion, annotations },
        spec: { replicas: size },
      });
      if (size === before) continue;
      const direction = size > before ? 'up' : 'down';
      recorder.event(
        deployment,
        'Normal',
        'ScalingReplicaSet',
        `Scaled ${direction} replica set ${name} from ${before} to ${size}`,
      );
    }
  }

  async function createSet(
    path: string,
    deployment: Deployment & typeof TYPE,
    replicas: number,
    annotate: Parameters<typeof annotationsFor>[2],
  ): Promise<string> {
    const { name, namespace } = deployment.metadata!;
    const { template, selector, minReadySeconds } = deployment.spec!;
    const collisions = deployment.status?.collisionCount ?? 0;
    const hash = hashOf(template, collisions);
    const labels = { ...template.metadata?.labels, [HASH]: hash };
    const set: ReplicaSet = {
      ...REPLICA_SET,
      metadata: {
        name: `${name}-${hash}`,
        namespace,
        labels,
        annotations: annotationsFor(deployment, undefined, annotate),
        ownerReferences: [controllerReference(deployment, TYPE.apiVersion, TYPE.kind)],
      },
      spec: {
        replicas,
        minReadySeconds,
        selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH]: hash } },
        template: { ...template, metadata: { ...template.metadata, labels } },
      },
    };
    try {
      await client.create(`/apis/apps/v1/namespaces/${namespace}/replicasets`, set);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      // Made by us and not seen yet; else another has the name, and the next one is tried.
      const other = await client.get<ReplicaSet>(pathOfSet(set));
      const isOurs = controllerOf(other)?.uid === deployment.metadata?.uid && findNew(deployment, [other]);
      if (!isOurs) {
        await client.patch(`${path}/status`, { status: { collisionCount: collisions + 1 } });
      }
      throw error;
    }
    recorder.event(
      deployment,
      'Normal',
      'ScalingReplicaSet',
      `Scaled up replica set ${set.metadata!.name} from 0 to ${replicas}`,
    );
    return set.metadata!.name!;
  }

  /** Keeps what is said on the new set, besides its size, as the Deployment says it. @returns whether it was not. */
  async function update(
    deployment: Deployment,
    fresh: ReplicaSet,
    annotate: Parameters<typeof annotationsFor>[2],
  ): Promise<boolean> {
    const annotations = annotationsFor(deployment, fresh, annotate);
    const minReadySeconds = deployment.spec?.minReadySeconds ?? 0;
    if (
      isEqual(annotations, fresh.metadata?.annotations) &&
      (fresh.spec?.minReadySeconds ?? 0) === minReadySeconds
    )
      return false;
    await client.patch(pathOfSet(fresh), { metadata: { annotations }, spec: { minReadySeconds } });
    return true;
  }

  async function cleanUp(deployment: Deployment, old: readonly ReplicaSet[]): Promise<void> {
    for (const set of beyondHistory(deployment, old)) {
      await client.delete(pathOfSet(set), { preconditions: { uid: set.metadata!.uid! } }).catch((error) => {
        if (!isNotFound(error)) throw error;
      });
    }
  }
}

const pathOfSet = ({ metadata }: ReplicaSet) =>
  `/apis/apps/v1/namespaces/${metadata?.namespace}/replicasets/${metadata?.name}`;
