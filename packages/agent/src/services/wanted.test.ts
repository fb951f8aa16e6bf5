import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cidr, parseCidr } from '@enid/ip';
import fc from 'fast-check';
import type { EndpointSlice, Service } from './kubernetes.ts';
import { place, type Range } from './placement.ts';
import { elsewhere, NODE, service, slice } from './testbed.ts';
import { Wanted } from './wanted.ts';

const options = { families: [4] as const, podLinks: 'eni*', endpointCidrs: [] };

test('both sets are ranges of slots, and few endpoints move', () => {
  const items = fc.uniqueArray(fc.integer({ min: 0, max: 20 }), { maxLength: 12 });
  fc.assert(
    fc.property(items, items, items, items, (local, cluster, nextLocal, nextCluster) => {
      const before = place(new Set(local), new Set(cluster), []);
      const after = place(new Set(nextLocal), new Set(nextCluster), before.slots);
      const inRange = ({ from, count }: Range) => after.slots.slice(from, from + count);
      const sorted = (numbers: Iterable<number>) => [...numbers].sort((a, b) => a - b);
      assert.deepEqual(sorted(inRange(after.local)), sorted(nextLocal));
      assert.deepEqual(sorted(inRange(after.cluster)), sorted(nextCluster));
      assert.equal(after.slots.length, new Set([...nextLocal, ...nextCluster]).size);
      assert.deepEqual(place(new Set(nextLocal), new Set(nextCluster), after.slots), after);
    }),
  );
  const many = Array.from({ length: 100 }, (_, index) => index);
  const { slots } = place(new Set(), new Set(many), []);
  const fewer = place(new Set(), new Set(many.filter((item) => item !== slots[30])), slots).slots;
  const moved = fewer.filter((item, slot) => item !== slots[slot]);
  assert.deepEqual(moved, [slots[99]]);
});

/** Everything that should be in the tables. */
function all(wanted: Wanted): Map<string, string> {
  const objects = new Map<string, string>();
  for (const [, keys] of wanted.byService()) for (const key of keys) objects.set(key, wanted.get(key)!);
  return objects;
}

/** A cluster of few Services that get in each other's way. */
const clusterState = fc
  .array(
    fc.record({
      name: fc.constantFrom('a', 'b', 'c'),
      created: fc.integer({ min: 0, max: 2 }),
      type: fc.constantFrom('ClusterIP', 'NodePort'),
      nodePort: fc.constantFrom(0, 30_000, 30_001),
      externalIPs: fc.subarray(['198.51.100.1', '198.51.100.2']),
      externalTrafficPolicy: fc.constantFrom('Local', 'Cluster'),
      sessionAffinity: fc.constantFrom('ClientIP', 'None'),
      local: fc.subarray(['10.0.0.1', '10.0.0.2']),
      remote: fc.subarray(['10.0.0.3', '10.0.0.4', '10.0.0.5']),
    }),
    { maxLength: 3 },
  )
  .map((entries) => {
    const byName = new Map(entries.map((entry) => [entry.name, entry]));
    const services: Service[] = [];
    const endpointSlices: EndpointSlice[] = [];
    for (const { name, created, local, remote, nodePort, ...spec } of byName.values()) {
      const clusterIP = `172.20.0.${name.charCodeAt(0)}`;
      services.push(
        service(
          name,
          { ...spec, clusterIP, ports: [{ port: 80, nodePort }] },
          { metadata: { namespace: 'default', name, creationTimestamp: new Date(created * 1000) } },
        ),
      );
      endpointSlices.push(slice(name, 8080, [...local, ...remote.map((address) => elsewhere(address))]));
    }
    return { services, endpointSlices, node: NODE };
  });

test('after any changes there is what there would be from the beginning, and all that changed is told', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(clusterState, { minLength: 1, maxLength: 6 }), async (states) => {
      const wanted = new Wanted(options);
      const installed = new Map<string, string>();
      for (const state of states) {
        const { touched } = await wanted.update(state);
        for (const keys of touched.values()) {
          for (const key of keys) {
            const value = wanted.get(key);
            if (value === undefined) installed.delete(key);
            else installed.set(key, value);
          }
        }
        assert.deepEqual(installed, all(wanted));
      }
      // Slots depend on what was before; a process that starts anew takes them up.
      const anew = new Wanted(options);
      anew.adopt(installed);
      await anew.update(states.at(-1)!);
      assert.deepEqual(sorted(all(anew)), sorted(installed));
      assert.deepEqual(reasons(anew), reasons(wanted));
      const nothing = await anew.update(states.at(-1)!);
      assert.equal(nothing.touched.size, 0);
    }),
    { numRuns: 300 },
  );
});

