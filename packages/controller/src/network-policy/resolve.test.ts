import assert from 'node:assert/strict';
import { BlockList, isIPv6 } from 'node:net';
import { it } from 'node:test';
import type { LabelSelector, Pod } from '@enid/kube';
import fc from 'fast-check';
import type { Content, Endpoint, NetworkPolicy } from './objects.ts';
import { allows, type Connection, isSubject, selectsPod, verdict } from './oracle.fixture.ts';
import {
  clusterNetworkPolicies,
  labels,
  NAMES,
  networkPolicies,
  number,
  PORTS,
  portName,
  protocol,
} from './policies.fixture.ts';
import { type Policy, readClusterNetworkPolicy, readNetworkPolicy } from './policy.ts';
import { PolicyState } from './policy-state.ts';

const pods: fc.Arbitrary<Pod[]> = fc
  .array(
    fc.record({
      namespace: fc.constantFrom(...NAMES),
      labels,
      kind: fc.constantFrom('normal', 'normal', 'normal', 'dual', 'host', 'done', 'new'),
      ports: fc.array(fc.record({ name: portName, protocol, containerPort: number }), { maxLength: 2 }),
    }),
    { minLength: 2, maxLength: 7 },
  )
  .map((all) =>
    all.map(({ namespace, labels: own, kind, ports }, i): Pod => {
      const ip = `10.0.${i % 2}.${i + 1}`;
      const ips = kind === 'dual' ? [{ ip }, { ip: `2001:db8::${i + 1}` }] : [{ ip }];
      return {
        metadata: { name: `pod-${i}`, namespace, labels: own },
        spec: { hostNetwork: kind === 'host', containers: [{ name: 'c', ports }] },
        status: {
          phase: kind === 'done' ? 'Succeeded' : 'Running',
          ...(kind !== 'new' && { podIP: ip, podIPs: ips, hostIP: '10.0.9.9' }),
        },
      };
    }),
  );

const policy = networkPolicies([
  { cidr: '10.0.0.0/16', except: ['10.0.1.0/24'] },
  { cidr: '10.0.0.0/16' },
  { cidr: '10.0.0.1/32' },
  { cidr: '10.0.0.0/15', except: ['10.0.0.0/24', '10.0.1.2/32'] },
  { cidr: '0.0.0.0/0', except: ['192.168.0.0/16'] },
  { cidr: '2001:db8::/64' },
]);
const clusterPolicy = clusterNetworkPolicies(['10.0.0.0/24', '0.0.0.0/0', '2001:db8::/64']);

const namespaceLabels = fc
  .array(labels, { minLength: 3, maxLength: 3 })
  .map((all) => new Map(NAMES.map((name, i) => [name, all[i]!])));

function stateOf(all: readonly Pod[], namespaces: ReadonlyMap<string, Record<string, string>>): PolicyState {
  const state = new PolicyState();
  for (const [name, own] of namespaces) state.setNamespace(name, { metadata: { name, labels: own } });
  for (const pod of all) state.setPod(`${pod.metadata?.namespace}/${pod.metadata?.name}`, pod);
  return state;
}

function resolveOne(state: PolicyState, read: Policy): Content {
  state.setPolicy('p', read);
  return state.resolve('p')!;
}

/** How an agent reads an endpoint. */
function holds(
  endpoint: Endpoint,
  ip: string,
  connection: Connection,
  selected: Content['podSelectorEndpoints'][number],
) {
  const covers = (cidr: string) => {
    const [net, bits = isIPv6(cidr) ? '128' : '32'] = cidr.split('/');
    const list = new BlockList();
    list.addSubnet(net!, Number(bits), isIPv6(net!) ? 'ipv6' : 'ipv4');
    return list.check(ip, isIPv6(ip) ? 'ipv6' : 'ipv4');
  };
  if (!endpoint.cidr || !covers(endpoint.cidr) || endpoint.except?.some(covers)) return false;
  return (
    endpoint.ports?.some(
      (port) =>
        port.protocol === connection.protocol &&
        (port.port === undefined ||
          (connection.port >= port.port && connection.port <= (port.endPort ?? port.port))) &&
        (port.name === undefined ||
          selected.namedPorts?.some(
            (own) => own.name === port.name && own.port === port.port && own.protocol === port.protocol,
          )),
    ) ?? true
  );
}

