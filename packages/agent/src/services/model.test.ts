import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { choose, type Endpoint } from './endpoints.ts';
import type { EndpointSlice, Service, SliceEndpoint } from './kubernetes.ts';
import { modelOf } from './model.ts';
import { elsewhere, NODE, service, slice } from './testbed.ts';

const options = { families: [4] as const, endpointCidrs: [] };
const model = (
  of: Service,
  slices: readonly EndpointSlice[] = [],
  node: { name: string; zone?: string } = NODE,
) => modelOf(of, slices, node, options);
const web = service('web', { clusterIP: '172.20.0.10', ports: [{ port: 80 }] });
const addresses = (endpoints: readonly Endpoint[]) => endpoints.map(({ address }) => address).sort();

test('Services that are not proxied have no ports', () => {
  const labelled = (label: string, value: string) =>
    service('x', web.spec!, { metadata: { namespace: 'default', name: 'x', labels: { [label]: value } } });
  for (const one of [
    service('x', { ...web.spec, clusterIP: 'None' }),
    service('x', { ...web.spec, clusterIP: '' }),
    service('x', { type: 'ExternalName', ports: [{ port: 80 }] }),
    labelled('service.kubernetes.io/service-proxy-name', 'other'),
    labelled('service.kubernetes.io/headless', ''),
  ]) {
    assert.deepEqual(model(one).ports, []);
  }
  assert.equal(model(web).ports.length, 1);
});

test('ports are found by name and protocol, in all slices, and an endpoint counts once', () => {
  const named = service('web', {
    clusterIP: '172.20.0.10',
    ports: [
      { name: 'http', port: 80 },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ],
  });
  const unready = { ...elsewhere('10.0.0.1'), conditions: { ready: false } };
  const { ports } = model(named, [
    slice('web', 8080, [unready, elsewhere('10.0.0.2')], { portName: 'http' }),
    slice('web', 8081, [elsewhere('10.0.0.1')], { portName: 'http' }),
    slice('web', 8080, [elsewhere('10.0.0.1')], { portName: 'http' }),
    slice('web', 5353, [elsewhere('10.0.0.3')], { portName: 'dns', protocol: 'UDP' }),
    slice('web', 5353, [elsewhere('10.0.0.4')], { portName: 'dns' }),
    slice('web', 8080, [elsewhere('10.0.0.5')]),
    slice('web', 8080, [elsewhere('fd00::1')], { portName: 'http', addressType: 'IPv6' }),
  ]);
  const targets = ports.map(({ endpoints }) =>
    endpoints.cluster.map(({ address, port }) => `${address}:${port}`).sort(),
  );
  assert.deepEqual(targets, [['10.0.0.1:8080', '10.0.0.1:8081', '10.0.0.2:8080'], ['10.0.0.3:5353']]);
});

test('slices of any writing are read: no names, no conditions, the same twice, both families', () => {
  const both = service('web', {
    clusterIP: '172.20.0.10',
    clusterIPs: ['172.20.0.10', 'fd00::10'],
    ports: [{ port: 80, name: null as never }],
  });
  const bare = (address: string): SliceEndpoint => ({ addresses: [address], conditions: null as never });
  const unnamed = (one: EndpointSlice): EndpointSlice => ({
    ...one,
    ports: [{ name: null as never, port: 8080 }],
  });
  const v4 = unnamed(slice('web', 8080, [bare('10.0.0.1'), bare('10.0.0.1'), elsewhere('10.0.0.2')]));
  const v6 = unnamed(slice('web', 8080, [bare('fd00::1')], { addressType: 'IPv6' }));
  const empty = { ...v4, endpoints: null, ports: null };
  const names = { ...slice('web', 8080, [], { addressType: 'FQDN' }), endpoints: [bare('example.com')] };
  const { ports, problems } = modelOf(both, [v4, v4, empty, v6, names], NODE, {
    ...options,
    families: [4, 6],
  });
  assert.deepEqual(
    ports.map(({ endpoints }) => addresses(endpoints.cluster)),
    [['10.0.0.1', '10.0.0.2'], ['fd00::1']],
  );
  assert.deepEqual(problems, []);
});

