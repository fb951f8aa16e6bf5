/** What is wrong with controllers of pods (`pkg/apis/apps/validation`, `batch/validation`, `policy/validation`). */
import type { Fields, KubeObject } from '../object.ts';
import { isEqual } from '../patch/equal.ts';
import { type Causes, error, IMMUTABLE } from './errors.ts';
import { NOT_NEGATIVE, percent } from './formats.ts';
import { notNegative } from './pods/containers.ts';
import { validateTemplate } from './pods/pods.ts';
import { has, number, sub, text } from './read.ts';
import { isEmptySelector, matches, validateSelector } from './selectors.ts';

const STATEFUL_SET_UPDATE =
  "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const STATEFUL_SET_MAY_CHANGE = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
];

/** What all of them have: a selector of their pods, and a template that the selector matches. */
function* validateController(object: KubeObject): Causes {
  const { spec = {}, kind } = object;
  for (const name of ['replicas', 'minReadySeconds', 'revisionHistoryLimit'])
    yield* notNegative(spec, name, 'spec');
  const template = sub(spec, 'template');
  if (!has(spec, 'selector')) yield error.required('spec.selector');
  else {
    const selector = sub(spec, 'selector');
    yield* validateSelector(selector, 'spec.selector');
    const labels = sub(sub(template, 'metadata'), 'labels');
    if (isEmptySelector(selector)) {
      yield error.invalid('spec.selector', selector, `empty selector is invalid for ${kind.toLowerCase()}`);
    } else if (!matches(selector, labels)) {
      const detail = '`selector` does not match template `labels`';
      yield error.invalid('spec.template.metadata.labels', labels, detail);
    }
  }
  yield* validateTemplate(template, 'spec.template');
  yield* alwaysRestarting(template, 'spec.template', kind);
}

function* alwaysRestarting(template: Fields, path: string, kind: string): Causes {
  const pod = sub(template, 'spec');
  const policy = text(pod, 'restartPolicy');
  if (policy !== '' && policy !== 'Always') {
    yield error.notSupported(`${path}.spec.restartPolicy`, policy, ['Always']);
  }
  if (has(pod, 'activeDeadlineSeconds')) {
    yield error.forbidden(
      `${path}.spec.activeDeadlineSeconds`,
      `activeDeadlineSeconds in ${kind} is not Supported`,
    );
  }
}

export function* validateReplicaSet(object: KubeObject): Causes {
  yield* validateController(object);
}

export function* validateDeployment(object: KubeObject): Causes {
  yield* validateController(object);
  const { spec = {} } = object;
  const strategy = sub(spec, 'strategy');
  if (strategy.type === 'Recreate' && has(strategy, 'rollingUpdate')) {
    const detail = "may not be specified when strategy `type` is 'Recreate'";
    yield error.forbidden('spec.strategy.rollingUpdate', detail);
  } else yield* validateRolling(sub(strategy, 'rollingUpdate'), 'spec.strategy.rollingUpdate');
  const [progress, ready] = [number(spec, 'progressDeadlineSeconds'), number(spec, 'minReadySeconds') ?? 0];
  if (progress === undefined) return;
  if (progress < 0) yield error.invalid('spec.progressDeadlineSeconds', progress, NOT_NEGATIVE);
  else if (progress <= ready) {
    yield error.invalid('spec.progressDeadlineSeconds', progress, 'must be greater than minReadySeconds');
  }
}

export function* validateDaemonSet(object: KubeObject): Causes {
  yield* validateController(object);
  const strategy = sub(object.spec, 'updateStrategy');
  if (strategy.type !== 'RollingUpdate') return;
  const path = 'spec.updateStrategy.rollingUpdate';
  yield* validateRolling(sub(strategy, 'rollingUpdate'), path);
  const { maxSurge, maxUnavailable } = sub(strategy, 'rollingUpdate');
  if (!isZero(maxSurge) && !isZero(maxUnavailable)) {
    yield error.invalid(`${path}.maxSurge`, maxSurge, 'may not be set when maxUnavailable is non-zero');
  }
}

/** Replacing pods one after another needs one more or one less of them. */
function* validateRolling(rolling: Fields, path: string): Causes {
  for (const name of ['maxUnavailable', 'maxSurge']) yield* amount(rolling, name, path);
  const { maxSurge, maxUnavailable } = rolling;
  if (has(rolling, 'maxUnavailable') && isZero(maxUnavailable) && isZero(maxSurge)) {
    yield error.invalid(`${path}.maxUnavailable`, maxUnavailable, 'may not be 0 when `maxSurge` is 0');
  }
  if (typeof maxUnavailable === 'string' && Number.parseInt(maxUnavailable, 10) > 100) {
    yield error.invalid(`${path}.maxUnavailable`, maxUnavailable, 'must not be greater than 100%');
  }
}

