/** What is wrong with the containers of a pod (`ValidateContainers` of `pkg/apis/core/validation`). */
import type { Fields } from '../../object.ts';
import { compareQuantities } from '../../schema/quantity.ts';
import { type Causes, error } from '../errors.ts';
import {
  configKey,
  dnsLabel,
  dnsSubdomain,
  envName,
  NOT_NEGATIVE,
  portName,
  portNumber,
  qualifiedName,
} from '../formats.ts';
import { each, has, number, sub, text } from '../read.ts';

const PROBES = ['livenessProbe', 'readinessProbe', 'startupProbe'] as const;
const HANDLERS = ['exec', 'httpGet', 'tcpSocket', 'grpc'];
const HOOK_HANDLERS = ['exec', 'httpGet', 'tcpSocket', 'sleep'];
const ENV_SOURCES = ['fieldRef', 'resourceFieldRef', 'configMapKeyRef', 'secretKeyRef', 'fileKeyRef'];
/** Resources whose names need no domain. */
const STANDARD_RESOURCES = /^(?:cpu|memory|ephemeral-storage|hugepages-.+)$/;
const POD_FIELDS = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];

/** What containers may refer to, and what they must not have twice. */
type Pod = {
  readonly volumes: ReadonlySet<string>;
  readonly names: Set<string>;
  readonly hostNetwork: boolean;
};

export function* validateContainers(spec: Fields, path: string, volumes: ReadonlySet<string>): Causes {
  const pod: Pod = { volumes, names: new Set(), hostNetwork: spec.hostNetwork === true };
  const containers = each(spec, 'containers', path);
  if (containers.length === 0) yield error.required(`${path}.containers`);
  const hostPorts = new Set<string>();
  for (const [container, at] of containers) {
    yield* validateContainer(container, at, pod);
    if (has(container, 'restartPolicy')) {
      // Allowed with the feature ContainerRestartRules, which is on from 1.35.
      yield* oneOf(container, 'restartPolicy', at, ['Always', 'Never', 'OnFailure']);
    }
    yield* validateHostPorts(container, at, hostPorts);
  }
  for (const [container, at] of each(spec, 'initContainers', path)) {
    yield* validateContainer(container, at, pod);
    const isSidecar = container.restartPolicy === 'Always';
    yield* oneOf(container, 'restartPolicy', at, ['Always', 'Never', 'OnFailure']);
    for (const name of isSidecar ? [] : [...PROBES, 'lifecycle']) {
      if (!has(container, name)) continue;
      yield error.forbidden(
        `${at}.${name}`,
        'may not be set for init containers without restartPolicy=Always',
      );
    }
  }
  for (const [container, at] of each(spec, 'ephemeralContainers', path)) {
    yield* validateContainer(container, at, pod);
    for (const name of [...PROBES, 'lifecycle', 'ports']) {
      if (has(container, name)) {
        yield error.forbidden(`${at}.${name}`, 'cannot be set for an Ephemeral Container');
      }
    }
  }
}

function* oneOf(object: Fields, name: string, path: string, values: readonly string[]): Causes {
  const value = object[name];
  if (has(object, name) && !values.includes(String(value))) {
    yield error.notSupported(`${path}.${name}`, value, values);
  }
}

function* validateContainer(container: Fields, path: string, pod: Pod): Causes {
  const name = text(container, 'name');
  if (name !== '') {
    for (const detail of dnsLabel(name)) yield error.invalid(`${path}.name`, name, detail);
    if (pod.names.has(name)) yield error.duplicate(`${path}.name`, name);
    pod.names.add(name);
  }
  const image = text(container, 'image');
  if (image === '') yield error.required(`${path}.image`);
  else if (image.trim() !== image) {
    yield error.invalid(`${path}.image`, image, 'must not have leading or trailing whitespace');
  }
  yield* validatePorts(container, path, pod);
  yield* validateEnv(container, path);
  yield* validateMounts(container, path, pod);
  yield* validateResources(sub(container, 'resources'), `${path}.resources`);
  for (const probe of PROBES) {
    if (has(container, probe)) yield* validateProbe(sub(container, probe), `${path}.${probe}`);
    const successes = number(sub(container, probe), 'successThreshold');
    if (probe !== 'readinessProbe' && successes !== undefined && successes !== 1) {
      yield error.invalid(`${path}.${probe}.successThreshold`, successes, 'must be 1');
    }
  }
  const lifecycle = sub(container, 'lifecycle');
  for (const hook of ['postStart', 'preStop']) {
    if (has(lifecycle, hook)) {
      yield* validateHandler(sub(lifecycle, hook), `${path}.lifecycle.${hook}`, HOOK_HANDLERS);
    }
  }
  const security = sub(container, 'securityContext');
  if (security.privileged === true && security.allowPrivilegeEscalation === false) {
    const detail = 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true';
    yield error.invalid(`${path}.securityContext`, security, detail);
  }
  for (const id of ['runAsUser', 'runAsGroup']) yield* notNegative(security, id, `${path}.securityContext`);
}