test('hints count when they are complete and somebody is meant for this node', () => {
  const hinted = (address: string, zones: string[], nodes: string[] = []): SliceEndpoint =>
    elsewhere(address, {
      hints: { forZones: zones.map((name) => ({ name })), forNodes: nodes.map((name) => ({ name })) },
    });
  const chosen = (endpoints: SliceEndpoint[], node?: { name: string; zone?: string }) =>
    addresses(model(web, [slice('web', 80, endpoints)], node).ports[0]!.endpoints.cluster);
  const [a, b] = [hinted('10.0.0.1', ['zone-a']), hinted('10.0.0.2', ['zone-b'])];
  assert.deepEqual(chosen([a, b]), ['10.0.0.1']);
  assert.deepEqual(chosen([a, b], { name: 'node-1' }), ['10.0.0.1', '10.0.0.2']);
  assert.deepEqual(chosen([a, b], { name: 'node-1', zone: 'zone-c' }), ['10.0.0.1', '10.0.0.2']);
  assert.deepEqual(chosen([a, b, elsewhere('10.0.0.3')]), ['10.0.0.1', '10.0.0.2', '10.0.0.3']);
  // PreferSameNode goes before the zone, and falls back to it.
  const [c, d] = [hinted('10.0.0.1', ['zone-a'], ['node-2']), hinted('10.0.0.2', ['zone-a'], ['node-1'])];
  assert.deepEqual(chosen([c, d]), ['10.0.0.2']);
  assert.deepEqual(chosen([c, hinted('10.0.0.2', ['zone-b'], ['node-3'])]), ['10.0.0.1']);
  // One that is not ready does not make hints incomplete.
  assert.deepEqual(chosen([a, b, elsewhere('10.0.0.3', { conditions: { ready: false } })]), ['10.0.0.1']);
});

test('health checks count local addresses that are ready', () => {
  const spec = {
    type: 'LoadBalancer',
    clusterIP: '172.20.0.10',
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: 32_000,
    ports: [
      { name: 'a', port: 80 },
      { name: 'b', port: 81 },
    ],
  };
  const terminating = {
    addresses: ['10.0.0.9'],
    nodeName: NODE.name,
    conditions: { ready: false, serving: true, terminating: true },
  };
  const slices = ['a', 'b'].map((portName) =>
    slice('web', 8080, ['10.0.0.1', '10.0.0.2', terminating, elsewhere('10.0.0.3')], { portName }),
  );
  assert.deepEqual(model(service('web', spec), slices).healthCheck, {
    port: 32_000,
    namespace: 'default',
    name: 'web',
    localEndpoints: 2,
  });
  assert.equal(
    model(service('web', { ...spec, externalTrafficPolicy: 'Cluster' }), slices).healthCheck,
    undefined,
  );
});

test('endpoints chosen are usable ones, and there are some whenever any is', () => {
  const endpoint = fc.record({
    address: fc.integer({ min: 1, max: 250 }).map((host) => `10.0.0.${host}` as never),
    port: fc.constant(80),
    ready: fc.boolean(),
    serving: fc.boolean(),
    terminating: fc.boolean(),
    nodeName: fc.constantFrom('node-1', 'node-2', undefined),
    zones: fc.subarray(['zone-a', 'zone-b']),
    nodes: fc.subarray(['node-1', 'node-2']),
  });
  fc.assert(
    fc.property(fc.array(endpoint, { maxLength: 8 }), (endpoints) => {
      const { cluster, local, serving } = choose(endpoints, NODE);
      const usable = (one: Endpoint) => one.ready || (one.serving && one.terminating);
      assert.equal(cluster.length > 0, endpoints.some(usable));
      const here = endpoints.filter(({ nodeName }) => nodeName === NODE.name);
      assert.equal(local.length > 0, here.some(usable));
      assert.ok([...cluster, ...local].every((one) => usable(one) && serving.includes(one)));
      // Never one that terminates where another is ready.
      if (endpoints.some(({ ready }) => ready)) assert.ok(cluster.every(({ ready }) => ready));
    }),
  );
});
