import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { EndpointSlice, Pod, Service } from '@enid/kube';
import fc from 'fast-check';
import { subsetsOf } from '../endpoints/endpoints.ts';
import { serviceEndpoints } from '../shared/service-endpoints.ts';
import { planSlices } from './plan.ts';
import { LAST_CHANGE, triggersOf, triggerTime } from './trigger-time.ts';

const service: Service = {
  metadata: { name: 'web', namespace: 'default', uid: 'svc', labels: { tier: 'front' } },
  spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'web', protocol: 'TCP' }] },
};

function pod(id: number, options: { port?: number; ready?: boolean; deleted?: boolean } = {}): Pod {
  const { port = 8080, ready = true, deleted = false } = options;
  return {
    metadata: {
      name: `web-${id}`,
      namespace: 'default',
      uid: `uid-${id}`,
      ...(deleted && { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    },
    spec: {
      nodeName: 'node-1',
      hostname: `host-${id}`,
      subdomain: 'web',
      containers: [{ name: 'c', ports: [{ name: 'web', containerPort: port }] }],
    },
    status: {
      podIP: `10.0.${id >> 8}.${id & 255}`,
      phase: 'Running',
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  };
}

const node = { metadata: { name: 'node-1', labels: { 'topology.kubernetes.io/zone': 'a' } } };
const endpointsOf = (pods: Pod[], of = service) => serviceEndpoints(of, pods, () => node);

function apply(slices: EndpointSlice[], pods: Pod[]): { slices: EndpointSlice[]; writes: number } {
  const plan = planSlices(service, endpointsOf(pods), slices);
  let next = slices.filter((slice) => !plan.remove.includes(slice));
  next = next.map(
    (slice) => plan.update.find(({ metadata }) => metadata?.name === slice.metadata?.name) ?? slice,
  );
  const made = plan.create.map((slice, i) => ({
    ...slice,
    metadata: { ...slice.metadata, name: `slice-${slices.length + i}-${Math.random()}` },
  }));
  const writes = plan.create.length + plan.update.length + plan.remove.length;
  return { slices: [...next, ...made], writes };
}

it('keeps every endpoint in one slice of no more than 100, with few writes', () => {
  const ids = fc.uniqueArray(fc.integer({ min: 0, max: 999 }), { maxLength: 350 });
  fc.assert(
    fc.property(fc.array(ids, { minLength: 1, maxLength: 5 }), (states) => {
      let slices: EndpointSlice[] = [];
      for (const state of states) {
        // Some pods have the named port elsewhere: endpoints of a slice share their ports.
        const pods = state.map((id) => pod(id, { port: id % 10 === 0 ? 9090 : 8080 }));
        ({ slices } = apply(slices, pods));
        const held = slices.flatMap(({ endpoints = [], ports }) =>
          endpoints.map(({ targetRef }) => `${targetRef?.name} ${ports?.[0]?.port}`),
        );
        const wanted = state.map((id) => `web-${id} ${id % 10 === 0 ? 9090 : 8080}`);
        assert.deepEqual(held.sort(), wanted.sort());
        assert.ok(slices.length >= 1 && slices.every(({ endpoints = [] }) => endpoints.length <= 100));
        assert.equal(apply(slices, pods).writes, 0, 'what is right is not written again');
      }
    }),
    { numRuns: 30 },
  );
});

it('says of an endpoint what DNS and proxies need', () => {
  const states = [pod(1), pod(2, { ready: false }), pod(3, { deleted: true })];
  const [slice] = planSlices(service, endpointsOf(states), []).create;
  assert.deepEqual(slice!.metadata?.labels, {
    tier: 'front',
    'kubernetes.io/service-name': 'web',
    'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
  });
  assert.deepEqual(
    slice!.endpoints?.map(({ conditions }) => Object.values(conditions!)),
    [
      [true, true, false],
      [false, false, false],
      [false, true, true],
    ],
  );
  const { addresses, hostname, nodeName, zone, targetRef } = slice!.endpoints![0]!;
  assert.deepEqual(
    [addresses, hostname, nodeName, zone, targetRef?.uid],
    [['10.0.0.1'], 'host-1', 'node-1', 'a', 'uid-1'],
  );

  const all = { ...service, spec: { ...service.spec, publishNotReadyAddresses: true } };
  assert.ok(endpointsOf(states, all).every(({ ready }) => ready));
});

it('says whom an endpoint is meant for, by trafficDistribution', () => {
  const hints = (trafficDistribution?: string) => {
    const of = { ...service, spec: { ...service.spec, trafficDistribution } } as Service;
    const [slice] = planSlices(of, endpointsOf([pod(1), pod(2, { ready: false })]), []).create;
    return slice!.endpoints!.map((endpoint) => endpoint.hints);
  };
  const forZones = [{ name: 'a' }];
  assert.deepEqual(hints(), [undefined, undefined]);
  for (const zonal of ['PreferClose', 'PreferSameZone'])
    assert.deepEqual(hints(zonal), [{ forZones }, undefined]);
  assert.deepEqual(hints('PreferSameNode'), [{ forZones, forNodes: [{ name: 'node-1' }] }, undefined]);
});

it('tells when what made it write happened', () => {
  const readyAt = (id: number, second: number) => {
    const made = pod(id);
    const lastTransitionTime = `2026-01-01T00:00:0${second}Z`;
    return {
      ...made,
      status: { ...made.status, conditions: [{ type: 'Ready', status: 'True', lastTransitionTime }] },
    } as Pod;
  };
  const of = {
    ...service,
    metadata: { ...service.metadata, creationTimestamp: '2026-01-01T00:00:01Z' },
  } as Service;
  const first = triggersOf(of, [readyAt(1, 2)]);
  assert.equal(triggerTime(undefined, first), '2026-01-01T00:00:01Z');
  assert.equal(triggerTime(first, first), undefined);
  assert.equal(
    triggerTime(first, triggersOf(of, [readyAt(1, 2), readyAt(2, 5), readyAt(3, 4)])),
    '2026-01-01T00:00:04Z',
  );
  // A pod that went has no time of its own, and the change before is not told again.
  const [slice] = planSlices(of, endpointsOf([pod(1), pod(2)]), [], 'then').create;
  const held = {
    ...slice!,
    metadata: { ...slice!.metadata, annotations: { mine: 'x', [LAST_CHANGE]: 'then' } },
  };
  const [update] = planSlices(of, endpointsOf([pod(1)]), [held]).update;
  assert.deepEqual(
    [slice, update].map((written) => written!.metadata?.annotations),
    [{ [LAST_CHANGE]: 'then' }, { mine: 'x' }],
  );
});

it('tells the same in Endpoints, without what is ending', () => {
  const states = [pod(2, { ready: false }), pod(1), pod(3, { deleted: true })];
  const [subset, ...rest] = subsetsOf(service, endpointsOf(states));
  assert.deepEqual(
    [
      subset!.addresses?.map(({ ip }) => ip),
      subset!.notReadyAddresses?.map(({ ip }) => ip),
      subset!.ports,
      rest,
    ],
    [['10.0.0.1'], ['10.0.0.2'], [{ name: 'http', port: 8080, protocol: 'TCP' }], []],
  );
});
