/** Defaults of pods and of templates of pods (`pkg/apis/core/v1/defaults.go`). */
import type { Fields } from '../../object.ts';
import { each, isUnset, made, set, sub } from './set.ts';

/** 0644, octal. */
const FILE_MODE = 420;

export function defaultPod(pod: Fields): void {
  const spec = made(pod, 'spec');
  for (const container of [...each(spec, 'containers'), ...each(spec, 'initContainers')]) {
    const resources = sub(container, 'resources');
    const limits = sub(resources, 'limits');
    if (resources && limits) set(made(resources, 'requests'), limits);
  }
  set(spec, { enableServiceLinks: true });
  defaultPodSpec(spec);
}

export function defaultTemplate(owner: Fields | undefined, name = 'template'): void {
  const template = sub(owner, name);
  if (template) defaultPodSpec(made(template, 'spec'));
}

export function defaultPodSpec(spec: Fields): void {
  set(spec, {
    dnsPolicy: 'ClusterFirst',
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    securityContext: {},
    schedulerName: 'default-scheduler',
  });
  if (!isUnset(spec.serviceAccountName)) set(spec, { serviceAccount: spec.serviceAccountName });
  else if (!isUnset(spec.serviceAccount)) set(spec, { serviceAccountName: spec.serviceAccount });
  for (const list of ['containers', 'initContainers', 'ephemeralContainers']) {
    for (const container of each(spec, list)) defaultContainer(container, spec.hostNetwork === true);
  }
  for (const volume of each(spec, 'volumes')) defaultVolume(volume);
}

function defaultContainer(container: Fields, hostNetwork: boolean): void {
  const image = typeof container.image === 'string' ? container.image : '';
  set(container, {
    resources: {},
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    imagePullPolicy: isLatest(image) ? 'Always' : 'IfNotPresent',
  });
  for (const port of each(container, 'ports')) {
    set(port, { protocol: 'TCP' });
    if (hostNetwork && !port.hostPort) port.hostPort = port.containerPort;
  }
  for (const variable of each(container, 'env')) {
    const reference = sub(sub(variable, 'valueFrom'), 'fieldRef');
    if (reference) set(reference, { apiVersion: 'v1' });
  }
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe'])
    defaultProbe(sub(container, probe));
  const lifecycle = sub(container, 'lifecycle');
  for (const hook of ['postStart', 'preStop']) defaultGet(sub(sub(lifecycle, hook), 'httpGet'));
}

/** Whether an image has no tag and no digest, or the tag `latest`. */
function isLatest(image: string): boolean {
  if (image.includes('@')) return false;
  const tag = /:([^/:]+)$/.exec(image)?.[1];
  return tag === undefined || tag === 'latest';
}

function defaultProbe(probe: Fields | undefined): void {
  if (!probe) return;
  for (const name of ['timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold']) {
    if (probe[name] === 0) delete probe[name];
  }
  set(probe, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 });
  defaultGet(sub(probe, 'httpGet'));
  const grpc = sub(probe, 'grpc');
  if (grpc && grpc.service === undefined) grpc.service = '';
}

function defaultGet(get: Fields | undefined): void {
  if (get) set(get, { path: '/', scheme: 'HTTP' });
}

function defaultVolume(volume: Fields): void {
  if (Object.keys(volume).every((name) => name === 'name')) volume.emptyDir = {};
  for (const kind of ['secret', 'configMap', 'downwardAPI', 'projected']) {
    const source = sub(volume, kind);
    if (source) set(source, { defaultMode: FILE_MODE });
  }
  const host = sub(volume, 'hostPath');
  if (host) host.type ??= '';
  for (const item of each(sub(volume, 'downwardAPI'), 'items')) defaultFieldRef(item);
  for (const source of each(sub(volume, 'projected'), 'sources')) {
    const token = sub(source, 'serviceAccountToken');
    if (token) set(token, { expirationSeconds: 3600 });
    for (const item of each(sub(source, 'downwardAPI'), 'items')) defaultFieldRef(item);
  }
  const claim = sub(sub(sub(volume, 'ephemeral'), 'volumeClaimTemplate'), 'spec');
  if (claim) set(claim, { volumeMode: 'Filesystem' });
}

function defaultFieldRef(item: Fields): void {
  const reference = sub(item, 'fieldRef');
  if (reference) set(reference, { apiVersion: 'v1' });
}
