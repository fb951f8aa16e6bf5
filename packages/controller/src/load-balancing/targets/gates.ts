/** Gives new pods the readiness gates of the target groups that they will be targets of. */
import { isNotFound, type KubeClient, type List, type Pod, type Service, selects } from '@enid/kube';
import type { Mutator, PatchOperation } from '../../webhook/server.ts';
import { bindingPath, readinessGate, type TargetGroupBinding } from './objects.ts';

/** Which gates a pod lacks. @param serviceOf finds a Service of its namespace; undefined when there is none. */
export async function missingGates(
  pod: Pod,
  bindings: readonly TargetGroupBinding[],
  serviceOf: (name: string) => Promise<Service | undefined>,
): Promise<string[]> {
  const gates = new Set(pod.spec?.readinessGates?.map(({ conditionType }) => conditionType));
  const missing: string[] = [];
  for (const { metadata, spec } of bindings) {
    const gate = readinessGate(metadata!.name!);
    if (spec.targetType !== 'ip' || metadata?.deletionTimestamp || gates.has(gate)) continue;
    const selector = (await serviceOf(spec.serviceRef.name))?.spec?.selector;
    // A Service without a selector selects nothing.
    if (selector && selects({ matchLabels: selector }, pod.metadata?.labels)) missing.push(gate);
  }
  return missing;
}

/** Asks the API server, so that what was made a moment ago counts: a pod that missed its gate cannot get it later. */
export function gateInjector(client: KubeClient): Mutator {
  return async ({ namespace, object }) => {
    const { items } = await client.get<List<TargetGroupBinding>>(bindingPath(namespace!));
    const services = new Map<string, Promise<Service | undefined>>();
    const serviceOf = (name: string) => {
      const found =
        services.get(name) ??
        client.get<Service>(`/api/v1/namespaces/${namespace}/services/${name}`).catch((error) => {
          if (isNotFound(error)) return undefined;
          throw error;
        });
      services.set(name, found);
      return found;
    };
    const pod = object as Pod;
    const value = (await missingGates(pod, items, serviceOf)).map((conditionType) => ({ conditionType }));
    if (value.length === 0) return [];
    if (!pod.spec?.readinessGates) return [{ op: 'add', path: '/spec/readinessGates', value }];
    return value.map((gate): PatchOperation => ({ op: 'add', path: '/spec/readinessGates/-', value: gate }));
  };
}
