import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod, PodSpec } from '@enid/kube';
import type { PodStatus } from '../pod.ts';
import type { Hold } from '../pods/plan.ts';
import type { RuntimeContainer, RuntimePod } from '../runtime/state.ts';
import { statusOf } from './status.ts';
import { statusPatch } from './status-writer.ts';

const NOW = Date.parse('2026-01-02T03:04:05Z');
const WELL = { started: true, ready: true, livenessFailed: false, startupFailed: false };

type Run = { name: string; state?: RuntimeContainer['state']; exitCode?: number; attempt?: number };
function runtime(...runs: Run[]): RuntimePod {
  return {
    sandboxes: [{ id: 's', attempt: 0, ready: true, ips: ['10.0.0.5', 'fd00::5'] }],
    containers: runs.map((run, index) => ({
      id: `c${index}`,
      attempt: 0,
      sandboxId: 's',
      state: 'running' as const,
      startedAt: NOW - 5000,
      finishedAt: run.state === 'exited' ? NOW - 1000 : undefined,
      exitCode: 0,
      reason: '',
      message: '',
      image: 'i',
      imageRef: 'sha256:1',
      logPath: '',
      ...run,
    })),
  };
}

function status(
  spec: Partial<PodSpec>,
  state: RuntimePod,
  more: {
    holds?: [string, Hold][];
    previous?: PodStatus;
    over?: boolean;
    ready?: boolean;
    given?: PodStatus;
  } = {},
): PodStatus {
  const pod: Pod = {
    metadata: { name: 'p', namespace: 'ns', uid: 'u' },
    spec: { containers: [{ name: 'a', image: 'i' }], ...spec },
    ...(more.given && { status: more.given }),
  };
  return statusOf(pod, {
    runtime: state,
    holds: new Map(more.holds),
    probes: () => ({ ...WELL, ready: more.ready ?? true }),
    hostIPs: ['10.0.0.1'],
    previous: more.previous ?? {},
    over: more.over ?? false,
    now: NOW,
  });
}
const ready = ({ conditions }: PodStatus) => conditions!.find(({ type }) => type === 'Ready')!;

test('phases', () => {
  const two = { containers: [{ name: 'a' }, { name: 'b' }] };
  const init = { initContainers: [{ name: 'i' }] };
  const exited = (name: string, exitCode = 0): Run => ({ name, state: 'exited', exitCode });
  const hold: [string, Hold] = ['a', { reason: 'CrashLoopBackOff', message: '', until: 0 }];
  const cases: [string, PodStatus][] = [
    ['Pending', status({}, runtime())],
    ['Running', status({}, runtime({ name: 'a' }))],
    ['Pending', status(two, runtime({ name: 'a' }))],
    ['Running', status({ ...two, restartPolicy: 'Never' }, runtime({ name: 'a' }, exited('b', 1)))],
    ['Failed', status({ ...two, restartPolicy: 'Never' }, runtime(exited('a'), exited('b', 1)))],
    ['Succeeded', status({ ...two, restartPolicy: 'OnFailure' }, runtime(exited('a'), exited('b')))],
    ['Running', status({ restartPolicy: 'OnFailure' }, runtime(exited('a', 1)))],
    ['Running', status({ restartPolicy: 'Always' }, runtime(exited('a')), { holds: [hold] })],
    ['Pending', status(init, runtime({ name: 'i' }))],
    ['Pending', status(init, runtime(exited('i', 1)))],
    ['Failed', status({ ...init, restartPolicy: 'Never' }, runtime(exited('i', 1)))],
    ['Failed', status({}, runtime(exited('a', 143)), { over: true })],
    ['Succeeded', status({}, runtime(exited('a')), { over: true })],
    // For ever, whatever runs.
    ['Failed', status({}, runtime({ name: 'a' }), { previous: { phase: 'Failed' } })],
  ];
  for (const [index, [phase, found]] of cases.entries()) assert.equal(found.phase, phase, `case ${index}`);
});

test('a pod is ready when its containers and its gates are, and since when is kept', () => {
  const first = status({}, runtime({ name: 'a' }));
  assert.equal(ready(first).status, 'True');
  assert.equal(ready(first).lastTransitionTime, '2026-01-02T03:04:05Z');
  assert.equal(first.podIP, '10.0.0.5');
  assert.deepEqual(first.podIPs, [{ ip: '10.0.0.5' }, { ip: 'fd00::5' }]);

  const since = '2025-12-31T00:00:00Z';
  const previous = { conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: since }] };
  assert.equal(ready(status({}, runtime({ name: 'a' }), { previous })).lastTransitionTime, since);
  const unready = status({}, runtime({ name: 'a' }), { previous, ready: false });
  assert.deepEqual(ready(unready), {
    type: 'Ready',
    status: 'False',
    lastTransitionTime: '2026-01-02T03:04:05Z',
    reason: 'ContainersNotReady',
    message: 'containers with unready status: [a]',
  });

  const gated = { readinessGates: [{ conditionType: 'lb' }] };
  assert.equal(ready(status(gated, runtime({ name: 'a' }))).reason, 'ReadinessGatesNotReady');
  const given = { conditions: [{ type: 'lb', status: 'True' }] };
  assert.equal(ready(status(gated, runtime({ name: 'a' }), { given })).status, 'True');
});

test('a container that waits to run again tells what it came to, and how often it ran', () => {
  const hold: [string, Hold] = ['a', { reason: 'CrashLoopBackOff', message: 'back-off', until: 0 }];
  const state = runtime(
    { name: 'a', state: 'exited', exitCode: 9, attempt: 4 },
    { name: 'a', state: 'exited' },
  );
  const [a] = status({}, state, { holds: [hold] }).containerStatuses!;
  assert.deepEqual(a!.state, { waiting: { reason: 'CrashLoopBackOff', message: 'back-off' } });
  assert.equal(a!.lastState?.terminated?.exitCode, 9);
  assert.equal(a!.lastState?.terminated?.reason, 'Error');
  assert.equal(a!.restartCount, 4);
  const [waiting] = status({ initContainers: [{ name: 'i' }] }, runtime()).containerStatuses!;
  assert.equal(waiting!.state?.waiting?.reason, 'PodInitializing');
});

test('a patch takes back what is told no more, and leaves what others told', () => {
  const condition = { type: 'Ready', status: 'False', lastTransitionTime: 't' };
  const patch = statusPatch(
    {
      podIP: '1.1.1.1',
      podIPs: [{ ip: '1.1.1.1' }],
      conditions: [{ ...condition, reason: 'X' }],
      reason: 'R',
    },
    { podIP: '2.2.2.2', podIPs: [{ ip: '2.2.2.2' }], conditions: [condition] },
  );
  assert.deepEqual(patch, {
    podIP: '2.2.2.2',
    podIPs: [{ $patch: 'delete', ip: '1.1.1.1' }, { ip: '2.2.2.2' }],
    conditions: [{ ...condition, reason: null }],
    reason: null,
  });
});
