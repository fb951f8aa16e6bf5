/** Defaults of what makes pods (`pkg/apis/apps/v1`, `pkg/apis/batch/v1`, `pkg/apis/autoscaling/v2`). */
import type { Fields } from '../../object.ts';
import { defaultTemplate } from './pods.ts';
import { each, isUnset, made, set, sub } from './set.ts';

export function defaultDeployment({ spec }: { spec?: Fields }): void {
  if (!spec) return;
  set(spec, { replicas: 1, revisionHistoryLimit: 10, progressDeadlineSeconds: 600 });
  const strategy = made(spec, 'strategy');
  set(strategy, { type: 'RollingUpdate' });
  if (strategy.type === 'RollingUpdate') {
    set(made(strategy, 'rollingUpdate'), { maxSurge: '25%', maxUnavailable: '25%' });
  }
  defaultTemplate(spec);
}

export function defaultReplicaSet({ spec }: { spec?: Fields }): void {
  if (!spec) return;
  set(spec, { replicas: 1 });
  defaultTemplate(spec);
}

/** Labels of the template stand for those of the controller and for its selector. */
export function defaultReplicationController(object: Fields): void {
  const spec = sub(object, 'spec');
  const labels = sub(sub(sub(spec, 'template'), 'metadata'), 'labels');
  if (!spec) return;
  if (labels) {
    if (Object.keys(sub(spec, 'selector') ?? {}).length === 0) spec.selector = { ...labels };
    const metadata = made(object, 'metadata');
    if (Object.keys(sub(metadata, 'labels') ?? {}).length === 0) metadata.labels = { ...labels };
  }
  defaultReplicaSet({ spec });
}

export function defaultDaemonSet({ spec }: { spec?: Fields }): void {
  if (!spec) return;
  set(spec, { revisionHistoryLimit: 10 });
  const strategy = made(spec, 'updateStrategy');
  set(strategy, { type: 'RollingUpdate' });
  if (strategy.type === 'RollingUpdate') {
    set(made(strategy, 'rollingUpdate'), { maxUnavailable: 1, maxSurge: 0 });
  }
  defaultTemplate(spec);
}

export function defaultStatefulSet({ spec }: { spec?: Fields }): void {
  if (!spec) return;
  set(spec, { replicas: 1, revisionHistoryLimit: 10, podManagementPolicy: 'OrderedReady' });
  const strategy = made(spec, 'updateStrategy');
  set(strategy, { type: 'RollingUpdate' });
  if (strategy.type === 'RollingUpdate') set(made(strategy, 'rollingUpdate'), { partition: 0 });
  set(made(spec, 'persistentVolumeClaimRetentionPolicy'), { whenDeleted: 'Retain', whenScaled: 'Retain' });
  for (const claim of each(spec, 'volumeClaimTemplates')) {
    set(claim, { apiVersion: 'v1', kind: 'PersistentVolumeClaim' });
    set(made(claim, 'spec'), { volumeMode: 'Filesystem' });
    set(made(claim, 'status'), { phase: 'Pending' });
  }
  defaultTemplate(spec);
}

export function defaultJob(object: Fields): void {
  const spec = sub(object, 'spec');
  if (!spec) return;
  if (isUnset(spec.completions) && isUnset(spec.parallelism)) set(spec, { completions: 1 });
  set(spec, {
    parallelism: 1,
    backoffLimit: isUnset(spec.backoffLimitPerIndex) ? 6 : 2 ** 31 - 1,
    completionMode: 'NonIndexed',
    suspend: false,
    podReplacementPolicy: sub(spec, 'podFailurePolicy') ? 'Failed' : 'TerminatingOrFailed',
  });
  for (const rule of each(sub(spec, 'podFailurePolicy'), 'rules')) {
    for (const pattern of each(rule, 'onPodConditions')) set(pattern, { status: 'True' });
  }
  const labels = sub(sub(sub(spec, 'template'), 'metadata'), 'labels');
  const metadata = made(object, 'metadata');
  if (labels && Object.keys(sub(metadata, 'labels') ?? {}).length === 0) metadata.labels = { ...labels };
  defaultTemplate(spec);
}

export function defaultCronJob({ spec }: { spec?: Fields }): void {
  if (!spec) return;
  set(spec, {
    concurrencyPolicy: 'Allow',
    suspend: false,
    successfulJobsHistoryLimit: 3,
    failedJobsHistoryLimit: 1,
  });
  defaultTemplate(sub(sub(spec, 'jobTemplate'), 'spec'));
}

export function defaultAutoscaler({ spec }: { spec?: Fields }): void {
  if (!spec) return;
  set(spec, { minReplicas: 1 });
  if (each(spec, 'metrics').length === 0) {
    const target = { type: 'Utilization', averageUtilization: 80 };
    spec.metrics = [{ type: 'Resource', resource: { name: 'cpu', target } }];
  }
  const behavior = sub(spec, 'behavior');
  if (!behavior) return;
  const percent = { type: 'Percent', value: 100, periodSeconds: 15 };
  const up = made(behavior, 'scaleUp');
  set(up, { stabilizationWindowSeconds: 0, selectPolicy: 'Max' });
  if (each(up, 'policies').length === 0)
    up.policies = [{ type: 'Pods', value: 4, periodSeconds: 15 }, percent];
  const down = made(behavior, 'scaleDown');
  set(down, { selectPolicy: 'Max' });
  if (each(down, 'policies').length === 0) down.policies = [{ ...percent }];
}
