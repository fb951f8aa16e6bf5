/** Defaults of what makes pods (`pkg/apis/apps/v1`, `pkg/apis/batch/v1`). */
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