function* connections(all: readonly Pod[], direction: 'Ingress' | 'Egress'): Generator<Connection> {
  const outside = [{ ip: '192.168.3.4' }, { ip: '10.1.0.1' }, { ip: '8.8.8.8' }, { ip: '2001:db8::ff' }];
  const inside = all.flatMap((pod) => (pod.status?.podIPs ?? []).map(({ ip }) => ({ ip: ip!, pod })));
  for (const pod of all) {
    if (!pod.status?.podIP) continue;
    for (const other of [...outside, ...inside]) {
      const own = { ip: pod.status.podIP, pod };
      const [from, to] = direction === 'Ingress' ? [other, own] : [own, other];
      for (const each of ['TCP', 'UDP', 'SCTP']) {
        for (const port of [...PORTS, 83]) yield { from, to, protocol: each, port };
      }
    }
  }
}

it('allows exactly what the specification says, between all pods and others, on all ports', () => {
  fc.assert(
    fc.property(pods, namespaceLabels, policy, (all, namespaces, given) => {
      const read = readNetworkPolicy(given);
      const content = resolveOne(stateOf(all, namespaces), read);
      const types =
        given.spec?.policyTypes && given.spec.policyTypes.length > 0
          ? given.spec.policyTypes
          : ['Ingress', ...(given.spec?.egress?.length ? ['Egress'] : [])];
      assert.deepEqual([...read.directions].sort(), [...types].sort());
      const selected = new Map(content.podSelectorEndpoints.map((pod) => [pod.name, pod]));
      assert.deepEqual(
        [...selected.keys()].sort(),
        all
          .filter((pod) => selectsPod(given, pod))
          .map(({ metadata }) => metadata!.name!)
          .sort(),
      );
      for (const direction of ['Ingress', 'Egress'] as const) {
        if (!types.includes(direction)) continue;
        const list = direction === 'Ingress' ? content.ingress : content.egress;
        for (const connection of connections(all, direction)) {
          const [own, other] =
            direction === 'Ingress' ? [connection.to, connection.from] : [connection.from, connection.to];
          const endpoint = selected.get(own.pod!.metadata!.name!);
          if (!endpoint) continue;
          const resolved = list.some((each) => holds(each, other.ip, connection, endpoint));
          if (resolved === allows(given, direction, connection, namespaces)) continue;
          assert.fail(
            JSON.stringify(
              { direction, connection, resolved, policy: given, list, namespaces: [...namespaces] },
              null,
              1,
            ),
          );
        }
      }
    }),
    { numRuns: 1_500 },
  );
});

it('gives of a cluster policy the verdict of the first rule that fits', () => {
  fc.assert(
    fc.property(pods, namespaceLabels, clusterPolicy, (all, namespaces, given) => {
      const content = resolveOne(stateOf(all, namespaces), readClusterNetworkPolicy(given));
      const selected = new Map(content.podSelectorEndpoints.map((pod) => [pod.name, pod]));
      const withName = new Map([...namespaces].map(([name, own]) => [name, own]));
      assert.deepEqual(
        [...selected.keys()].sort(),
        all
          .filter((pod) => isSubject(given, pod, withName))
          .map(({ metadata }) => metadata!.name!)
          .sort(),
      );
      for (const direction of ['Ingress', 'Egress'] as const) {
        const list = direction === 'Ingress' ? content.ingress : content.egress;
        for (const connection of connections(all, direction)) {
          const [own, other] =
            direction === 'Ingress' ? [connection.to, connection.from] : [connection.from, connection.to];
          const endpoint = selected.get(own.pod!.metadata!.name!);
          if (!endpoint) continue;
          const first = list
            .filter((each) => holds(each, other.ip, connection, endpoint))
            .sort((a, b) => a.rule - b.rule)[0];
          assert.equal(first?.action, verdict(given, direction, connection, withName));
        }
      }
    }),
    { numRuns: 300 },
  );
});

const webPod = (name: string, own: Record<string, string>, ip: string, port = 8080): Pod => ({
  metadata: { name, namespace: 'red', labels: own },
  spec: { containers: [{ name: 'c', ports: [{ name: 'http', containerPort: port }] }] },
  status: { phase: 'Running', podIP: ip, hostIP: '10.0.9.9' },
});
const service = (targetPort: number | string) => ({
  metadata: { name: 'web', namespace: 'red' },
  spec: {
    clusterIP: '172.20.0.5',
    selector: { app: 'web' },
    ports: [{ port: 80, targetPort: targetPort as never }],
  },
});
type EgressRule = [to: object[] | undefined, ports?: object[]];
const egressBy = (...rules: EgressRule[]): NetworkPolicy => ({
  metadata: { name: 'p', namespace: 'red' },
  spec: {
    podSelector: {},
    policyTypes: ['Egress'],
    egress: rules.map(([to, ports]) => ({ ...(to && { to }), ...(ports && { ports }) })),
  } as never,
});
const egressTo = (to: object[] | undefined, ports: object[] | undefined) =>
  egressBy(ports ? [to, ports] : [to]);