function sorted(map: ReadonlyMap<string, string>): [string, string][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

function reasons(wanted: Wanted): string[] {
  return wanted.problems.map((problem) => JSON.stringify(problem)).sort();
}

test('a frontend that two Services want belongs to the older one alone', async () => {
  const wanted = new Wanted(options);
  const at = (name: string, created: string) =>
    service(
      name,
      { clusterIP: `172.20.0.${name.length}`, externalIPs: ['198.51.100.1'], ports: [{ port: 80 }] },
      { metadata: { namespace: 'default', name, creationTimestamp: created } },
    );
  const endpointSlices = [slice('young', 8080, ['10.0.0.1']), slice('old', 8080, ['10.0.0.2'])];
  const young = at('young', '2024-02-01T00:00:00Z');
  const old = at('old', '2024-01-01T00:00:00Z');
  const slot = 'ip endpoints-tcp 198.51.100.1 . 80 . 0';
  await wanted.update({ services: [young], endpointSlices, node: NODE });
  assert.equal(wanted.get(slot), '10.0.0.1 . 8080');
  await wanted.update({ services: [young, old], endpointSlices, node: NODE });
  assert.equal(wanted.get(slot), '10.0.0.2 . 8080');
  assert.deepEqual(
    wanted.problems.map(({ service, reason }) => [service, reason]),
    [['default/young', 'OverlappingPort']],
  );
  await wanted.update({ services: [young], endpointSlices, node: NODE });
  assert.equal(wanted.get(slot), '10.0.0.1 . 8080');
  assert.deepEqual(wanted.problems, []);
});

test('where endpoints are expected may be known later', async () => {
  const endpointCidrs = [] as Cidr[];
  const wanted = new Wanted({ ...options, endpointCidrs });
  const services = [service('web', { clusterIP: '172.20.0.1', ports: [{ port: 80 }] })];
  const endpointSlices = [slice('web', 8080, ['192.0.2.1'])];
  const told = async () => {
    await wanted.update({ services, endpointSlices, node: NODE });
    return wanted.problems.map(({ reason }) => reason);
  };
  assert.deepEqual(await told(), []);
  endpointCidrs.push(parseCidr('10.0.0.0/16'));
  assert.deepEqual(await told(), ['EndpointOutsideNetwork']);
  endpointCidrs.push(parseCidr('192.0.2.0/24'));
  assert.deepEqual(await told(), []);
});

test('whatever stands in one Service and its slices, the others are served', async () => {
  const junk = fc.jsonValue({ maxDepth: 2 });
  const orJunk = <T>(...values: T[]) => fc.oneof(fc.constantFrom(...values), junk);
  const port = fc.record({ name: junk, port: orJunk(80), protocol: orJunk('TCP', 'UDP'), nodePort: junk });
  const spec = fc.record(
    {
      type: orJunk('NodePort'),
      clusterIP: orJunk('172.20.0.9'),
      clusterIPs: orJunk(['172.20.0.9']),
      externalIPs: orJunk([['192.0.2.1']]),
      ports: fc.oneof(fc.array(port), junk),
      loadBalancerSourceRanges: junk,
      sessionAffinity: orJunk('ClientIP'),
      sessionAffinityConfig: junk,
      externalTrafficPolicy: orJunk('Local'),
      healthCheckNodePort: junk,
    },
    { requiredKeys: ['ports', 'clusterIP'] },
  );
  const endpoint = fc.record({
    addresses: orJunk(['10.0.0.3']),
    conditions: junk,
    hints: junk,
    nodeName: junk,
  });
  const parts = fc.record({
    endpoints: fc.oneof(fc.array(endpoint), junk),
    ports: fc.oneof(fc.array(port), junk),
  });
  const good = service('good', { clusterIP: '172.20.0.1', ports: [{ port: 80 }] });
  const slices = [slice('good', 8080, ['10.0.0.1'])];
  let reported = 0;
  await fc.assert(
    fc.asyncProperty(spec, parts, junk, async (spec, parts, status) => {
      const odd = { ...service('odd', {}), spec, status } as unknown as Service;
      const of = { ...slice('odd', 8080, []), ...parts } as unknown as EndpointSlice;
      const wanted = new Wanted(options);
      await wanted.update({ services: [odd, good], endpointSlices: [of, ...slices], node: NODE });
      assert.equal(wanted.get('ip endpoints-tcp 172.20.0.1 . 80 . 0'), '10.0.0.1 . 8080');
      assert.ok(wanted.problems.every(({ service }) => service === 'default/odd'));
      reported += wanted.problems.length;
    }),
    { numRuns: 500 },
  );
  assert.ok(reported > 100, `${reported} problems were reported`);
});
