import { type Fields, isFields } from '../../object.ts';
import type { Strategy } from '../strategy.ts';

/** A job's pods carry its identity, and are selected by it. */
export const jobs: Strategy = {
  create(job) {
    const spec = job.spec ?? {};
    job.spec = spec;
    job.status = {};
    if (spec.manualSelector === true || !isFields(spec.template)) return;
    const { uid = '', name = '' } = job.metadata;
    const labels = {
      'batch.kubernetes.io/controller-uid': uid,
      'batch.kubernetes.io/job-name': name,
      'controller-uid': uid,
      'job-name': name,
    };
    const metadata = (spec.template.metadata ?? {}) as Fields;
    spec.template = {
      ...spec.template,
      metadata: { ...metadata, labels: { ...(metadata.labels as Fields | undefined), ...labels } },
    };
    spec.selector = { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } };
  },
};