const clusterIp = (content: Content) =>
  content.egress.filter(({ cidr }) => cidr === '172.20.0.5').flatMap(({ ports: all }) => all);
const RED = new Map([['red', {}]]);

it('opens a Service when all pods behind it are allowed, on the ports that lead to allowed ones', () => {
  const one = webPod('one', { app: 'web', version: '1' }, '10.0.0.1');
  const two = webPod('two', { app: 'web', version: '2' }, '10.0.0.2');
  const open = [{ protocol: 'TCP', port: 80 }];
  const versionOne = [{ podSelector: { matchLabels: { version: '1' } } }];
  const versionTwo = [{ podSelector: { matchLabels: { version: '2' } } }];
  const web = [{ podSelector: { matchLabels: { app: 'web' } } }];
  const onHost = webPod('host', { app: 'web' }, '10.0.9.9');
  onHost.spec!.hostNetwork = true;
  const cases: [NetworkPolicy, number | string, Pod[], object[]][] = [
    [egressTo(web, undefined), 8080, [one, two], open],
    [egressTo(web, [{ port: 8080 }]), 8080, [one, two], open],
    [egressTo(web, [{ port: 'http' }]), 'http', [one, two], open],
    [egressTo(web, [{ port: 8080 }]), 'http', [one, two], open],
    // 80 is the Service's port, not the pods'.
    [egressTo(web, [{ port: 80 }]), 8080, [one, two], []],
    [egressTo(web, [{ port: 8080, protocol: 'UDP' }]), 8080, [one, two], []],
    // The Service would lead to the second version.
    [egressTo(versionOne, undefined), 8080, [one, two], []],
    [egressTo(versionOne, undefined), 8080, [one], open],
    // To everybody, on a port that the Service has under another number.
    [egressTo(undefined, [{ port: 8080 }]), 8080, [one, two], open],
    [
      egressTo(undefined, [{ port: 8080 }]),
      'http',
      [one, webPod('three', { app: 'web' }, '10.0.0.3', 81)],
      [],
    ],
    [
      egressTo(undefined, [{ port: 'http' }]),
      'http',
      [one, webPod('three', { app: 'web' }, '10.0.0.3', 81)],
      open,
    ],
    [egressTo([{ ipBlock: { cidr: '10.0.0.0/8' } }], undefined), 8080, [one, two], []],
    // Each version by a rule of its own, on the right port or not.
    [egressBy([versionOne], [versionTwo]), 8080, [one, two], open],
    [egressBy([versionOne, [{ port: 8080 }]], [versionTwo, [{ port: 'http' }]]), 8080, [one, two], open],
    [egressBy([versionOne], [versionTwo, [{ port: 80 }]]), 8080, [one, two], []],
    [egressBy([versionOne], [undefined, [{ port: 8080 }]]), 8080, [one, two], open],
    // One that a selector cannot mean, as it has its node's address: by that.
    [egressBy([web]), 8080, [one, onHost], []],
    [egressBy([web], [[{ ipBlock: { cidr: '10.0.9.0/24' } }]]), 8080, [one, onHost], open],
    [
      egressBy([web], [[{ ipBlock: { cidr: '10.0.9.0/24', except: ['10.0.9.8/29'] } }]]),
      8080,
      [one, onHost],
      [],
    ],
  ];
  for (const [given, target, all, expected] of cases) {
    const state = stateOf(all, RED);
    state.setService('red/web', service(target));
    assert.deepEqual(clusterIp(resolveOne(state, readNetworkPolicy(given))), expected, JSON.stringify(given));
  }
});

it('denies a Service when one pod behind it is denied, and passes it on when all are', () => {
  const one = webPod('one', { app: 'web', version: '1' }, '10.0.0.1');
  const two = webPod('two', { app: 'web', version: '2' }, '10.0.0.2');
  const state = stateOf([one, two], RED);
  state.setService('red/web', service('http'));
  const actions = (action: 'Accept' | 'Deny' | 'Pass', version: LabelSelector, namedPort: string) => {
    const to = [{ pods: { namespaceSelector: {}, podSelector: version } }];
    const spec = { tier: 'Admin' as const, priority: 1, subject: { namespaces: {} } };
    const egress = [{ action, to, ports: [{ namedPort }] }];
    const content = resolveOne(
      state,
      readClusterNetworkPolicy({ metadata: { name: 'c' }, spec: { ...spec, egress } }),
    );
    return content.egress.filter(({ cidr }) => cidr === '172.20.0.5').map((each) => each.action);
  };
  const first = { matchLabels: { version: '1' } };
  assert.deepEqual(actions('Deny', first, 'http'), ['Deny']);
  assert.deepEqual(actions('Accept', first, 'http'), []);
  assert.deepEqual(actions('Pass', first, 'http'), []);
  assert.deepEqual(actions('Pass', {}, 'http'), ['Pass']);
  assert.deepEqual(actions('Deny', {}, 'dns'), []);
});

