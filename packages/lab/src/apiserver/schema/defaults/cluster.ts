/** Defaults of kinds that are about the cluster itself: storage, roles, webhooks, definitions. */
import type { Fields } from '../../object.ts';
import { each, made, set, sub } from './set.ts';

const RBAC = 'rbac.authorization.k8s.io';

export function defaultVolumeClaim(object: Fields): void {
  set(made(object, 'spec'), { volumeMode: 'Filesystem' });
  set(made(object, 'status'), { phase: 'Pending' });
}

export function defaultVolume(object: Fields): void {
  const spec = made(object, 'spec');
  set(spec, { persistentVolumeReclaimPolicy: 'Retain', volumeMode: 'Filesystem' });
  const host = sub(spec, 'hostPath');
  if (host) host.type ??= '';
  set(made(object, 'status'), { phase: 'Pending' });
}

export function defaultStorageClass(object: Fields): void {
  set(object, { reclaimPolicy: 'Delete', volumeBindingMode: 'Immediate' });
}

export function defaultDriver({ spec }: { spec?: Fields }): void {
  if (!spec) return;
  set(spec, {
    attachRequired: true,
    podInfoOnMount: false,
    storageCapacity: false,
    fsGroupPolicy: 'ReadWriteOnceWithFSType',
    volumeLifecycleModes: ['Persistent'],
    requiresRepublish: false,
    seLinuxMount: false,
  });
}

export function defaultBinding(object: Fields): void {
  const role = sub(object, 'roleRef');
  if (role) set(role, { apiGroup: RBAC });
  for (const subject of each(object, 'subjects')) {
    if (subject.kind === 'User' || subject.kind === 'Group') set(subject, { apiGroup: RBAC });
  }
}

export function defaultSecret(object: Fields): void {
  set(object, { type: 'Opaque' });
}

export function defaultPriorityClass(object: Fields): void {
  set(object, { preemptionPolicy: 'PreemptLowerPriority' });
}

export function defaultNode(object: Fields): void {
  const status = sub(object, 'status');
  const capacity = sub(status, 'capacity');
  if (status && capacity) set(status, { allocatable: capacity });
}

export function defaultWebhooks(object: Fields): void {
  for (const webhook of each(object, 'webhooks')) {
    set(webhook, {
      failurePolicy: 'Fail',
      matchPolicy: 'Equivalent',
      namespaceSelector: {},
      objectSelector: {},
      timeoutSeconds: 10,
      ...(object.kind === 'MutatingWebhookConfiguration' && { reinvocationPolicy: 'Never' }),
    });
    for (const rule of each(webhook, 'rules')) set(rule, { scope: '*' });
    defaultServicePort(sub(webhook, 'clientConfig'));
  }
}

export function defaultApiService({ spec }: { spec?: Fields }): void {
  defaultServicePort(spec);
}

export function defaultDefinition({ spec }: { spec?: Fields }): void {
  if (!spec) return;
  const names = made(spec, 'names');
  if (typeof names.kind === 'string' && names.kind !== '') {
    set(names, { singular: names.kind.toLowerCase(), listKind: `${names.kind}List` });
  }
  const conversion = made(spec, 'conversion');
  set(conversion, { strategy: 'None' });
  defaultServicePort(sub(sub(conversion, 'webhook'), 'clientConfig'));
}

function defaultServicePort(client: Fields | undefined): void {
  const service = sub(client, 'service');
  if (service) set(service, { port: 443 });
}

/** What a container of the namespace gets if it asks for nothing is at most what it may have. */
export function defaultLimitRange({ spec }: { spec?: Fields }): void {
  for (const item of each(spec, 'limits')) {
    if (item.type !== 'Container') continue;
    const limits = made(item, 'default');
    set(limits, sub(item, 'max') ?? {});
    const requests = made(item, 'defaultRequest');
    set(requests, limits);
    set(requests, sub(item, 'min') ?? {});
  }
}
