import type { Pod, Service } from '@enid/kube';
import { configError } from '../objects/errors.ts';
import type { ObjectCache } from '../objects/object-cache.ts';
import { type Container, namespaceOf, uidOf } from '../pod.ts';
import { expand } from './expand.ts';
import { fieldValue, type NodeResources, type PodAddresses, resourceValue } from './fields.ts';
import { linkedServices, serviceEnvironment } from './service-env.ts';

export type EnvironmentSources = {
  readonly objects: ObjectCache;
  readonly services: () => readonly Service[];
  readonly nodeResources: NodeResources;
};

/**
 * The environment of a container: services first, then `envFrom`, then `env`; later ones win.
 * @throws {ContainerError} CreateContainerConfigError when it takes values from an object that is not there.
 */
export async function environmentOf(
  pod: Pod,
  container: Container,
  addresses: PodAddresses,
  { objects, services, nodeResources }: EnvironmentSources,
): Promise<Map<string, string>> {
  const namespace = namespaceOf(pod);
  const links = pod.spec?.enableServiceLinks ?? true;
  const env = serviceEnvironment(linkedServices(services(), namespace, links));

  /** The strings of a config map or secret; undefined when it is missing and may be. */
  async function data(kind: 'configmap' | 'secret', name: string, optional = false) {
    const object = await objects.get(uidOf(pod), kind, namespace, name);
    if (!object) {
      if (optional) return undefined;
      throw configError(`${kind} "${name}" not found`);
    }
    const decode = kind === 'secret' ? (value: string) => Buffer.from(value, 'base64').toString() : String;
    return new Map(Object.entries(object.data ?? {}).map(([key, value]) => [key, decode(value)]));
  }

  async function one(
    kind: 'configmap' | 'secret',
    ref: { name?: string | undefined; key: string; optional?: boolean | undefined },
  ) {
    const values = await data(kind, ref.name ?? '', ref.optional);
    const value = values?.get(ref.key);
    if (value === undefined && values && !ref.optional)
      throw configError(`couldn't find key ${ref.key} in ${kind} ${namespace}/${ref.name}`);
    return value;
  }

  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const all = configMapRef
      ? await data('configmap', configMapRef.name ?? '', configMapRef.optional)
      : secretRef && (await data('secret', secretRef.name ?? '', secretRef.optional));
    for (const [key, value] of all ?? []) env.set(prefix + key, value);
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    const from = valueFrom ?? {};
    let result: string | undefined;
    if (from.configMapKeyRef) result = await one('configmap', from.configMapKeyRef);
    else if (from.secretKeyRef) result = await one('secret', from.secretKeyRef);
    else if (from.fieldRef) result = fieldValue(pod, from.fieldRef.fieldPath, addresses);
    else if (from.resourceFieldRef) {
      const { resource, divisor } = from.resourceFieldRef;
      result = resourceValue(container, resource, divisor, nodeResources);
    } else result = expand(value ?? '', (other) => env.get(other));
    if (result !== undefined) env.set(name, result);
  }
  return env;
}