function isZero(value: unknown): boolean {
  return value === undefined || value === 0 || value === '0%';
}

/** A number, or a percentage. */
function* amount(object: Fields, name: string, path: string): Causes {
  const value = object[name];
  if (typeof value === 'string')
    for (const detail of percent(value)) yield error.invalid(`${path}.${name}`, value, detail);
  yield* notNegative(object, name, path);
}

export function* validateStatefulSet(object: KubeObject): Causes {
  yield* validateController(object);
  const rolling = sub(sub(object.spec, 'updateStrategy'), 'rollingUpdate');
  yield* notNegative(rolling, 'partition', 'spec.updateStrategy.rollingUpdate');
}

export function* validateSelectorUpdate({ spec = {} }: KubeObject, { spec: was = {} }: KubeObject): Causes {
  if (!isEqual(spec.selector, was.selector)) yield error.invalid('spec.selector', spec.selector, IMMUTABLE);
}

export function* validateStatefulSetUpdate(
  { spec = {} }: KubeObject,
  { spec: was = {} }: KubeObject,
): Causes {
  const fixed = (object: Fields): [string, unknown][] =>
    Object.entries(object).filter(([name]) => !STATEFUL_SET_MAY_CHANGE.includes(name));
  if (!isEqual(Object.fromEntries(fixed(spec)), Object.fromEntries(fixed(was)))) {
    yield error.forbidden('spec', STATEFUL_SET_UPDATE);
  }
}

export function* validateJob(object: KubeObject): Causes {
  const { spec = {} } = object;
  yield* validateJobSpec(spec, 'spec');
  if (!has(spec, 'selector')) return;
  const selector = sub(spec, 'selector');
  yield* validateSelector(selector, 'spec.selector');
  const labels = sub(sub(sub(spec, 'template'), 'metadata'), 'labels');
  if (!matches(selector, labels)) {
    yield error.invalid(
      'spec.template.metadata.labels',
      labels,
      '`selector` does not match template `labels`',
    );
  }
}

function* validateJobSpec(spec: Fields, path: string): Causes {
  for (const name of [
    'parallelism',
    'completions',
    'activeDeadlineSeconds',
    'backoffLimit',
    'backoffLimitPerIndex',
    'maxFailedIndexes',
    'ttlSecondsAfterFinished',
  ]) {
    yield* notNegative(spec, name, path);
  }
  if (spec.completionMode === 'Indexed' && !has(spec, 'completions')) {
    yield error.required(`${path}.completions`, 'when completion mode is Indexed');
  }
  const template = sub(spec, 'template');
  yield* validateTemplate(template, `${path}.template`);
  const policy = text(sub(template, 'spec'), 'restartPolicy');
  const at = `${path}.template.spec.restartPolicy`;
  if (policy === '' || policy === 'Always') {
    // What leaves it out has got the default.
    yield error.required(at, 'valid values: "OnFailure", "Never"');
  }
}

export function* validateJobUpdate({ spec = {} }: KubeObject, { spec: was = {} }: KubeObject): Causes {
  for (const name of ['completions', 'completionMode', 'podFailurePolicy', 'backoffLimitPerIndex']) {
    // Of an indexed job the number may change together with how many run at once.
    const isElastic =
      name === 'completions' && spec.completionMode === 'Indexed' && spec.completions === spec.parallelism;
    if (!isElastic && !isEqual(spec[name], was[name]))
      yield error.invalid(`spec.${name}`, spec[name] ?? null, IMMUTABLE);
  }
  if (!isEqual(spec.selector, was.selector)) yield error.invalid('spec.selector', spec.selector, IMMUTABLE);
  if (was.suspend !== true && !isEqual(spec.template, was.template)) {
    yield error.invalid('spec.template', spec.template, IMMUTABLE);
  }
}

export function* validateBudget({ spec = {} }: KubeObject): Causes {
  if (has(spec, 'minAvailable') && has(spec, 'maxUnavailable')) {
    yield error.invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set');
  }
  for (const name of ['minAvailable', 'maxUnavailable']) yield* amount(spec, name, 'spec');
  yield* validateSelector(sub(spec, 'selector'), 'spec.selector');
}
