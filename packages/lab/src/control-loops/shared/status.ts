import type { KubeClient, KubeObject } from '@enid/kube';
import { isEqual } from './canonical.ts';

type Condition = {
  readonly type: string;
  readonly status: string;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly lastTransitionTime?: string | undefined;
};

/** Writes a status if it is another than there is. @throws ApiError Conflict when the object has changed since. */
export async function writeStatus<T extends KubeObject & { readonly status?: unknown }>(
  client: KubeClient,
  path: string,
  object: T,
  status: NonNullable<T['status']>,
): Promise<void> {
  if (isEqual(object.status ?? {}, status)) return;
  await client.replace(`${path}/status`, { ...object, status });
}

/** Conditions with one of them set; its time changes when its status does. */
export function withCondition<C extends Condition>(
  conditions: readonly C[] | undefined = [],
  condition: C,
): C[] {
  const before = conditions.find(({ type }) => type === condition.type);
  const lastTransitionTime =
    before?.status === condition.status ? before.lastTransitionTime : condition.lastTransitionTime;
  const next = { ...condition, lastTransitionTime };
  return before ? conditions.map((c) => (c === before ? { ...before, ...next } : c)) : [...conditions, next];
}

export const withoutCondition = <C extends Condition>(
  conditions: readonly C[] | undefined,
  type: string,
): C[] => (conditions ?? []).filter((c) => c.type !== type);