function* validatePorts(container: Fields, path: string, { hostNetwork }: Pod): Causes {
  const names = new Set<string>();
  for (const [port, at] of each(container, 'ports', path)) {
    const name = text(port, 'name');
    if (name !== '') {
      for (const detail of portName(name)) yield error.invalid(`${at}.name`, name, detail);
      if (names.has(name)) yield error.duplicate(`${at}.name`, name);
      names.add(name);
    }
    if (!port.containerPort) yield error.required(`${at}.containerPort`);
    else {
      for (const detail of portNumber(port.containerPort)) {
        yield error.invalid(`${at}.containerPort`, port.containerPort, detail);
      }
    }
    if (!port.hostPort) continue;
    for (const detail of portNumber(port.hostPort))
      yield error.invalid(`${at}.hostPort`, port.hostPort, detail);
    if (hostNetwork && port.hostPort !== port.containerPort) {
      const detail = 'must match `containerPort` when `hostNetwork` is true';
      yield error.invalid(`${at}.hostPort`, port.hostPort, detail);
    }
  }
}

function* validateHostPorts(container: Fields, path: string, taken: Set<string>): Causes {
  for (const [port, at] of each(container, 'ports', path)) {
    if (!port.hostPort) continue;
    const key = `${port.protocol ?? 'TCP'}/${port.hostIP ?? ''}/${port.hostPort}`;
    if (taken.has(key)) yield error.duplicate(`${at}.hostPort`, key);
    taken.add(key);
  }
}

function* validateEnv(container: Fields, path: string): Causes {
  for (const [variable, at] of each(container, 'env', path)) {
    const name = text(variable, 'name');
    if (name !== '') for (const detail of envName(name)) yield error.invalid(`${at}.name`, name, detail);
    if (has(variable, 'valueFrom')) yield* validateSource(variable, `${at}.valueFrom`);
  }
  for (const [source, at] of each(container, 'envFrom', path)) {
    const kinds = ['configMapRef', 'secretRef'].filter((kind) => has(source, kind));
    if (kinds.length === 0) yield error.invalid(at, '', 'must specify one of: `configMapRef` or `secretRef`');
    if (kinds.length > 1) yield error.invalid(at, '', 'may not have more than one field specified at a time');
    for (const kind of kinds) {
      const name = text(sub(source, kind), 'name');
      if (name === '') yield error.required(`${at}.${kind}.name`);
      else for (const detail of dnsSubdomain(name)) yield error.invalid(`${at}.${kind}.name`, name, detail);
    }
  }
}

function* validateSource(variable: Fields, path: string): Causes {
  const source = sub(variable, 'valueFrom');
  const kinds = ENV_SOURCES.filter((kind) => has(source, kind));
  if (kinds.length === 0) {
    const detail =
      'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`';
    yield error.invalid(path, '', detail);
  } else if (text(variable, 'value') !== '') {
    yield error.invalid(path, '', 'may not be specified when `value` is not empty');
  } else if (kinds.length > 1) {
    yield error.invalid(path, '', 'may not have more than one field specified at a time');
  }
  if (has(source, 'fieldRef'))
    yield* validateFieldRef(sub(source, 'fieldRef'), `${path}.fieldRef`, POD_FIELDS);
  for (const kind of ['configMapKeyRef', 'secretKeyRef']) {
    const key = text(sub(source, kind), 'key');
    if (key !== '')
      for (const detail of configKey(key)) yield error.invalid(`${path}.${kind}.key`, key, detail);
    if (has(source, kind) && text(sub(source, kind), 'name') === '')
      yield error.required(`${path}.${kind}.name`);
  }
}

/** @param fields those that have no key, beside labels and annotations. */
export function* validateFieldRef(reference: Fields, path: string, fields: readonly string[]): Causes {
  const fieldPath = text(reference, 'fieldPath');
  if (fieldPath === '' || fields.includes(fieldPath)) return;
  const keyed = /^metadata\.(?:labels|annotations)\['(.+)'\]$/.exec(fieldPath);
  if (keyed) {
    for (const detail of qualifiedName(keyed[1]!)) yield error.invalid(`${path}.fieldPath`, keyed[1], detail);
  } else yield error.notSupported(`${path}.fieldPath`, fieldPath, fields);
}

