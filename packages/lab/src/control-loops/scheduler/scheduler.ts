import { setImmediate as turn } from 'node:timers/promises';
import {
  type EventRecorder,
  isConflict,
  isNotFound,
  keyOf,
  type Node,
  type Pod,
  timestamp,
} from '@enid/kube';
import type { Cluster, Loop } from '../shared/cluster.ts';
import { condition, isDeleted, isFinished } from '../shared/pods.ts';
import { untolerated } from '../shared/taints.ts';
import { decide } from './decide.ts';
import { NodeInfos } from './node-infos.ts';
import { SchedulingQueue } from './queue.ts';

const NAME = 'default-scheduler';
/** How many bindings are under way at a time. */
const BINDINGS = 32;
/** How long to decide before others have a turn, in milliseconds. */
const SLICE = 10;

/** Gives each pod that has none a node. */
export function startScheduler(cluster: Cluster): Loop {
  return new Scheduler(cluster);
}

/** Decisions are made one after another, each knowing all before it; the API server is told of them at the same time. */
class Scheduler implements Loop {
  readonly #cluster: Cluster;
  readonly #infos: NodeInfos;
  readonly #queue: SchedulingQueue;
  readonly #recorder: EventRecorder;
  readonly #writes = new Set<Promise<void>>();
  readonly #unsubscribe: (() => void)[];
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    const { state, clock } = cluster;
    this.#infos = new NodeInfos(state);
    this.#recorder = cluster.recorder(NAME);
    this.#queue = new SchedulingQueue(clock, () => this.#start());
    const retry = () => this.#queue.retry();
    this.#unsubscribe = [
      state.pods.onChange((old, now) => this.#podChanged(old, now)),
      state.nodes.onChange((old, now) => this.#nodeChanged(old, now)),
      state.namespaces.onChange(retry),
    ];
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#queue.close();
    await this.#running;
    await Promise.all(this.#writes);
  }

  #podChanged(old: Pod | undefined, now: Pod | undefined): void {
    const pod = (now ?? old)!;
    if (pod.spec?.nodeName) {
      this.#infos.forget(pod);
      this.#infos.changed(pod.spec.nodeName);
      this.#queue.remove(keyOf(pod));
      if (!now || isFinished(now)) this.#queue.retry();
      else if (!old?.spec?.nodeName || isRelabelled(old, now)) this.#queue.retry(mindsCompany);
    } else if (!now || isDeleted(now)) {
      this.#infos.forget(pod);
      this.#queue.remove(keyOf(pod));
    } else if (isPending(now) && !isOnlyTold(old, now)) this.#queue.put(now);
  }

  #nodeChanged(old: Node | undefined, now: Node | undefined): void {
    this.#infos.changed(keyOf((now ?? old)!));
    if (!now || (old && essence(old) === essence(now))) return;
    this.#queue.retry(({ spec }) => !untolerated(now.spec?.taints, spec?.tolerations));
  }

  #start(): void {
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    // The informers' handlers have their turn first: many pods at once are sorted once.
    await turn();
    for (let pods = this.#queue.take(); pods.length > 0; pods = this.#queue.take()) {
      let until = performance.now() + SLICE;
      for (const pod of pods) {
        if (this.#closed) return;
        this.#schedule(pod);
        while (this.#writes.size >= BINDINGS) await Promise.race(this.#writes);
        if (performance.now() < until) continue;
        await turn();
        until = performance.now() + SLICE;
      }
    }
    // In the same step in which nothing was left: a pod that comes a moment later begins anew.
    this.#running = undefined;
  }

  #schedule(stale: Pod): void {
    const pod = this.#cluster.state.pods.get(keyOf(stale));
    if (!pod || !isPending(pod) || isDeleted(pod) || this.#infos.isAssumed(pod)) return;
    const { changes } = this.#queue;
    const { node, message } = decide(pod, this.#infos.snapshot());
    if (node) {
      this.#infos.assume(pod, node.name);
      this.#write(pod, this.#bind(pod, node.name));
    } else {
      this.#queue.giveBack(pod, changes);
      this.#tell(pod, 'Warning', 'FailedScheduling', message);
      this.#write(pod, this.#markUnschedulable(pod, message));
    }
  }

  async #bind(pod: Pod, nodeName: string): Promise<void> {
    const { name, namespace, uid } = pod.metadata ?? {};
    try {
      await this.#cluster.client.create(`/api/v1/namespaces/${namespace}/pods/${name}/binding`, {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name, namespace, uid },
        target: { apiVersion: 'v1', kind: 'Node', name: nodeName },
      });
      this.#tell(pod, 'Normal', 'Scheduled', `Successfully assigned ${namespace}/${name} to ${nodeName}`);
    } catch (error) {
      this.#infos.forget(pod);
      // Gone, or bound by another: the informer will say.
      if (isNotFound(error) || isConflict(error)) return;
      this.#queue.giveBack(pod, -1);
      throw error;
    }
  }

  async #markUnschedulable(pod: Pod, message: string): Promise<void> {
    const before = condition(pod, 'PodScheduled');
    if (before?.status === 'False' && before.reason === 'Unschedulable' && before.message === message) return;
    const lastTransitionTime =
      before?.status === 'False' ? before.lastTransitionTime : timestamp(this.#cluster.clock.now());
    const scheduled = {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message,
      lastProbeTime: null,
      lastTransitionTime,
    };
    const path = `/api/v1/namespaces/${pod.metadata?.namespace}/pods/${pod.metadata?.name}/status`;
    try {
      await this.#cluster.client.patch(path, { status: { conditions: [scheduled] } }, 'strategic');
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  #tell(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#recorder.event({ ...pod, apiVersion: 'v1', kind: 'Pod' }, type, reason, message);
  }

  #write(pod: Pod, writing: Promise<void>): void {
    const done = writing.catch((error: Error) => {
      this.#cluster.onError(new Error(`scheduler ${keyOf(pod)}: ${error.message}`, { cause: error }));
    });
    this.#writes.add(done);
    done.finally(() => this.#writes.delete(done));
  }
}

/** Whether a pod insists on the company of others, or on being apart: what is new on a node takes room, but may be that. */
const mindsCompany = ({ spec: { affinity, topologySpreadConstraints } = { containers: [] } }: Pod) =>
  [affinity?.podAffinity, affinity?.podAntiAffinity].some(
    (terms) => terms?.requiredDuringSchedulingIgnoredDuringExecution?.length,
  ) ||
  topologySpreadConstraints?.some(({ whenUnsatisfiable }) => whenUnsatisfiable === 'DoNotSchedule') === true;

const isRelabelled = (old: Pod, now: Pod) =>
  JSON.stringify(old.metadata?.labels) !== JSON.stringify(now.metadata?.labels);

function isPending({ spec, status }: Pod): boolean {
  return (
    !spec?.nodeName &&
    (spec?.schedulerName ?? NAME) === NAME &&
    !spec?.schedulingGates?.length &&
    status?.phase !== 'Succeeded' &&
    status?.phase !== 'Failed'
  );
}

/** Whether a change is none but of the status, such as what the scheduler itself tells there. */
function isOnlyTold(old: Pod | undefined, now: Pod): boolean {
  if (!old || old.metadata?.uid !== now.metadata?.uid) return false;
  return (
    JSON.stringify([old.spec, old.metadata?.labels]) === JSON.stringify([now.spec, now.metadata?.labels])
  );
}

/** What of a node matters to where pods go; a kubelet's heartbeats do not. */
function essence({ spec, metadata, status }: Node): string {
  return JSON.stringify([spec, metadata?.labels, status?.allocatable]);
}
