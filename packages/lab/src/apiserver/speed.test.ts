/** How fast the server is over loopback. Limits are several times what was measured: machines differ and are shared. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApiServer, type TestApiServer } from './apiserver.fixture.ts';
import { openWatch } from './watch/watch.fixture.ts';

let server: TestApiServer;
const PODS = '/api/v1/namespaces/default/pods';

before(async () => {
  server = await startTestApiServer();
  await server.must('POST /api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
});
after(() => server.stop());

const pod = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels: { app: 'web', 'pod-template-hash': 'abc' } },
  spec: {
    containers: [
      {
        name: 'web',
        image: 'nginx:1.27',
        ports: [{ containerPort: 80 }],
        env: [{ name: 'A', value: 'b' }],
        readinessProbe: { httpGet: { path: '/', port: 80 } },
        resources: { requests: { cpu: '10m', memory: '16Mi' } },
      },
    ],
  },
});

async function time(action: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await action();
  return performance.now() - begin;
}

const quantile = (times: number[], q: number) => times.sort((a, b) => a - b)[Math.floor(times.length * q)]!;

test('a pod is made in milliseconds, and a thousand are listed', async (t) => {
  const times: number[] = [];
  for (let i = 0; i < 1000; i += 1) {
    times.push(await time(() => server.must(`POST ${PODS}`, pod(`p${i}`))));
  }
  const p50 = quantile(times, 0.5);
  t.diagnostic(`create a pod: p50 ${p50.toFixed(2)} ms, p99 ${quantile(times, 0.99).toFixed(2)} ms`);
  assert.ok(p50 < 10, `${p50} ms`);
  const gets: number[] = [];
  for (let i = 0; i < 200; i += 1) gets.push(await time(() => server.must(`${PODS}/p${i}`)));
  t.diagnostic(`get a pod: p50 ${quantile(gets, 0.5).toFixed(2)} ms`);
  const lists: number[] = [];
  for (let i = 0; i < 10; i += 1) {
    lists.push(await time(async () => assert.equal((await server.must(PODS)).items.length, 1000)));
  }
  t.diagnostic(`list 1,000 pods: p50 ${quantile(lists, 0.5).toFixed(1)} ms`);
  assert.ok(quantile(lists, 0.5) < 500);
  const updates: number[] = [];
  for (let i = 0; i < 200; i += 1) {
    const headers = { 'content-type': 'application/strategic-merge-patch+json' };
    const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
    updates.push(await time(() => server.must(`PATCH ${PODS}/p${i}/status`, { status }, headers)));
  }
  t.diagnostic(`patch a pod's status: p50 ${quantile(updates, 0.5).toFixed(2)} ms`);
});

test('a thousand watches are told of a change soon, and others do not wait meanwhile', async (t) => {
  const maps = '/api/v1/namespaces/default/configmaps';
  const watches = await Promise.all(Array.from({ length: 1000 }, () => openWatch(server, maps)));
  t.after(() => {
    for (const watch of watches) watch.stop();
  });
  const writes: number[] = [];
  const fanOuts: number[] = [];
  for (let i = 0; i < 10; i += 1) {
    const begin = performance.now();
    const all = Promise.all(watches.map((watch) => watch.take(1)));
    writes.push(
      await time(() =>
        server.must(`POST ${maps}`, { metadata: { name: `m${i}` }, data: { a: 'x'.repeat(500) } }),
      ),
    );
    await all;
    fanOuts.push(performance.now() - begin);
  }
  t.diagnostic(
    `a write before 1,000 watches: p50 ${quantile(writes, 0.5).toFixed(1)} ms; all told: p50 ${quantile(fanOuts, 0.5).toFixed(0)} ms`,
  );
  assert.ok(quantile(fanOuts, 0.5) < 2000);
});
