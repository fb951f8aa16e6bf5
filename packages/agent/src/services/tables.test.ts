import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { NetNamespace, Nftables } from '@enid/linux';
import { baseScript, TABLE } from './layout.ts';
import { readMemory } from './memory.ts';
import { listedObjects } from './objects.ts';
import { type Goal, Tables } from './tables.ts';
import { elsewhere, NODE, service, slice, VIPS, v6Of } from './testbed.ts';
import { Wanted } from './wanted.ts';

let count = 0;

function namespace(t: TestContext): NetNamespace {
  const name = `tb${process.pid}-${++count}`;
  const ns = NetNamespace.create(name);
  t.after(() => {
    ns.close();
    NetNamespace.delete(name);
  });
  return ns;
}

/** Services of every kind, in both families and all protocols. */
async function everything(): Promise<Wanted> {
  const wanted = new Wanted({ families: [4, 6], podLinks: 'eni*', endpointCidrs: [] });
  const protocols = ['TCP', 'UDP', 'SCTP'];
  const services = ['Cluster', 'Local'].map((policy, index) =>
    service(
      `s${index}`,
      {
        type: 'LoadBalancer',
        clusterIP: `172.20.0.${index}`,
        clusterIPs: [`172.20.0.${index}`, v6Of(`172.20.0.${index}`)],
        // Numbers of protocols and of slots among the ports: 6, 17, 132, 2.
        ports: protocols.map((protocol, at) => ({
          name: protocol.toLowerCase(),
          protocol,
          port: [6, 17, 132][at]!,
          nodePort: 30_000 + 10 * index + at,
        })),
        externalIPs: [VIPS[index]!],
        internalTrafficPolicy: policy,
        externalTrafficPolicy: policy,
        sessionAffinity: index === 0 ? 'ClientIP' : 'None',
        loadBalancerSourceRanges: ['192.0.2.0/24', '198.51.100.7/32', 'fd00::/8'],
      },
      { status: { loadBalancer: { ingress: [{ ip: '203.0.113.9' }, { ip: 'fd00::9' }] } } },
    ),
  );
  const endpointSlices = services.flatMap(({ metadata }) =>
    protocols.flatMap((protocol) => [
      slice(metadata!.name!, 2, ['10.0.0.1', elsewhere('10.0.0.2')], {
        protocol,
        portName: protocol.toLowerCase(),
      }),
      slice(metadata!.name!, 6, [elsewhere(v6Of('10.0.0.3'))], {
        protocol,
        portName: protocol.toLowerCase(),
        addressType: 'IPv6',
      }),
    ]),
  );
  await wanted.update({ services, endpointSlices, node: NODE });
  return wanted;
}

test('what is installed is read back as it was meant, of every kind', async (t) => {
  const ns = namespace(t);
  const wanted = await everything();
  using tables = new Tables(ns, ['ip', 'ip6'], { nodePortCidrs: [] });
  const { refused } = await tables.restore(wanted);
  assert.deepEqual([...refused], []);
  using anew = new Tables(ns, ['ip', 'ip6'], { nodePortCidrs: [] });
  await anew.read();
  const objects = [...wanted.byService()].flatMap(([, keys]) => [...keys]);
  assert.deepEqual([...anew.installed.keys()].sort(), [...new Set(objects)].sort());
  const { changes } = await anew.restore(wanted);
  // Rules alone are written again, since the kernel does not show them as they were written.
  assert.deepEqual([...new Set(changes.map(({ object }) => object.split(' ')[1]))], ['chain']);
  const { changes: none } = await anew.change(wanted, objects);
  assert.deepEqual(none, []);
});

test('a change sends what changed, and nothing of others', async (t) => {
  const ns = namespace(t);
  using tables = new Tables(ns, ['ip', 'ip6'], { nodePortCidrs: [] });
  const wanted = await everything();
  await tables.restore(wanted);
  const generations = tables.isKnown;
  const key = 'ip endpoints-tcp 172.20.0.0 . 6 . 0';
  const goal: Goal = {
    get: (object) => (object === key ? '10.9.9.9 . 9' : wanted.get(object)),
    byService: () => wanted.byService(),
    stickyEndpointsOf: (id, family) => wanted.stickyEndpointsOf(id, family),
  };
  const { changes } = await tables.change(
    goal,
    [...wanted.byService()].flatMap(([, keys]) => [...keys]),
  );
  assert.deepEqual(
    changes.map(({ object, to }) => [object, to]),
    [[key, '10.9.9.9 . 9']],
  );
  assert.deepEqual([generations, tables.isKnown], [true, true]);
  await new Nftables(ns).apply('add table ip other\n');
  assert.equal(tables.isKnown, false);
});

