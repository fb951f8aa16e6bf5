import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Pod } from '@enid/kube';
import { planChunks } from './chunks.ts';
import type { Content, NetworkPolicy } from './objects.ts';
import { readNetworkPolicy } from './policy.ts';
import { PolicyState } from './policy-state.ts';

const POLICIES = 1_000;
const PODS = 10_000;
const NAMESPACES = 100;
const APPS = 10;

const pod = (i: number, app = `app-${Math.floor(i / NAMESPACES) % APPS}`): Pod => ({
  metadata: { name: `pod-${i}`, namespace: `ns-${i % NAMESPACES}`, labels: { app, pod: `${i}` } },
  spec: { containers: [{ name: 'c', ports: [{ name: 'http', containerPort: 8080 }] }] },
  status: { phase: 'Running', podIP: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, hostIP: '10.9.9.9' },
});

/** Ten a namespace: each app may be reached by the next, by a team's namespaces, and reaches its neighbours and DNS. */
const policy = (i: number): NetworkPolicy => {
  const [namespace, app] = [i % NAMESPACES, Math.floor(i / NAMESPACES) % APPS];
  const labels = (n: number) => ({ matchLabels: { app: `app-${n % APPS}` } });
  return {
    metadata: { name: `policy-${i}`, namespace: `ns-${namespace}` },
    spec: {
      podSelector: labels(app),
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        { from: [{ podSelector: labels(app + 1) }], ports: [{ port: 'http' }] },
        {
          from: [
            {
              namespaceSelector: { matchLabels: { team: `team-${namespace % 10}` } },
              podSelector: labels(app + 2),
            },
          ],
        },
      ],
      egress: [
        { to: [{ podSelector: labels(app + 3) }], ports: [{ port: 8080 }] },
        { ports: [{ port: 53, protocol: 'UDP' }] },
      ],
    },
  };
};

it('follows one pod of 10,000 under 1,000 policies within 200 ms, touching what it concerns', () => {
  const state = new PolicyState();
  for (let i = 0; i < NAMESPACES; i++) {
    const name = `ns-${i}`;
    state.setNamespace(name, { metadata: { name, labels: { team: `team-${i % 10}` } } });
    for (let app = 0; app < APPS; app++) {
      const spec = {
        clusterIP: `172.20.${i}.${app}`,
        selector: { app: `app-${app}` },
        ports: [{ port: 80, targetPort: 8080 as never }],
      };
      state.setService(`${name}/app-${app}`, { metadata: { name: `app-${app}`, namespace: name }, spec });
    }
  }
  for (let i = 0; i < PODS; i++) state.setPod(`ns-${i % NAMESPACES}/pod-${i}`, pod(i));
  const held = new Map<string, Content[]>();
  const follow = (id: string) => {
    const plan = planChunks(state.resolve(id)!, held.get(id) ?? [], (chunk) => chunk);
    const kept = (held.get(id) ?? []).filter((chunk) => !plan.remove.includes(chunk));
    const next = kept.map((chunk) => plan.update.find((update) => update.chunk === chunk)?.content ?? chunk);
    held.set(id, [...next, ...plan.create]);
    return plan.create.length + plan.update.length + plan.remove.length;
  };
  for (let i = 0; i < POLICIES; i++) {
    state.setPolicy(`${i}`, readNetworkPolicy(policy(i)));
    follow(`${i}`);
  }
  const times: number[] = [];
  for (let turn = 0; turn < 300; turn++) {
    const i = (turn * 7_919) % PODS;
    const key = `ns-${i % NAMESPACES}/pod-${i}`;
    const begun = performance.now();
    const app = `app-${(Math.floor(i / NAMESPACES) + turn) % APPS}`;
    const touched = state.setPod(key, turn % 3 === 0 ? undefined : pod(i, app));
    for (const id of touched) assert.ok(follow(id) <= 2, 'one object, or one more');
    times.push(performance.now() - begun);
    // Two apps at most, each in three policies of its namespace and one in each of the ten of its team.
    assert.ok(touched.size <= 2 * (3 + 10), `${touched.size} policies for one pod`);
  }
  times.sort((a, b) => a - b);
  const p99 = times[Math.floor(times.length * 0.99)]!;
  console.log(`one pod's change: p50 ${times[150]!.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`);
  assert.ok(p99 < 200, `p99 is ${p99} ms`);
});
