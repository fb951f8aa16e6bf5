/** What is wrong with pods, and with templates of pods (`ValidatePodSpec`, `ValidatePodUpdate`). */
import type { Fields, KubeObject } from '../../object.ts';
import { isEqual } from '../../patch/equal.ts';
import { type Causes, error } from '../errors.ts';
import { dnsLabel, dnsSubdomain, inRange, ipAddress, qualifiedName } from '../formats.ts';
import { validateAnnotations, validateLabels } from '../metadata.ts';
import { each, has, number, sub, text, texts } from '../read.ts';
import { validateAffinity, validateSelector } from '../selectors.ts';
import { notNegative, validateContainers, validateResources } from './containers.ts';
import { validateVolumes, volumeNames } from './volumes.ts';

const MOST_INT32 = 2 ** 31 - 1;
const MOST_NAMESERVERS = 3;
const UPDATE_DETAIL =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

export function validatePod({ spec = {} }: KubeObject): Causes {
  return validatePodSpec(spec, 'spec');
}

/** @param path of the template, `spec.template`. */
export function* validateTemplate(template: Fields, path: string): Causes {
  const metadata = sub(template, 'metadata');
  yield* validateLabels(metadata.labels, `${path}.labels`);
  yield* validateAnnotations(metadata.annotations, `${path}.annotations`);
  const spec = sub(template, 'spec');
  yield* validatePodSpec(spec, `${path}.spec`);
  if (each(spec, 'ephemeralContainers', '').length > 0) {
    yield error.forbidden(
      `${path}.spec.ephemeralContainers`,
      'ephemeral containers not allowed in pod template',
    );
  }
}

export function* validatePodSpec(spec: Fields, path: string): Causes {
  yield* validateVolumes(spec, path);
  yield* validateContainers(spec, path, volumeNames(spec));
  if (has(spec, 'resources')) yield* validateResources(sub(spec, 'resources'), `${path}.resources`);
  yield* notNegative(spec, 'terminationGracePeriodSeconds', path);
  const deadline = number(spec, 'activeDeadlineSeconds');
  if (deadline !== undefined) {
    const at = `${path}.activeDeadlineSeconds`;
    for (const detail of inRange(deadline, 1, MOST_INT32)) yield error.invalid(at, deadline, detail);
  }
  yield* validateLabels(spec.nodeSelector, `${path}.nodeSelector`);
  yield* validateNames(spec, path);
  yield* validateDns(spec, path);
  yield* validateTolerations(spec, path);
  yield* validateAffinity(sub(spec, 'affinity'), `${path}.affinity`);
  yield* validateSpread(spec, path);
  for (const [alias, at] of each(spec, 'hostAliases', path)) {
    const ip = text(alias, 'ip');
    if (ip !== '') for (const detail of ipAddress(ip)) yield error.invalid(`${at}.ip`, ip, detail);
    for (const [index, name] of texts(alias, 'hostnames').entries()) {
      for (const detail of dnsSubdomain(name)) yield error.invalid(`${at}.hostnames[${index}]`, name, detail);
    }
  }
  const security = sub(spec, 'securityContext');
  for (const id of ['runAsUser', 'runAsGroup', 'fsGroup']) {
    yield* notNegative(security, id, `${path}.securityContext`);
  }
}

function* validateNames(spec: Fields, path: string): Causes {
  const forms = {
    hostname: dnsLabel,
    subdomain: dnsLabel,
    serviceAccountName: dnsSubdomain,
    nodeName: dnsSubdomain,
    priorityClassName: dnsSubdomain,
    runtimeClassName: dnsSubdomain,
    schedulerName: qualifiedName,
  };
  for (const [name, form] of Object.entries(forms)) {
    const value = text(spec, name);
    if (value !== '') for (const detail of form(value)) yield error.invalid(`${path}.${name}`, value, detail);
  }
  const gates = new Set<string>();
  for (const [gate, at] of each(spec, 'schedulingGates', path)) {
    const name = text(gate, 'name');
    for (const detail of name === '' ? [] : qualifiedName(name)) yield error.invalid(at, name, detail);
    if (gates.has(name)) yield error.duplicate(at, name);
    gates.add(name);
  }
}

function* validateDns(spec: Fields, path: string): Causes {
  const servers = texts(sub(spec, 'dnsConfig'), 'nameservers');
  if (spec.dnsPolicy === 'None') {
    if (!has(spec, 'dnsConfig')) {
      yield error.required(`${path}.dnsConfig`, 'must provide `dnsConfig` when `dnsPolicy` is None');
    } else if (servers.length === 0) {
      const detail = 'must provide at least one DNS nameserver when `dnsPolicy` is None';
      yield error.required(`${path}.dnsConfig.nameservers`, detail);
    }
  }
  if (servers.length > MOST_NAMESERVERS) {
    const detail = `must not have more than ${MOST_NAMESERVERS} nameservers`;
    yield error.invalid(`${path}.dnsConfig.nameservers`, servers, detail);
  }
  for (const [index, server] of servers.entries()) {
    for (const detail of ipAddress(server)) {
      yield error.invalid(`${path}.dnsConfig.nameservers[${index}]`, server, detail);
    }
  }
}

