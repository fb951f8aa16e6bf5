/** What `kubectl get pods` shows: the most telling word of all that a pod's status says. */
import type { Fields, StoredObject } from '../object.ts';
import { age, type Column, string, wide } from './column.ts';

type ContainerStatus = {
  ready?: boolean;
  started?: boolean;
  restartCount?: number;
  name: string;
  state?: State;
  lastState?: State;
};

type State = {
  waiting?: { reason?: string };
  running?: Fields;
  terminated?: { reason?: string; exitCode: number; signal?: number; finishedAt?: string };
};

type Summary = {
  ready: number;
  total: number;
  reason: string;
  restarts: number;
  lastRestart: string | undefined;
};

const AGE = string('Age', ({ metadata }, now) => age(metadata.creationTimestamp, now));

export const podColumns: readonly Column[] = [
  string('Ready', (pod) => {
    const { ready, total } = summarize(pod);
    return `${ready}/${total}`;
  }),
  string('Status', (pod) => summarize(pod).reason),
  string('Restarts', (pod, now) => {
    const { restarts, lastRestart } = summarize(pod);
    return restarts > 0 && lastRestart ? `${restarts} (${age(lastRestart, now)} ago)` : `${restarts}`;
  }),
  AGE,
  wide(string('IP', ({ status }) => status?.podIP ?? '<none>')),
  wide(string('Node', ({ spec }) => spec?.nodeName ?? '<none>')),
  wide(string('Nominated Node', ({ status }) => status?.nominatedNodeName ?? '<none>')),
  wide(string('Readiness Gates', readinessGates)),
];

function readinessGates({ spec, status }: StoredObject): string {
  const gates = (spec?.readinessGates ?? []) as { conditionType: string }[];
  if (gates.length === 0) return '<none>';
  const conditions = (status?.conditions ?? []) as Fields[];
  const met = gates.filter(({ conditionType }) =>
    conditions.some(({ type, status: value }) => type === conditionType && value === 'True'),
  );
  return `${met.length}/${gates.length}`;
}

function summarize({ metadata, spec, status }: StoredObject): Summary {
  const containers = (spec?.containers ?? []) as Fields[];
  const inits = (spec?.initContainers ?? []) as Fields[];
  const initStatuses = (status?.initContainerStatuses ?? []) as ContainerStatus[];
  const statuses = (status?.containerStatuses ?? []) as ContainerStatus[];
  const isSidecar = (name: string) =>
    inits.some((init) => init.name === name && init.restartPolicy === 'Always');
  const sidecars = initStatuses.filter(({ name }) => isSidecar(name));

  const all = [...initStatuses, ...statuses];
  const counted = [...sidecars, ...statuses];
  const initializing = initReason(initStatuses, inits.length, isSidecar);
  const restarted = initializing ? all : counted;
  const ends = restarted.flatMap(({ lastState }) => lastState?.terminated?.finishedAt ?? []);
  return {
    ready: counted.filter(({ ready, state }) => ready && state?.running).length,
    total: containers.length + inits.filter(({ restartPolicy }) => restartPolicy === 'Always').length,
    reason: finalReason(
      metadata.deletionTimestamp,
      status ?? {},
      initializing ?? runReason(statuses, status ?? {}),
    ),
    restarts: restarted.reduce((sum, { restartCount = 0 }) => sum + restartCount, 0),
    lastRestart: ends.sort().at(-1),
  };
}

/** Why a pod is still being initialized; undefined when it is not. */
function initReason(
  statuses: readonly ContainerStatus[],
  total: number,
  isSidecar: (name: string) => boolean,
): string | undefined {
  for (const [index, { name, state = {}, started }] of statuses.entries()) {
    if (state.terminated?.exitCode === 0 || (isSidecar(name) && started)) continue;
    if (state.terminated) return `Init:${endReason(state.terminated)}`;
    const { reason } = state.waiting ?? {};
    if (reason && reason !== 'PodInitializing') return `Init:${reason}`;
    return `Init:${index}/${total}`;
  }
  return undefined;
}

function runReason(statuses: readonly ContainerStatus[], { reason, phase, conditions }: Fields): string {
  let word = String(reason ?? phase ?? 'Unknown');
  let running = false;
  for (const { state = {}, ready } of [...statuses].reverse()) {
    if (state.waiting?.reason) word = state.waiting.reason;
    else if (state.terminated) word = endReason(state.terminated);
    else if (ready && state.running) running = true;
  }
  if (word !== 'Completed' || !running) return word;
  const isReady = ((conditions ?? []) as Fields[]).some(
    ({ type, status }) => type === 'Ready' && status === 'True',
  );
  return isReady ? 'Running' : 'NotReady';
}

function endReason({ reason, signal, exitCode }: NonNullable<State['terminated']>): string {
  return reason || (signal ? `Signal:${signal}` : `ExitCode:${exitCode}`);
}

function finalReason(deletionTimestamp: string | undefined, { reason, phase }: Fields, word: string): string {
  if (!deletionTimestamp) return word;
  if (reason === 'NodeLost') return 'Unknown';
  return phase === 'Succeeded' || phase === 'Failed' ? word : 'Terminating';
}
