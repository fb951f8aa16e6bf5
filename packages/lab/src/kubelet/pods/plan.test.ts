import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock, Pod, PodSpec } from '@enid/kube';
import type { RuntimeContainer, RuntimePod } from '../runtime/state.ts';
import { Backoff } from './backoff.ts';
import { type Circumstances, crashKey, planPod } from './plan.ts';

let now = 0;
const clock: Clock = { now: () => now, after: () => () => {} };
const WELL = { started: true, ready: true, livenessFailed: false, startupFailed: false };

const container = (name: string, more: object = {}) => ({ name, image: 'i', ...more });
function pod(spec: Partial<PodSpec>): Pod {
  const containers = [container('a'), container('b')];
  return { metadata: { name: 'p', namespace: 'ns', uid: 'u' }, spec: { containers, ...spec } };
}

/** `name:state`, or `name:exited` with `=code`; newest first. In sandbox `s1`, or after `@`. */
function runtime(runs: string[], sandboxes = ['s1'], ready = true): RuntimePod {
  const containers = runs.map((text, index): RuntimeContainer => {
    const [, name, state, code, sandboxId] = /^(\w+):(\w+)(?:=(\d+))?(?:@(\w+))?$/.exec(text)!;
    return {
      id: `id-${index}`,
      name: name!,
      attempt: 0,
      sandboxId: sandboxId ?? 's1',
      state: state as RuntimeContainer['state'],
      startedAt: 0,
      finishedAt: 0,
      exitCode: Number(code ?? 0),
      reason: '',
      message: '',
      image: 'i',
      imageRef: '',
      logPath: '',
    };
  });
  return {
    containers,
    sandboxes: sandboxes.map((id, index) => ({
      id,
      attempt: 0,
      ready: ready && index === 0,
      ips: ['10.0.0.1'],
    })),
  };
}

function plan(spec: Partial<PodSpec>, state: RuntimePod, more: Partial<Circumstances> = {}) {
  const crashes = new Backoff(clock);
  const all = { crashes, held: () => undefined, probes: () => WELL, ...more };
  const { sandbox, kill, start, holds } = planPod(pod(spec), state, all);
  return {
    sandbox,
    kill: kill.map(({ container }) => container.spec.name),
    start: start.map(({ spec }) => spec.name),
    holds: [...holds.keys()],
  };
}
const expected = (more: object) => ({ sandbox: 'keep', kill: [], start: [], holds: [], ...more });

test('a sandbox comes first, and a broken one takes all with it', () => {
  assert.deepEqual(plan({}, runtime([], [])), expected({ sandbox: 'create' }));
  assert.deepEqual(plan({}, runtime([])), expected({ start: ['a', 'b'] }));
  const broken = runtime(['a:running', 'b:exited=1'], ['s1'], false);
  assert.deepEqual(plan({}, broken), expected({ sandbox: 'create', kill: ['a'] }));
  // What must not run twice does not.
  assert.deepEqual(plan({ restartPolicy: 'Never' }, broken), expected({ sandbox: 'stop', kill: ['a'] }));
});

test('what has ended is started again as the policy says', () => {
  const state = runtime(['a:exited=0', 'b:exited=1']);
  assert.deepEqual(plan({ restartPolicy: 'Always' }, state).start, ['a', 'b']);
  assert.deepEqual(plan({ restartPolicy: 'OnFailure' }, state).start, ['b']);
  assert.deepEqual(plan({ restartPolicy: 'Never' }, state), expected({ sandbox: 'stop' }));
  // Done in an earlier sandbox is done.
  const anew = runtime(['a:exited=0@s0'], ['s1', 's0']);
  assert.deepEqual(plan({ restartPolicy: 'OnFailure' }, anew).start, ['b']);
});

test('init containers run one after another, sidecars stay, and both again in a new sandbox', () => {
  const spec = {
    initContainers: [container('i'), container('side', { restartPolicy: 'Always' }), container('j')],
  };
  assert.deepEqual(plan(spec, runtime([])).start, ['i']);
  assert.deepEqual(plan(spec, runtime(['i:running'])), expected({}));
  assert.deepEqual(plan(spec, runtime(['i:exited=1'])).start, ['i']);
  assert.deepEqual(plan({ ...spec, restartPolicy: 'Never' }, runtime(['i:exited=1'])), expected({}));
  assert.deepEqual(plan(spec, runtime(['i:exited'])).start, ['side']);
  const starting = { probes: () => ({ ...WELL, started: false }) };
  assert.deepEqual(plan(spec, runtime(['side:running', 'i:exited']), starting), expected({}));
  assert.deepEqual(plan(spec, runtime(['side:running', 'i:exited'])).start, ['j']);
  assert.deepEqual(plan(spec, runtime(['j:exited', 'side:running', 'i:exited'])).start, ['a', 'b']);
  const all = ['b:running', 'a:running', 'j:exited', 'side:exited', 'i:exited'];
  assert.deepEqual(plan(spec, runtime(all)).start, ['side']);
  assert.deepEqual(plan(spec, runtime(['i:exited@s0', 'a:exited@s0'], ['s1', 's0'])).start, ['i']);
  // Sidecars end when the others are done.
  const done = runtime(['b:exited', 'a:exited', 'side:running', 'i:exited']);
  assert.deepEqual(
    plan({ ...spec, restartPolicy: 'Never' }, done),
    expected({ sandbox: 'stop', kill: ['side'] }),
  );
});

test('a container that its probe gave up, or that has another image now, is killed', () => {
  const state = runtime(['a:running', 'b:running']);
  const sick = { probes: (id: string) => ({ ...WELL, livenessFailed: id === 'id-1' }) };
  assert.deepEqual(plan({}, state, sick), expected({ kill: ['b'] }));
  const containers = [container('a', { image: 'other' }), container('b')];
  assert.deepEqual(plan({ containers }, state), expected({ kill: ['a'] }));
});

test('crashes are waited for: 10 s, doubling to 5 min, and anew after 10 min without one', () => {
  const crashes = new Backoff(clock);
  const key = crashKey(pod({}), 'a');
  const state = runtime(['a:exited=1', 'b:running']);
  now = 0;
  assert.deepEqual(plan({}, state, { crashes }).start, ['a']);
  crashes.grow(key);
  assert.deepEqual(plan({}, state, { crashes }), expected({ holds: ['a'] }));
  assert.deepEqual(crashes.waiting(key, 0), { until: 10_000, delay: 10_000 });
  now = 10_000;
  assert.deepEqual(plan({}, state, { crashes }).start, ['a']);
  for (const delay of [20, 40, 80, 160, 300, 300]) {
    crashes.grow(key);
    assert.equal(crashes.waiting(key, now)?.delay, delay * 1000);
  }
  now += 600_001;
  assert.equal(crashes.waiting(key, now), undefined);
  crashes.grow(key);
  assert.equal(crashes.waiting(key, now)?.delay, 10_000);
  crashes.forget('u/');
  assert.equal(crashes.waiting(key, now), undefined);
});