function* validateTolerations(spec: Fields, path: string): Causes {
  for (const [toleration, at] of each(spec, 'tolerations', path)) {
    const [key, operator] = [text(toleration, 'key'), text(toleration, 'operator')];
    if (key !== '') for (const detail of qualifiedName(key)) yield error.invalid(`${at}.key`, key, detail);
    else if (operator !== 'Exists') {
      const detail =
        'operator must be Exists when `key` is empty, which means "match all values and all keys"';
      yield error.invalid(`${at}.operator`, operator, detail);
    }
    if (operator === 'Exists' && text(toleration, 'value') !== '') {
      const detail = "value must be empty when `operator` is 'Exists'";
      yield error.invalid(`${at}.operator`, toleration, detail);
    }
    if (has(toleration, 'tolerationSeconds') && toleration.effect !== 'NoExecute') {
      const detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
      yield error.invalid(`${at}.effect`, toleration.effect ?? '', detail);
    }
  }
}

function* validateSpread(spec: Fields, path: string): Causes {
  const seen = new Set<string>();
  for (const [constraint, at] of each(spec, 'topologySpreadConstraints', path)) {
    const skew = number(constraint, 'maxSkew') ?? 0;
    if (skew <= 0) yield error.invalid(`${at}.maxSkew`, skew, 'must be greater than zero');
    const key = `{${constraint.topologyKey}, ${constraint.whenUnsatisfiable}}`;
    if (seen.has(key)) yield error.duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, key);
    seen.add(key);
    if (has(constraint, 'labelSelector')) {
      yield* validateSelector(sub(constraint, 'labelSelector'), `${at}.labelSelector`);
    }
  }
}

/** Fields that only subresources write, or that have rules of their own. */
const NOT_COMPARED = ['ephemeralContainers', 'schedulingGates'];

export function* validatePodUpdate({ spec = {} }: KubeObject, { spec: was = {} }: KubeObject): Causes {
  for (const list of ['containers', 'initContainers']) {
    const [before, after] = [each(was, list, 'spec'), each(spec, list, 'spec')];
    if (before.length !== after.length) {
      const detail = 'pod updates may not add or remove containers';
      yield error.forbidden(`spec.${list}`, detail);
      return;
    }
  }
  const [deadline, deadlineWas] = [
    number(spec, 'activeDeadlineSeconds'),
    number(was, 'activeDeadlineSeconds'),
  ];
  if (deadlineWas !== undefined && (deadline === undefined || deadline > deadlineWas)) {
    const detail =
      deadline === undefined
        ? 'must not update from a positive integer to nil value'
        : 'must be less than or equal to previous value';
    yield error.invalid('spec.activeDeadlineSeconds', deadline ?? null, detail);
  }
  const gates = (object: Fields): string[] =>
    each(object, 'schedulingGates', '').map(([gate]) => text(gate, 'name'));
  const added = gates(spec).filter((name) => !gates(was).includes(name));
  if (added.length > 0) {
    const detail = 'only deletion is allowed, but found new scheduling gate';
    for (const name of added) yield error.forbidden('spec.schedulingGates', `${detail} '${name}'`);
  }
  const [tolerations, tolerationsWas] = [each(spec, 'tolerations', ''), each(was, 'tolerations', '')];
  const kept = tolerationsWas.every(([old]) =>
    tolerations.some(([next]) =>
      isEqual({ ...next, tolerationSeconds: 0 }, { ...old, tolerationSeconds: 0 }),
    ),
  );
  if (!kept)
    yield error.forbidden(
      'spec.tolerations',
      'existing toleration can not be modified except its tolerationSeconds',
    );
  if (!isEqual(fixed(spec, spec), fixed(was, spec))) yield error.forbidden('spec', UPDATE_DETAIL);
}

/** What of a pod cannot change. @param next after the change: what it may change is taken from it. */
function fixed(spec: Fields, next: Fields): Fields {
  const images = (list: string): Fields[] =>
    each(spec, list, '').map(([container], index) => ({
      ...container,
      image: each(next, list, '')[index]?.[0].image,
    }));
  const copy: Fields = {
    ...spec,
    containers: images('containers'),
    ...(has(spec, 'initContainers') && { initContainers: images('initContainers') }),
    activeDeadlineSeconds: undefined,
    tolerations: undefined,
  };
  for (const name of NOT_COMPARED) copy[name] = undefined;
  // While it is held from nodes, a pod may be made to ask for less of them.
  if (each(spec, 'schedulingGates', '').length > 0 || each(next, 'schedulingGates', '').length > 0) {
    copy.nodeSelector = undefined;
    copy.affinity = undefined;
  }
  const grace = number(spec, 'terminationGracePeriodSeconds');
  if (grace !== undefined && grace < 0) copy.terminationGracePeriodSeconds = 1;
  return JSON.parse(JSON.stringify(copy)) as Fields;
}