for (const [who, wrong, value] of [
  ['the kernel', 'ip frontends 172.20.0.5 . tcp . 80', 'goto nowhere'],
  ['nobody else', 'ip cluster-ips nonsense', ''],
] as const) {
  test(`what ${who} refuses of one Service keeps no other from its rules`, async (t) => {
    const ns = namespace(t);
    using tables = new Tables(ns, ['ip'], { nodePortCidrs: [] });
    const element = (index: number) => (index === 5 ? wrong : `ip cluster-ips 172.20.0.${index}`);
    const goal: Goal = {
      get: (object) => (object === wrong ? value : ''),
      byService: () => Array.from({ length: 9 }, (_, index) => [`default/s${index}`, [element(index)]]),
      stickyEndpointsOf: () => new Set(),
    };
    const { refused } = await tables.restore(goal);
    assert.deepEqual([...refused.keys()], ['default/s5']);
    const listing = await new Nftables(ns).list({ family: 'ip', name: TABLE });
    assert.equal(listedObjects(listing!).size, 8);
  });
}

/** One port with affinity that has these endpoints. */
async function sticky(...endpoints: string[]): Promise<Wanted> {
  const wanted = new Wanted({ families: [4], podLinks: 'eni*', endpointCidrs: [] });
  const services = [
    service('web', { clusterIP: '172.20.0.1', ports: [{ port: 80 }], sessionAffinity: 'ClientIP' }),
  ];
  await wanted.update({ services, endpointSlices: [slice('web', 8080, endpoints)], node: NODE });
  return wanted;
}

/** Remembers that clients were given endpoints. */
function remember(ns: NetNamespace, clients: Record<string, string>, port = 8080): Promise<void> {
  const elements = Object.entries(clients).flatMap(([client, address]) => [
    `add element ip ${TABLE} affinity/default/web { ${client} timeout 1h : ${address} }`,
    `add element ip ${TABLE} affinity-port/default/web { ${client} timeout 1h : ${port} }`,
  ]);
  return new Nftables(ns).apply(elements.join('\n'));
}

const remembered = (ns: NetNamespace) =>
  Object.fromEntries(
    readMemory(ns, 'ip', 'default/web').map(({ client, endpoint }) => [client, endpoint.split(' ')[0]!]),
  );
const everyone = { '192.0.2.1': '10.0.0.1', '192.0.2.2': '10.0.0.2', '192.0.2.3': '10.0.0.1' };
const without1 = { '192.0.2.2': '10.0.0.2' };
const keysOf = (...goals: Wanted[]) =>
  goals.flatMap((goal) => [...goal.byService()].flatMap(([, objects]) => [...objects]));

test('clients of an endpoint that goes are forgotten, also when the first attempt fails', async (t) => {
  const ns = namespace(t);
  using tables = new Tables(ns, ['ip'], { nodePortCidrs: [] });
  const [both, one] = [await sticky('10.0.0.1', '10.0.0.2'), await sticky('10.0.0.2')];
  await tables.restore(both);
  await remember(ns, everyone);
  // When nobody is remembered with it any more, a program goes missing, as it would when memory is short.
  const path = process.env.PATH!;
  t.after(() => {
    process.env.PATH = path;
  });
  let asked = 0;
  const goal: Goal = {
    get: (object) => one.get(object),
    byService: () => one.byService(),
    stickyEndpointsOf: (id, family) => {
      if (++asked === 1) process.env.PATH = '/nowhere';
      return one.stickyEndpointsOf(id, family);
    },
  };
  await assert.rejects(tables.change(goal, keysOf(both, one)), /nft executable is missing/);
  assert.deepEqual(remembered(ns), everyone);
  process.env.PATH = path;
  await tables.restore(one);
  assert.deepEqual(remembered(ns), without1);
});