it('says which policies a change touches, so that following it gives what resolving all would give', () => {
  const step = fc.oneof(
    fc.record({ what: fc.constant('pod' as const), at: fc.nat(6), labels, gone: fc.boolean(), port: number }),
    fc.record({ what: fc.constant('namespace' as const), at: fc.nat(2), labels }),
    fc.record({
      what: fc.constant('service' as const),
      at: fc.nat(2),
      labels,
      target: fc.oneof(number, portName),
    }),
  );
  fc.assert(
    fc.property(
      pods,
      namespaceLabels,
      fc.array(policy, { maxLength: 6 }),
      fc.array(step, { maxLength: 12 }),
      (all, namespaces, policies, steps) => {
        const state = stateOf(all, namespaces);
        for (const [i, each] of policies.entries()) state.setPolicy(`${i}`, readNetworkPolicy(each));
        const known = policies.map((_, i) => state.resolve(`${i}`));
        for (const each of steps) {
          let touched: Set<string>;
          if (each.what === 'pod') {
            const pod = all[each.at % all.length]!;
            const { name, namespace } = pod.metadata!;
            const spec = { containers: [{ name: 'c', ports: [{ name: 'http', containerPort: each.port }] }] };
            const now = { ...pod, metadata: { ...pod.metadata, labels: each.labels }, spec };
            touched = state.setPod(`${namespace}/${name}`, each.gone ? undefined : now);
          } else if (each.what === 'namespace') {
            const name = NAMES[each.at]!;
            touched = state.setNamespace(name, { metadata: { name, labels: each.labels } });
          } else {
            const namespace = NAMES[each.at]!;
            const ports80 = [{ port: 80, targetPort: each.target as never }];
            const spec = { clusterIP: `172.20.0.${each.at}`, selector: each.labels, ports: ports80 };
            touched = state.setService(`${namespace}/s`, { metadata: { name: 's', namespace }, spec });
          }
          for (const [i] of policies.entries()) {
            const now = state.resolve(`${i}`);
            if (!touched.has(`${i}`))
              assert.deepEqual(sorted(now), sorted(known[i]), JSON.stringify({ each, policy: policies[i] }));
            known[i] = now;
          }
        }
      },
    ),
    { numRuns: 300 },
  );
});

const sorted = (content: Content | undefined) =>
  content &&
  Object.values(content).map((list) => (list as object[]).map((item) => JSON.stringify(item)).sort());

it('leaves out what is wrong, says so, and holds ten thousand ports', () => {
  const wrong: NetworkPolicy = {
    metadata: { name: 'p', namespace: 'red' },
    spec: {
      podSelector: {},
      ingress: [
        {
          from: [
            { ipBlock: { cidr: '10.0.0.300/8' } },
            { ipBlock: { cidr: '10.0.0.0/8', except: ['10.x/9'] } },
          ],
        },
        {
          from: [{ ipBlock: { cidr: '10.0.0.0/8' } }],
          ports: Array.from({ length: 10_000 }, (_, i) => ({ port: 2 * i + 1 })),
        },
        {
          from: [{ ipBlock: { cidr: '10.0.0.0/8' } }],
          ports: Array.from({ length: 10_000 }, (_, i) => ({ port: i + 1 })),
        },
      ],
    },
  };
  const read = readNetworkPolicy(wrong);
  assert.equal(read.problems.length, 2);
  assert.match(read.problems[0]!, /^spec.ingress\[0\]: "10.0.0.300\/8" is not an IPv4 CIDR block/);
  const { ingress } = resolveOne(stateOf([], RED), read);
  assert.deepEqual(
    ingress.filter(({ rule: index }) => index === 0),
    [],
  );
  const many = ingress.filter(({ rule: index }) => index === 1);
  assert.equal(many.length, 20);
  assert.equal(new Set(many.flatMap((each) => each.ports!.map(({ port }) => port))).size, 10_000);
  assert.deepEqual(ingress.at(-1)?.ports, [{ protocol: 'TCP', port: 1, endPort: 10_000 }]);
});