function* validateMounts(container: Fields, path: string, { volumes }: Pod): Causes {
  const points = new Set<string>();
  for (const [mount, at] of each(container, 'volumeMounts', path)) {
    const [name, mountPath] = [text(mount, 'name'), text(mount, 'mountPath')];
    if (name !== '' && !volumes.has(name)) yield error.notFound(`${at}.name`, name);
    if (points.has(mountPath)) yield error.invalid(`${at}.mountPath`, mountPath, 'must be unique');
    points.add(mountPath);
    for (const kind of ['subPath', 'subPathExpr']) {
      yield* relativePath(text(mount, kind), `${at}.${kind}`);
    }
    if (text(mount, 'subPath') !== '' && text(mount, 'subPathExpr') !== '') {
      yield error.invalid(
        `${at}.subPathExpr`,
        mount.subPathExpr,
        'subPathExpr and subPath are mutually exclusive',
      );
    }
  }
  for (const [device, at] of each(container, 'volumeDevices', path)) {
    const name = text(device, 'name');
    if (name !== '' && !volumes.has(name)) yield error.notFound(`${at}.name`, name);
  }
}

export function* relativePath(value: string, path: string): Causes {
  if (value.startsWith('/')) yield error.invalid(path, value, 'must be a relative path');
  if (value.split('/').includes('..')) yield error.invalid(path, value, "must not contain '..'");
}

export function* validateResources(resources: Fields, path: string): Causes {
  const [limits, requests] = [sub(resources, 'limits'), sub(resources, 'requests')];
  for (const [list, amounts] of Object.entries({ limits, requests })) {
    for (const [name, amount] of Object.entries(amounts)) {
      const at = `${path}.${list}[${name}]`;
      for (const detail of qualifiedName(name)) yield error.invalid(at, name, detail);
      if (!name.includes('/') && !STANDARD_RESOURCES.test(name)) {
        yield error.invalid(at, name, 'must be a standard resource for containers');
      }
      if (compareQuantities(String(amount), '0') < 0) yield error.invalid(at, amount, NOT_NEGATIVE);
      if (name.includes('/') && /[num]$|\./.test(String(amount))) {
        yield error.invalid(at, amount, 'must be an integer');
      }
    }
  }
  for (const [name, request] of Object.entries(requests)) {
    const limit = limits[name];
    const isShared = !name.includes('/');
    const order = limit === undefined ? 0 : compareQuantities(String(request), String(limit));
    if (isShared && order > 0) {
      const detail = `must be less than or equal to ${name} limit of ${limit}`;
      yield error.invalid(`${path}.requests`, request, detail);
    } else if (!isShared && limit === undefined) {
      yield error.required(`${path}.limits`, 'Limit must be set for non overcommitable resources');
    } else if (!isShared && order !== 0) {
      yield error.invalid(`${path}.requests`, request, `must be equal to ${name} limit of ${limit}`);
    }
  }
}

function* validateProbe(probe: Fields, path: string): Causes {
  yield* validateHandler(probe, path, HANDLERS);
  for (const name of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ]) {
    yield* notNegative(probe, name, path);
  }
}

function* validateHandler(handler: Fields, path: string, kinds: readonly string[]): Causes {
  const [kind, ...others] = kinds.filter((name) => has(handler, name));
  if (!kind) {
    yield error.required(path, 'must specify a handler type');
    return;
  }
  for (const other of others)
    yield error.forbidden(`${path}.${other}`, 'may not specify more than 1 handler type');
  const action = sub(handler, kind);
  if (kind === 'exec') {
    if (!Array.isArray(action.command) || action.command.length === 0)
      yield error.required(`${path}.exec.command`);
    return;
  }
  if (kind === 'sleep') return;
  const { port } = action;
  const isName = typeof port === 'string' && !/^\d+$/.test(port);
  const details = isName ? portName(port) : portNumber(typeof port === 'string' ? Number(port) : port);
  for (const detail of details) yield error.invalid(`${path}.${kind}.port`, port ?? 0, detail);
}

export function* notNegative(object: Fields, name: string, path: string): Causes {
  const value = number(object, name);
  if (value !== undefined && value < 0) yield error.invalid(`${path}.${name}`, value, NOT_NEGATIVE);
}
