import { isNotFound, type Job, keyOf, type Pod, type PodTemplate } from '@enid/kube';
import { claim, suitors } from '../shared/claim.ts';
import type { Cluster, Loop } from '../shared/cluster.ts';
import { EXPECTATION_LIFETIME, Expectations } from '../shared/expectations.ts';
import { reconciler } from '../shared/loop.ts';
import { PodControl, podFrom } from '../shared/pod-control.ts';
import { followPods } from '../shared/pods-of.ts';
import { writeStatus } from '../shared/status.ts';
import { ended, expiry, INDEX, planJob } from './plan.ts';

const TYPE = { apiVersion: 'batch/v1', kind: 'Job' };

/** Runs Jobs' pods until enough have succeeded or too many failed. */
export function startJobs(cluster: Cluster): Loop {
  const { state, client, clock } = cluster;
  const recorder = cluster.recorder('job-controller');
  const expectations = new Expectations(clock);
  const loop = reconciler(cluster, 'job', reconcile);
  const { queue } = loop;
  loop.on(
    state.jobs.onChange((old, now) => {
      const key = keyOf((now ?? old)!);
      if (!now) expectations.forget(key);
      queue.add(key);
    }),
    followPods(state.pods, TYPE.kind, queue, expectations, (pod) =>
      suitors(pod, state.jobs.by('namespace', pod.metadata?.namespace ?? '')),
    ),
  );
  return loop;

  async function reconcile(key: string): Promise<void> {
    const found = state.jobs.get(key);
    if (!found || found.metadata?.deletionTimestamp) return;
    const job = { ...found, ...TYPE };
    const { uid = '', namespace = '', name } = job.metadata ?? {};
    const path = `/apis/batch/v1/namespaces/${namespace}/jobs/${name}`;
    if (ended(job)) {
      await expire(key, job, path);
      return;
    }
    const settled = expectations.satisfied(key);
    if (!settled) queue.addAfter(key, EXPECTATION_LIFETIME);
    const pods = await claim<Pod>({
      client,
      owner: job,
      ...TYPE,
      selector: job.spec?.selector,
      owned: state.pods.by('controller', uid),
      orphans: state.pods.by('orphans', namespace),
      pathOf: ({ metadata }) => `/api/v1/namespaces/${namespace}/pods/${metadata?.name}`,
    });
    const { create, remove, status, outcome, nextAt } = planJob(job, pods, clock.now());
    try {
      if (settled) {
        const control = new PodControl(client, recorder, job, key, expectations);
        await control.delete(remove);
        await control.create(create.map((index) => podFor(job, index)));
      }
    } finally {
      await writeStatus(client, path, job, status);
    }
    if (outcome?.type === 'Complete') recorder.event(job, 'Normal', 'Completed', 'Job completed');
    if (outcome?.type === 'Failed') recorder.event(job, 'Warning', outcome.reason, outcome.message);
    if (nextAt !== undefined) queue.addAfter(key, Math.max(nextAt - clock.now(), 0) + 1);
  }

  async function expire(key: string, job: Job, path: string): Promise<void> {
    const at = expiry(job);
    if (at === undefined) return;
    const wait = at - clock.now();
    if (wait > 0) {
      queue.addAfter(key, wait);
      return;
    }
    const uid = job.metadata!.uid!;
    await client.delete(path, { propagationPolicy: 'Foreground', preconditions: { uid } }).catch((error) => {
      if (!isNotFound(error)) throw error;
    });
  }
}

/** A job's pod; one with an index knows it, by annotation, label, host name and environment. */
function podFor(job: Job & typeof TYPE, index: number | undefined): Pod {
  const template = job.spec!.template as PodTemplate;
  if (index === undefined) return podFrom(job, template);
  const value = String(index);
  const variable = {
    name: 'JOB_COMPLETION_INDEX',
    valueFrom: { fieldRef: { fieldPath: `metadata.labels['${INDEX}']` } },
  };
  const withIndex = <C extends { env?: unknown[] | undefined }>(container: C): C => ({
    ...container,
    env: [...(container.env ?? []), variable],
  });
  const pod = podFrom(job, {
    metadata: {
      ...template.metadata,
      labels: { ...template.metadata?.labels, [INDEX]: value },
      annotations: { ...template.metadata?.annotations, [INDEX]: value },
    },
    spec: {
      ...template.spec!,
      hostname: `${job.metadata?.name}-${index}`,
      containers: template.spec!.containers.map(withIndex),
      initContainers: template.spec!.initContainers?.map(withIndex),
    },
  });
  return { ...pod, metadata: { ...pod.metadata, generateName: `${job.metadata?.name}-${index}-` } };
}
