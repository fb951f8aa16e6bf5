/** Defaults of kinds that are about the cluster itself: roles, classes, nodes, definitions. */
import type { Fields } from '../../object.ts';
import { each, made, set, sub } from './set.ts';

const RBAC = 'rbac.authorization.k8s.io';

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

export function defaultWebhooks(object: Fields): void {
  const isMutating = object.kind === 'MutatingWebhookConfiguration';
  for (const webhook of each(object, 'webhooks')) {
    set(webhook, {
      failurePolicy: 'Fail',
      matchPolicy: 'Equivalent',
      namespaceSelector: {},
      objectSelector: {},
      timeoutSeconds: 10,
      ...(isMutating && { reinvocationPolicy: 'Never' }),
    });
    for (const rule of each(webhook, 'rules')) set(rule, { scope: '*' });
    defaultServicePort(sub(webhook, 'clientConfig'));
  }
}

function defaultServicePort(client: Fields | undefined): void {
  const service = sub(client, 'service');
  if (service) set(service, { port: 443 });
}