test('a client that is given another endpoint while its old one goes keeps the new one', async (t) => {
  const ns = namespace(t);
  using tables = new Tables(ns, ['ip'], { nodePortCidrs: [] });
  const [both, one] = [await sticky('10.0.0.1', '10.0.0.2'), await sticky('10.0.0.2')];
  await tables.restore(both);
  await remember(ns, everyone);
  const nftables = new Nftables(ns);
  /** Asked when it has been looked who is remembered: then, once, a client's time ends, and it comes again. */
  class Meanwhile extends Set<string> {
    override has(endpoint: string): boolean {
      if (asked++ === 2) {
        const client = '192.0.2.1';
        nftables.applySync(
          ['affinity', 'affinity-port']
            .map((map) => `delete element ip ${TABLE} ${map}/default/web { ${client} }`)
            .join('\n'),
        );
        nftables.applySync(`add element ip ${TABLE} affinity/default/web { ${client} : 10.0.0.2 }`);
        nftables.applySync(`add element ip ${TABLE} affinity-port/default/web { ${client} : 8080 }`);
      }
      return super.has(endpoint);
    }
  }
  let asked = 0;
  const goal: Goal = {
    get: (object) => one.get(object),
    byService: () => one.byService(),
    stickyEndpointsOf: (id, family) => new Meanwhile(one.stickyEndpointsOf(id, family)),
  };
  const { refused } = await tables.change(goal, keysOf(both, one));
  assert.ok(asked > 5, 'it was looked twice');
  assert.deepEqual([...refused], []);
  assert.deepEqual(remembered(ns), { '192.0.2.1': '10.0.0.2', '192.0.2.2': '10.0.0.2' });
});

test('who was left with an endpoint that is gone, by a run that ended in between, is forgotten at the next start', async (t) => {
  const ns = namespace(t);
  const one = await sticky('10.0.0.2');
  using tables = new Tables(ns, ['ip'], { nodePortCidrs: [] });
  await tables.restore(one);
  await remember(ns, everyone);
  using anew = new Tables(ns, ['ip'], { nodePortCidrs: [] });
  await anew.read();
  await anew.restore(one);
  assert.deepEqual(remembered(ns), without1);
});

test('so is who was left with a port that its endpoint had', async (t) => {
  const ns = namespace(t);
  const one = await sticky('10.0.0.2');
  using tables = new Tables(ns, ['ip'], { nodePortCidrs: [] });
  await tables.restore(one);
  await remember(ns, { '192.0.2.1': '10.0.0.2' }, 9090);
  await remember(ns, { '192.0.2.2': '10.0.0.2' });
  using anew = new Tables(ns, ['ip'], { nodePortCidrs: [] });
  await anew.restore(one);
  assert.deepEqual(remembered(ns), without1);
});

test('clients of both families are forgotten', async (t) => {
  const ns = namespace(t);
  using tables = new Tables(ns, ['ip', 'ip6'], { nodePortCidrs: [] });
  const [address, other] = [v6Of('10.0.0.1'), v6Of('10.0.0.2')];
  const goalOf = async (...addresses: string[]) => {
    const wanted = new Wanted({ families: [4, 6], podLinks: 'eni*', endpointCidrs: [] });
    const clusterIPs = [v6Of('172.20.0.1')];
    await wanted.update({
      services: [
        service('web', {
          clusterIP: clusterIPs[0]!,
          clusterIPs,
          ports: [{ port: 80 }],
          sessionAffinity: 'ClientIP',
        }),
      ],
      endpointSlices: [slice('web', 8080, addresses, { addressType: 'IPv6' })],
      node: NODE,
    });
    return wanted;
  };
  const [both, one] = [await goalOf(address, other), await goalOf(other)];
  await tables.restore(both);
  await new Nftables(ns).apply(
    [address, other]
      .flatMap((endpoint, at) => [
        `add element ip6 ${TABLE} affinity/default/web { 2001:db8::${at} timeout 1h : ${endpoint} }`,
        `add element ip6 ${TABLE} affinity-port/default/web { 2001:db8::${at} timeout 1h : 8080 }`,
      ])
      .join('\n'),
  );
  await tables.change(one, keysOf(both, one));
  assert.deepEqual(
    readMemory(ns, 'ip6', 'default/web').map(({ client, endpoint }) => [client, endpoint]),
    [['2001:db8::1', `${other} . 8080`]],
  );
});

test('a table of another layout is replaced', async (t) => {
  const ns = namespace(t);
  await new Nftables(ns).apply(
    `table ip ${TABLE} {\n map frontends { type ipv4_addr : verdict; }\n chain forward { type filter hook input priority 5; }\n}\n`,
  );
  using tables = new Tables(ns, ['ip', 'ip6'], { nodePortCidrs: ['10.0.0.0/8'] });
  const wanted = await everything();
  const { refused } = await tables.restore(wanted);
  assert.deepEqual([...refused], []);
  using anew = new Tables(ns, ['ip', 'ip6'], { nodePortCidrs: [] });
  await anew.read();
  assert.ok(anew.installed.has('ip frontends 172.20.0.0 . sctp . 132'));
});

test('the base can be applied over itself', async (t) => {
  const nftables = new Nftables(namespace(t));
  for (let i = 0; i < 2; i++) {
    await nftables.apply(
      baseScript('ip', { nodePortCidrs: [] }) + baseScript('ip6', { nodePortCidrs: ['fd00::/8'] }),
    );
  }
});
