import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';

let server: TestApiServer;
const SERVICES = '/api/v1/namespaces/default/services';
const MERGE = { 'content-type': 'application/merge-patch+json' };

before(async () => {
  // Fourteen addresses, one of which is the server's own.
  server = await startTestApiServer({ serviceCidr: '10.96.0.0/28' });
});
after(() => server.stop());

const make = (name: string, spec: object) =>
  server.send(`POST ${SERVICES}`, { body: { metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } } });

test('addresses are unique, kept, released, and run out with a word about it', async () => {
  const answers = await Promise.all(Array.from({ length: 13 }, (_, i) => make(`s${i}`, {})));
  const addresses = new Set(answers.map(({ body }) => body.spec.clusterIP));
  assert.equal(addresses.size, 13);
  assert.ok(!addresses.has('10.96.0.1') && !addresses.has('10.96.0.0') && !addresses.has('10.96.0.15'));
  const full = await make('one-more', {});
  assert.equal(full.code, 500);
  assert.match(full.body.message, /no address of 10\.96\.0\.0\/28 is free for a service; delete services/);
  const { clusterIP } = answers[4]!.body.spec;
  const put = await server.must(`PUT ${SERVICES}/s4`, {
    metadata: { name: 's4' },
    spec: { ports: [{ port: 81 }] },
  });
  assert.equal(put.spec.clusterIP, clusterIP, 'what a client leaves out stays');
  await server.restart();
  assert.equal((await make('one-more', {})).code, 500, 'claims outlive the process');
  await server.must(`DELETE ${SERVICES}/s4`);
  const chosen = await make('chosen', { clusterIP });
  assert.equal(chosen.body.spec.clusterIP, clusterIP);
  await server.must(`DELETE ${SERVICES}/s5`);
  const taken = await make('taken', { clusterIP });
  assert.equal(taken.code, 422);
  assert.match(taken.body.message, /spec\.clusterIPs: Invalid value: .*provided IP is already allocated/);
  const outside = await make('outside', { clusterIP: '10.97.0.1' });
  assert.equal(outside.code, 422);
  assert.match(outside.body.message, /the provided IP is not in the valid range.*10\.96\.0\.0\/28/);
  const headless = await make('headless', { clusterIP: 'None' });
  assert.deepEqual(headless.body.spec.clusterIPs, ['None']);
  const named = await make('named', { type: 'ExternalName', externalName: 'example.com' });
  assert.equal(named.body.spec.clusterIP, undefined);
  await server.must(`DELETE ${SERVICES}/s6`);
  assert.equal(
    (await server.must('/api/v1/namespaces/default/services/kubernetes')).spec.clusterIP,
    '10.96.0.1',
  );
});

test('node ports are unique by protocol, kept over updates, and released', async () => {
  const type = 'NodePort';
  const first = await make('np1', {
    type,
    ports: [
      { name: 'a', port: 80 },
      { name: 'b', port: 81, nodePort: 30080 },
    ],
  });
  const [a, b] = first.body.spec.ports;
  assert.ok(a.nodePort >= 30000 && a.nodePort <= 32767 && a.nodePort !== 30080);
  assert.equal(b.nodePort, 30080);
  assert.equal(first.body.spec.externalTrafficPolicy, 'Cluster');
  const taken = await make('np2', { type, ports: [{ port: 80, nodePort: 30080 }] });
  assert.equal(taken.code, 422);
  assert.match(
    taken.body.message,
    /spec\.ports\[0\]\.nodePort: Invalid value: 30080: provided port is already allocated/,
  );
  const udp = await make('np2', { type, ports: [{ port: 80, nodePort: 30080, protocol: 'UDP' }] });
  assert.equal(udp.code, 201);
  const put = await server.must(`PUT ${SERVICES}/np1`, {
    metadata: { name: 'np1' },
    spec: {
      type,
      ports: [
        { name: 'b', port: 81 },
        { name: 'a', port: 80, targetPort: 8080 },
      ],
    },
  });
  assert.deepEqual(
    put.spec.ports.map((port: { nodePort: number }) => port.nodePort),
    [30080, a.nodePort],
  );
  const inner = await server.must(`PATCH ${SERVICES}/np1`, { spec: { type: 'ClusterIP' } }, MERGE);
  assert.ok(inner.spec.ports.every((port: { nodePort?: number }) => port.nodePort === undefined));
  assert.equal(inner.spec.clusterIP, first.body.spec.clusterIP);
  await server.must(`DELETE ${SERVICES}/np2`);
  const released = await make('np3', { type, ports: [{ port: 80, nodePort: 30080 }] });
  assert.equal(released.code, 201);
  await server.must(`DELETE ${SERVICES}/np3`);
});

test('a load balancer’s service has node ports, a health check port when traffic stays local, and its status', async () => {
  for (const name of ['s1', 's2', 's3']) await server.must(`DELETE ${SERVICES}/${name}`);
  const lb = await make('lb', { type: 'LoadBalancer', externalTrafficPolicy: 'Local' });
  assert.equal(lb.code, 201, lb.text);
  const { healthCheckNodePort, ports } = lb.body.spec;
  assert.ok(healthCheckNodePort >= 30000 && healthCheckNodePort !== ports[0].nodePort);
  const status = { loadBalancer: { ingress: [{ hostname: 'lb.example' }] } };
  const said = await server.must(`PATCH ${SERVICES}/lb/status`, { status }, MERGE);
  assert.equal(said.status.loadBalancer.ingress[0].hostname, 'lb.example');
  const kept = await server.must(`PATCH ${SERVICES}/lb`, { metadata: { labels: { a: 'b' } } }, MERGE);
  assert.equal(kept.spec.healthCheckNodePort, healthCheckNodePort);
  assert.equal(kept.status.loadBalancer.ingress.length, 1);
  const inner = await server.must(`PATCH ${SERVICES}/lb`, { spec: { type: 'ClusterIP' } }, MERGE);
  assert.deepEqual(inner.status, { loadBalancer: {} });
  assert.equal(inner.spec.healthCheckNodePort, undefined);
  const without = await make('lb2', { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false });
  assert.equal(without.body.spec.ports[0].nodePort, undefined);
  const toName = await server.must(
    `PATCH ${SERVICES}/lb2`,
    { spec: { type: 'ExternalName', externalName: 'example.com', clusterIP: null, clusterIPs: null } },
    MERGE,
  );
  assert.equal(toName.spec.clusterIP, undefined);
});
