/** The files of volumes that hold what the API knows: configMap, secret, downwardAPI, projected. */

import type { ConfigMap, Pod, Secret, Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';
import { fieldValue, type NodeResources, type PodAddresses, resourceValue } from '../env/fields.ts';
import type { ObjectCache } from '../objects/object-cache.ts';
import { containersOf, namespaceOf, uidOf, type Volume } from '../pod.ts';
import type { VolumeFile } from './atomic-writer.ts';
import type { Tokens } from './tokens.ts';

export type PayloadSources = {
  readonly objects: ObjectCache;
  readonly tokens: Tokens;
  readonly nodeResources: NodeResources;
  readonly addresses: PodAddresses;
};

/** @param refreshAt when a token among the files wants to be renewed, in milliseconds since 1970. */
export type VolumeContent = { readonly files: Map<string, VolumeFile>; readonly refreshAt: number };

type Items = readonly Wire<k8s.V1KeyToPath>[] | undefined;
type Downward = readonly Wire<k8s.V1DownwardAPIVolumeFile>[] | undefined;

const DEFAULT_MODE = 0o644;
const DEFAULT_TOKEN_SECONDS = 3600;

/** Whether the volume is one of these. */
export function hasPayload({ configMap, secret, downwardAPI, projected }: Volume): boolean {
  return Boolean(configMap ?? secret ?? downwardAPI ?? projected);
}

/** @throws when something is missing that is not optional, with what. */
export async function contentOf(pod: Pod, volume: Volume, sources: PayloadSources): Promise<VolumeContent> {
  const { configMap, secret, downwardAPI, projected } = volume;
  const files = new Map<string, VolumeFile>();
  let refreshAt = Number.POSITIVE_INFINITY;

  type Reference = { name?: string | undefined; items?: Items; optional?: boolean | undefined };
  async function addObject(kind: 'configmap' | 'secret', ref: Reference, mode: number) {
    const object = await sources.objects.get(uidOf(pod), kind, namespaceOf(pod), ref.name ?? '');
    if (!object && !ref.optional) throw new Error(`${kind} "${ref.name}" not found`);
    const data = object ? dataOf(kind, object) : new Map<string, Buffer>();
    const items = ref.items ?? [...data.keys()].map((key) => ({ key, path: key, mode: undefined }));
    for (const { key, path, mode: own } of items) {
      const found = data.get(key);
      if (found) files.set(path, { data: found, mode: own ?? mode });
      else if (!ref.optional) throw new Error(`references non-existent ${kind} key: ${key}`);
    }
  }
  function addFields(items: Downward, mode: number) {
    for (const { path, fieldRef, resourceFieldRef, mode: own } of items ?? []) {
      const value = fieldRef
        ? fieldValue(pod, fieldRef.fieldPath, sources.addresses)
        : resourceOf(pod, resourceFieldRef!, sources.nodeResources);
      files.set(path, { data: Buffer.from(value), mode: own ?? mode });
    }
  }

  if (configMap) await addObject('configmap', configMap, configMap.defaultMode ?? DEFAULT_MODE);
  if (secret) {
    const { secretName, items, optional, defaultMode } = secret;
    await addObject('secret', { name: secretName, items, optional }, defaultMode ?? DEFAULT_MODE);
  }
  if (downwardAPI) addFields(downwardAPI.items, downwardAPI.defaultMode ?? DEFAULT_MODE);
  const mode = projected?.defaultMode ?? DEFAULT_MODE;
  for (const source of projected?.sources ?? []) {
    if (source.configMap) await addObject('configmap', source.configMap, mode);
    if (source.secret) await addObject('secret', source.secret, mode);
    if (source.downwardAPI) addFields(source.downwardAPI.items, mode);
    if (source.serviceAccountToken) {
      const { audience, expirationSeconds = DEFAULT_TOKEN_SECONDS, path } = source.serviceAccountToken;
      const token = await sources.tokens.get(pod, audience, expirationSeconds);
      files.set(path, { data: Buffer.from(token.token), mode });
      refreshAt = Math.min(refreshAt, token.refreshAt);
    }
  }
  return { files, refreshAt };
}

function dataOf(kind: 'configmap' | 'secret', object: ConfigMap | Secret): Map<string, Buffer> {
  const binary = kind === 'secret' ? object.data : (object as ConfigMap).binaryData;
  const text = kind === 'secret' ? {} : object.data;
  return new Map([
    ...Object.entries(text ?? {}).map(([key, value]) => [key, Buffer.from(value)] as const),
    ...Object.entries(binary ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')] as const),
  ]);
}

function resourceOf(pod: Pod, ref: Wire<k8s.V1ResourceFieldSelector>, node: NodeResources): string {
  const container = containersOf(pod).find(({ spec }) => spec.name === ref.containerName);
  if (!container) throw new Error(`resourceFieldRef names no container of the pod: ${ref.containerName}`);
  return resourceValue(container.spec, ref.resource, ref.divisor, node);
}
