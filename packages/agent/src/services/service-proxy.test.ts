/** Services as clients see them, over real sockets in network namespaces. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { type NetNamespace, Nftables, nftElements } from '@enid/linux';
import type { ServiceSpec } from './kubernetes.ts';
import { TABLE } from './layout.ts';
import type { Problem } from './model.ts';
import { removeServiceTables } from './tables.ts';
import {
  ask,
  bring,
  CLIENT,
  call,
  elsewhere,
  makeBed,
  NODE_IP,
  NODE_IP_2,
  open,
  serveTcp,
  serveUdp,
  service,
  slice,
  spread,
  startProxy,
  udpSocket,
  VIPS,
  v6Of,
} from './testbed.ts';

const CLUSTER_IP = '172.20.0.10';
const POD_A = '10.0.1.1';
const POD_B = '10.0.1.2';
const POD_C = '10.0.2.3';

/** A node with two pods and one pod elsewhere, each a backend at TCP and UDP port 8080. */
async function start(t: TestContext, options: Parameters<typeof startProxy>[2] = {}) {
  const bed = makeBed(t);
  const pods = { a: bed.pod(POD_A), b: bed.pod(POD_B), c: bed.remote(POD_C) };
  for (const [name, ns, address] of [
    ['a', pods.a, POD_A],
    ['b', pods.b, POD_B],
    ['c', pods.c, POD_C],
  ] as const) {
    for (const at of [address, v6Of(address)]) {
      serveTcp(t, ns, at, 8080, name);
      serveUdp(t, ns, at, 8080, name);
    }
  }
  const problems: Problem[] = [];
  const proxy = await startProxy(t, bed, {
    healthPort: null,
    report: (problem) => problems.push(problem),
    ...options,
  });
  return { bed, pods, proxy, problems };
}

const web = (spec: ServiceSpec = {}) =>
  service('web', { clusterIP: CLUSTER_IP, ports: [{ port: 80 }], ...spec });
const everywhere = [POD_A, POD_B, elsewhere(POD_C)];

test('a ClusterIP is balanced in equal shares, for pods and the node itself', async (t) => {
  const { bed, pods, proxy, problems } = await start(t);
  await bring(proxy, [web()], [slice('web', 8080, everywhere)]);
  for (const [from, address] of [
    [pods.a, POD_A],
    [bed.node, NODE_IP],
  ] as const) {
    const counts = await spread(300, () => call(from, CLUSTER_IP, 80));
    assert.deepEqual(Object.keys(counts).sort(), ['a', 'b', 'c'], JSON.stringify(counts));
    // 100 expected, with a standard deviation of 8.2.
    for (const share of Object.values(counts)) assert.ok(Math.abs(share - 100) < 50, JSON.stringify(counts));
    let seen: unknown;
    do seen = await call(from, CLUSTER_IP, 80);
    while (typeof seen === 'object' && (seen as { by: string }).by === 'a');
    assert.equal((seen as { sees: string }).sees, address);
  }
  assert.deepEqual(problems, []);
});

test('UDP is balanced, and a pod that reaches itself sees the node', async (t) => {
  const { bed, pods, proxy } = await start(t);
  const dns = service('dns', {
    type: 'NodePort',
    clusterIP: CLUSTER_IP,
    ports: [
      { name: 'udp', protocol: 'UDP', port: 53, nodePort: 30_053 },
      { name: 'tcp', protocol: 'TCP', port: 53 },
    ],
  });
  await bring(
    proxy,
    [dns],
    [
      slice('dns', 8080, everywhere, { protocol: 'UDP', portName: 'udp' }),
      slice('dns', 8080, [POD_B], { portName: 'tcp' }),
    ],
  );
  const once = (address: string, port: number, ns = pods.a, from = POD_A) => {
    const socket = udpSocket(t, ns, from);
    return ask(socket, address, port);
  };
  const counts = await spread(60, () => once(CLUSTER_IP, 53));
  assert.deepEqual(Object.keys(counts).sort(), ['a', 'b', 'c']);
  assert.deepEqual(await call(pods.a, CLUSTER_IP, 53), { by: 'b', sees: POD_A });
  for (let i = 0; i < 20; i++) {
    const outcome = await once(CLUSTER_IP, 53);
    assert.ok(typeof outcome === 'object');
    assert.equal(outcome.sees, outcome.by === 'a' ? NODE_IP : POD_A);
  }
  const outside = await once(NODE_IP, 30_053, bed.outside, CLIENT);
  assert.equal((outside as { sees: string }).sees, NODE_IP);
});

test('without endpoints, and at ports that a Service does not have, connections are refused at once', async (t) => {
  const { bed, pods, proxy } = await start(t);
  const ports = [{ port: 80, nodePort: 30_080 }];
  await bring(proxy, [web({ type: 'NodePort', ports })], []);
  const refusals = async () =>
    Promise.all([
      call(pods.a, CLUSTER_IP, 80),
      call(bed.node, CLUSTER_IP, 80),
      call(pods.a, CLUSTER_IP, 81),
      call(bed.outside, NODE_IP, 30_080),
      call(bed.node, NODE_IP, 30_080),
    ]);
  assert.deepEqual(await refusals(), Array(5).fill('ECONNREFUSED'));
  // Ready endpoints first, then those that still serve while they terminate; others never.
  const conditions = (ready: boolean, serving: boolean, terminating: boolean) => ({
    ready,
    serving,
    terminating,
  });
  const unready = elsewhere(POD_C, { conditions: conditions(false, false, false) });
  const terminating = { addresses: [POD_A], nodeName: 'node-1', conditions: conditions(false, true, true) };
  await bring(proxy, [web({ type: 'NodePort', ports })], [slice('web', 8080, [unready])]);
  assert.deepEqual(await refusals(), Array(5).fill('ECONNREFUSED'));
  await bring(proxy, [web({ type: 'NodePort', ports })], [slice('web', 8080, [terminating, unready])]);
  assert.deepEqual(await spread(40, () => call(pods.b, CLUSTER_IP, 80)), { a: 40 });
  await bring(proxy, [web({ type: 'NodePort', ports })], [slice('web', 8080, [terminating, unready, POD_B])]);
  assert.deepEqual(await spread(40, () => call(pods.a, CLUSTER_IP, 80)), { b: 40 });
});

test('policy Local without a local endpoint drops, except what comes from the node and its pods', async (t) => {
  const { bed, pods, proxy } = await start(t);
  const external = web({
    type: 'NodePort',
    externalTrafficPolicy: 'Local',
    ports: [{ port: 80, nodePort: 30_080 }],
  });
  const internal = service('internal', {
    clusterIP: '172.20.0.11',
    ports: [{ port: 80 }],
    internalTrafficPolicy: 'Local',
  });
  await bring(
    proxy,
    [external, internal],
    [slice('web', 8080, [elsewhere(POD_C)]), slice('internal', 8080, [elsewhere(POD_C)])],
  );
  const timeout = 300;
  assert.equal(await call(bed.outside, NODE_IP, 30_080, { timeout }), 'timeout');
  assert.equal(await call(pods.a, '172.20.0.11', 80, { timeout }), 'timeout');
  assert.deepEqual(await call(pods.a, NODE_IP, 30_080), { by: 'c', sees: POD_A });
  assert.deepEqual(await call(bed.node, NODE_IP, 30_080), { by: 'c', sees: NODE_IP });
  assert.deepEqual(await call(pods.a, CLUSTER_IP, 80), { by: 'c', sees: POD_A });
});

test('NodePorts are at those addresses of the node alone that are configured', async (t) => {
  const families = [4, 6] as const;
  const nodePortCidrs = [`${NODE_IP}/32`, `${v6Of(NODE_IP)}/128`] as never[];
  const { bed, pods, proxy } = await start(t, { families, nodePortCidrs });
  const ports = [{ port: 80, nodePort: 30_080 }];
  const clusterIPs = [CLUSTER_IP, v6Of(CLUSTER_IP)];
  const v6 = slice('web', 8080, [v6Of(POD_B)], { addressType: 'IPv6' });
  await bring(proxy, [web({ type: 'NodePort', clusterIPs, ports })], [slice('web', 8080, [POD_B]), v6]);
  for (const as of [(address: string) => address, v6Of]) {
    for (const from of [bed.outside, bed.node, pods.a]) {
      assert.equal(((await call(from, as(NODE_IP), 30_080)) as { by: string }).by, 'b');
      assert.equal(await call(from, as(NODE_IP_2), 30_080), 'ECONNREFUSED');
    }
  }
});

test('a client stays with its endpoint for its time, and is given another when that goes', async (t) => {
  const { bed, pods, proxy } = await start(t);
  const sticky = (timeoutSeconds: number) =>
    web({
      type: 'NodePort',
      ports: [{ port: 80, nodePort: 30_080 }],
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds } },
    });
  const endpoints = slice('web', 8080, everywhere);
  await bring(proxy, [sticky(600)], [endpoints]);
  const only = async (times: number, connect: () => ReturnType<typeof call>) => {
    const counts = await spread(times, connect);
    assert.equal(Object.keys(counts).length, 1, JSON.stringify(counts));
    return Object.keys(counts)[0]!;
  };
  // Concurrent first connections may be given different endpoints: the first is made alone.
  const fromNode = (await call(bed.node, CLUSTER_IP, 80)) as { by: string };
  const fromPod = (await call(pods.b, CLUSTER_IP, 80)) as { by: string };
  assert.equal(await only(40, () => call(bed.node, CLUSTER_IP, 80)), fromNode.by);
  assert.equal(await only(40, () => call(pods.b, CLUSTER_IP, 80)), fromPod.by);
  // One memory for all frontends of a port.
  assert.equal(await only(40, () => call(bed.node, NODE_IP, 30_080)), fromNode.by);

  const names: Record<string, (typeof everywhere)[number]> = { a: POD_A, b: POD_B, c: elsewhere(POD_C) };
  delete names[fromPod.by];
  await bring(proxy, [sticky(600)], [slice('web', 8080, Object.values(names))]);
  const next = (await call(pods.b, CLUSTER_IP, 80)) as { by: string };
  assert.ok(next.by in names);
  assert.equal(await only(40, () => call(pods.b, CLUSTER_IP, 80)), next.by);
  if (fromNode.by !== fromPod.by)
    assert.equal(await only(40, () => call(bed.node, CLUSTER_IP, 80)), fromNode.by);

  // With a time of one second a client that comes once in 1.2 seconds is balanced anew: the same 12 times by chance once in 177,147.
  await bring(proxy, [], []);
  await bring(proxy, [sticky(1)], [endpoints]);
  const seen = new Set<string>();
  for (let i = 0; i < 12 && seen.size < 2; i++) {
    seen.add(((await call(pods.b, CLUSTER_IP, 80)) as { by: string }).by);
    await new Promise((resolve) => setTimeout(resolve, 1200));
  }
  assert.ok(seen.size > 1);
});

/** Whether an endpoint is in the tables. */
function isServed(ns: NetNamespace, address: string): boolean {
  const endpoints = nftElements({ family: 'ip', table: TABLE, map: 'endpoints-tcp' }, ns)!;
  return endpoints.some(({ value }) => value.subarray(0, 4).join('.') === address);
}

test('from the moment in which an endpoint is out of the tables, no client that was with it is sent there', async (t) => {
  const { bed, pods, proxy } = await start(t);
  const of = (...endpoints: Parameters<typeof slice>[2]) => [slice('web', 8080, endpoints)];
  const sticky = web({
    type: 'NodePort',
    ports: [{ port: 80, nodePort: 30_080 }],
    sessionAffinity: 'ClientIP',
  });
  const addresses: Record<string, string> = { a: POD_A, b: POD_B };
  const late: string[] = [];
  const seen = new Set<string>();
  let running = true;
  const client = async (ns: NetNamespace, address: string, port: number) => {
    while (running) {
      const gone = Object.keys(addresses).filter((name) => !isServed(bed.node, addresses[name]!));
      const outcome = await call(ns, address, port);
      const by = typeof outcome === 'object' ? outcome.by : outcome;
      seen.add(by);
      if (gone.includes(by) || !(by in addresses)) late.push(`${by} without ${gone}`);
    }
  };
  await bring(proxy, [sticky], of(POD_A, POD_B));
  const clients = Promise.all([
    client(bed.node, CLUSTER_IP, 80),
    client(pods.c, NODE_IP, 30_080),
    client(bed.outside, NODE_IP_2, 30_080),
  ]);
  for (let round = 0; round < 8; round++) {
    const [stays, goes] = round % 2 ? [POD_A, POD_B] : [POD_B, POD_A];
    await bring(proxy, [sticky], of(stays));
    assert.equal(isServed(bed.node, goes), false);
    for (let n = 0; n < 10; n++)
      assert.equal(addresses[((await call(bed.node, CLUSTER_IP, 80)) as { by: string }).by], stays);
    // Who was with the one that stays is so still, and nobody is with the other.
    await bring(proxy, [sticky], of(POD_A, POD_B));
  }
  running = false;
  await clients;
  assert.deepEqual(late, []);
  assert.deepEqual([...seen].sort(), ['a', 'b']);
});

test("source ranges bind a load balancer address alone; a proxy is not the node's to answer", async (t) => {
  const { bed, pods, proxy } = await start(t);
  const balanced = (loadBalancerSourceRanges: string[]) =>
    service(
      'web',
      {
        type: 'LoadBalancer',
        clusterIP: CLUSTER_IP,
        ports: [{ port: 80, nodePort: 30_080 }],
        externalIPs: [VIPS[0]],
        loadBalancerSourceRanges,
      },
      { status: { loadBalancer: { ingress: [{ ip: VIPS[1] }, { ip: VIPS[2], ipMode: 'Proxy' }] } } },
    );
  const endpoints = slice('web', 8080, [POD_B]);
  const outcomes = async () => {
    const attempts = [
      call(bed.outside, VIPS[1], 80, { timeout: 300 }),
      call(pods.a, VIPS[1], 80, { timeout: 300 }),
      call(bed.outside, VIPS[0], 80),
      call(bed.outside, NODE_IP, 30_080),
    ];
    return (await Promise.all(attempts)).map((outcome) =>
      typeof outcome === 'object' ? outcome.by : outcome,
    );
  };
  // Blocks that lie in one another are one to the kernel.
  await bring(
    proxy,
    [balanced(['203.0.113.0/24', '203.0.113.5/32', '203.0.113.0/28', '192.0.2.0/24'])],
    [endpoints],
  );
  assert.deepEqual(await outcomes(), ['b', 'timeout', 'b', 'b']);
  await bring(proxy, [balanced(['10.0.0.0/8'])], [endpoints]);
  assert.deepEqual(await outcomes(), ['timeout', 'b', 'b', 'b']);
  await bring(proxy, [balanced(['nonsense'])], [endpoints]);
  assert.deepEqual(await outcomes(), ['timeout', 'timeout', 'b', 'b']);
  await bring(proxy, [balanced([])], [endpoints]);
  assert.deepEqual(await outcomes(), ['b', 'b', 'b', 'b']);
  // Nobody is at the address of a proxy here: the packet comes back to the VPC until it has lived long enough.
  assert.notEqual(typeof (await call(bed.outside, VIPS[2], 80, { timeout: 300 })), 'object');
});

test('flows of UDP are cut with their endpoint; others and those of TCP go on', async (t) => {
  const { bed, pods, proxy, problems } = await start(t);
  const dns = service('dns', {
    type: 'NodePort',
    clusterIP: CLUSTER_IP,
    ports: [{ name: 'u', protocol: 'UDP', port: 53, nodePort: 30_053 }],
  });
  const tcp = service('web', { clusterIP: '172.20.0.11', ports: [{ port: 80 }] });
  const of = (...endpoints: Parameters<typeof slice>[2]) => [
    slice('dns', 8080, endpoints, { protocol: 'UDP', portName: 'u' }),
    slice('web', 8080, endpoints),
  ];
  // A client that began before there was a Service: its flow goes nowhere, and would for ever.
  const early = udpSocket(t, pods.a, POD_A);
  assert.equal(await ask(early, CLUSTER_IP, 53, 100), 'timeout');
  await bring(proxy, [dns, tcp], of(POD_B));
  assert.deepEqual(await ask(early, CLUSTER_IP, 53), { by: 'b', sees: POD_A });

  const clients = Array.from({ length: 12 }, (_, index) => {
    const [socket, address, port] =
      index % 2
        ? ([udpSocket(t, pods.a, POD_A), CLUSTER_IP, 53] as const)
        : ([udpSocket(t, bed.outside, CLIENT), NODE_IP, 30_053] as const);
    return async () => ((await ask(socket, address, port)) as { by: string }).by;
  });
  const answers = () => Promise.all(clients.map((client) => client()));
  assert.deepEqual(await answers(), Array(12).fill('b'));
  const connection = open(pods.a, '172.20.0.11', 80);
  assert.deepEqual(await connection.outcome, { by: 'b', sees: POD_A });
  t.after(() => connection.socket.destroy());

  // A second endpoint takes no flow away.
  await bring(proxy, [dns, tcp], of(POD_B, elsewhere(POD_C)));
  assert.deepEqual(await answers(), Array(12).fill('b'));
  // One that terminates keeps its flows while it serves.
  const leaving = {
    addresses: [POD_B],
    nodeName: 'node-1',
    conditions: { ready: false, serving: true, terminating: true },
  };
  await bring(proxy, [dns, tcp], of(leaving, elsewhere(POD_C)));
  assert.deepEqual(await answers(), Array(12).fill('b'));
  await bring(proxy, [dns, tcp], of(elsewhere(POD_C)));
  assert.deepEqual(await answers(), Array(12).fill('c'));
  connection.socket.write('still there');
  const [echo] = await once(connection.socket, 'data', { signal: AbortSignal.timeout(2000) });
  assert.equal(String(echo), 'still there');
  // Nor does a Service that is gone leave flows.
  await bring(proxy, [tcp], of(elsewhere(POD_C)));
  await assert.rejects(
    Promise.all(clients.slice(1, 2).map(async (client) => assert.ok(await client(), 'no answer'))),
    /no answer/,
  );
  assert.deepEqual(problems, []);
});

test('a restart takes up what is there: no connection fails, no endpoint moves, nothing is left over', async (t) => {
  const bed = await start(t);
  const { pods } = bed;
  const gone = service('gone', { clusterIP: '172.20.0.99', ports: [{ port: 80 }] });
  const sticky = service('sticky', {
    clusterIP: '172.20.0.12',
    ports: [{ port: 80 }],
    sessionAffinity: 'ClientIP',
  });
  // One endpoint was taken away, so that slots are not in the order of the slice.
  const before = ['10.0.1.9', POD_A, POD_B, elsewhere(POD_C)];
  const services = [web(), gone, sticky];
  await bring(bed.proxy, services, [slice('web', 8080, before), slice('sticky', 8080, everywhere)]);
  await bring(bed.proxy, services, [slice('web', 8080, everywhere), slice('sticky', 8080, everywhere)]);
  const slots = async () => {
    const listing = await new Nftables(bed.bed.node).list({ family: 'ip', name: TABLE });
    const map = listing!.find(({ map }) => map?.name === 'endpoints-tcp')!.map!;
    return (map.elem as unknown[]).map((element) => JSON.stringify(element)).sort();
  };
  const placed = await slots();
  const remembered = await call(pods.b, '172.20.0.12', 80);
  await bed.proxy.stop();

  let running = true;
  const outcomes: Record<string, number> = {};
  const load = (async () => {
    while (running) {
      const outcome = await call(pods.b, CLUSTER_IP, 80);
      const key = typeof outcome === 'object' ? 'answered' : outcome;
      outcomes[key] = (outcomes[key] ?? 0) + 1;
    }
  })();
  const flow = open(pods.a, CLUSTER_IP, 80);
  await flow.outcome;
  t.after(() => flow.socket.destroy());
  for (let restart = 0; restart < 3; restart++) {
    const proxy = await startProxy(t, bed.bed, { healthPort: null });
    await bring(proxy, [web(), sticky], [slice('web', 8080, everywhere), slice('sticky', 8080, everywhere)]);
    assert.deepEqual(await slots(), placed);
    await proxy.stop();
  }
  running = false;
  await load;
  assert.deepEqual(Object.keys(outcomes), ['answered']);
  assert.ok(outcomes.answered! > 3, JSON.stringify(outcomes));
  flow.socket.write('still there');
  const [echo] = await once(flow.socket, 'data', { signal: AbortSignal.timeout(2000) });
  assert.equal(String(echo), 'still there');
  assert.deepEqual(await call(pods.b, '172.20.0.12', 80), remembered);
  assert.notEqual(await call(pods.b, '172.20.0.99', 80, { timeout: 200 }), 'ECONNREFUSED');
});

test('what follows from a change is done, though a report about it fails', async (t) => {
  let broken = false;
  const { pods, proxy } = await start(t, {
    report: () => {
      if (!broken) return;
      broken = false;
      throw new Error('nobody listens');
    },
  });
  const dns = service('dns', { clusterIP: CLUSTER_IP, ports: [{ port: 53, protocol: 'UDP' }] });
  const endpoints = [slice('dns', 8080, [POD_B], { protocol: 'UDP' })];
  await bring(proxy, [dns], endpoints);
  const client = udpSocket(t, pods.a, POD_A);
  assert.deepEqual(await ask(client, CLUSTER_IP, 53), { by: 'b', sees: POD_A });
  broken = true;
  await bring(proxy, [web({ clusterIP: '172.20.0.11', externalIPs: ['nonsense'] })], []);
  assert.equal(broken, false);
  assert.equal(await ask(client, CLUSTER_IP, 53, 200), 'timeout');
});

test('what somebody else deletes comes back', async (t) => {
  const { bed, pods, proxy, problems } = await start(t);
  await bring(proxy, [web()], [slice('web', 8080, [POD_B])]);
  await new Nftables(bed.node).apply(`delete table ip ${TABLE}`);
  // The next change is refused, and finds out.
  await bring(proxy, [web()], [slice('web', 8080, [POD_A, POD_B])]);
  assert.deepEqual(Object.keys(await spread(40, () => call(pods.b, CLUSTER_IP, 80))).sort(), ['a', 'b']);
  assert.deepEqual(problems, []);
});

test('tables of kube-proxy, in either mode, are never touched', async (t) => {
  const { bed, proxy } = await start(t);
  const nftables = new Nftables(bed.node);
  await nftables.apply(`table ip kube-proxy {
    map service-ips {
      type ipv4_addr . inet_proto . inet_service : verdict
      elements = { 172.20.9.9 . tcp . 80 : goto service }
    }
    chain service { meta l4proto tcp dnat to 10.0.1.1:8080; }
    chain services { type nat hook prerouting priority dstnat; ip daddr . meta l4proto . th dport vmap @service-ips; }
  }`);
  for (const args of [
    ['-N', 'KUBE-SERVICES'],
    ['-A', 'PREROUTING', '-m', 'comment', '--comment', 'kubernetes service portals', '-j', 'KUBE-SERVICES'],
    ['-A', 'KUBE-SERVICES', '-d', '172.20.9.8/32', '-p', 'tcp', '-j', 'MARK', '--set-mark', '0x4000'],
  ]) {
    const { status, stderr } = bed.node.run(() => spawnSync('iptables-nft', ['-t', 'nat', ...args]));
    assert.equal(status, 0, String(stderr));
  }
  const theirs = async () =>
    Promise.all(['kube-proxy', 'nat'].map((name) => nftables.list({ family: 'ip', name })));
  const before = await theirs();
  assert.ok(before.every((listing) => listing!.length > 3));
  await bring(proxy, [web()], [slice('web', 8080, everywhere)]);
  await nftables.apply(`delete table ip ${TABLE}`);
  await bring(proxy, [web({ type: 'NodePort', ports: [{ port: 80, nodePort: 30_080 }] })], []);
  await bring(proxy, [], []);
  await proxy.stop();
  await removeServiceTables(bed.node);
  assert.deepEqual(await theirs(), before);
});

test('what cannot be is reported once, and everything else works', async (t) => {
  const { bed, pods, proxy, problems } = await start(t, { endpointCidrs: ['10.0.0.0/16' as never] });
  serveTcp(t, bed.node, NODE_IP, 30_081, 'process');
  const at = (creationTimestamp: string, name: string, spec: ServiceSpec) =>
    service(name, spec, {
      metadata: { namespace: 'default', name, creationTimestamp, annotations: { big: 'x'.repeat(100_000) } },
    });
  const services = [
    at('2024-02-01T00:00:00Z', 'younger', {
      clusterIP: '172.20.0.11',
      externalIPs: [VIPS[0]],
      ports: [{ port: 80 }],
    }),
    at('2024-01-01T00:00:00Z', 'older', {
      clusterIP: '172.20.0.12',
      externalIPs: [VIPS[0]],
      ports: [{ port: 80 }],
    }),
    web({
      externalIPs: ['1.2.3'],
      ports: [{ port: 80 }, { name: 'bad', port: 99_999 }, { name: 'odd', port: 1, protocol: 'DCCP' }],
    }),
    service('host', { type: 'NodePort', clusterIP: '172.20.0.13', ports: [{ port: 80, nodePort: 30_081 }] }),
    service('far', { clusterIP: '172.20.0.14', ports: [{ port: 80 }] }),
  ];
  const slices = [
    slice('younger', 8080, [POD_A]),
    slice('older', 8080, [POD_B]),
    slice('web', 8080, ['127.0.0.1', 'x', POD_A]),
    slice('far', 8080, ['192.0.2.1']),
    slice('nobody', 8080, [POD_A]),
  ];
  await bring(proxy, [], []);
  await bring(proxy, services, slices);
  await bring(proxy, services, slices);
  assert.deepEqual(
    problems.map(({ service, reason }) => `${service} ${reason}`).sort(),
    [
      'default/far EndpointOutsideNetwork',
      'default/host NodePortInUse',
      'default/older LargeAnnotations',
      'default/web InvalidAddress',
      'default/web InvalidEndpoint',
      'default/web InvalidPort',
      'default/web UnknownProtocol',
      'default/younger LargeAnnotations',
      'default/younger OverlappingPort',
    ],
    JSON.stringify(problems, undefined, 1),
  );
  const by = async (address: string) => ((await call(pods.b, address, 80)) as { by: string }).by;
  assert.deepEqual(await Promise.all([VIPS[0], '172.20.0.11', '172.20.0.12', CLUSTER_IP].map(by)), [
    'b',
    'a',
    'b',
    'a',
  ]);
  // The younger one has it when the older one goes.
  await bring(proxy, services.toSpliced(1, 1), slices);
  assert.equal(await by(VIPS[0]), 'a');
  // So does whoever comes after the one whose port a process has.
  const heir = service('heir', {
    type: 'NodePort',
    clusterIP: '172.20.0.15',
    ports: [{ port: 80, nodePort: 30_081 }],
  });
  const rest = services.filter(({ metadata }) => metadata?.name !== 'host');
  await bring(proxy, [...rest, heir], [...slices, slice('heir', 8080, [POD_A])]);
  assert.ok(problems.some((one) => one.service === 'default/heir' && one.reason === 'NodePortInUse'));
});

test('internalTrafficPolicy Local holds for a client that its NodePort has sent elsewhere', async (t) => {
  const { pods, proxy } = await start(t);
  const services = [
    web({
      type: 'NodePort',
      ports: [{ port: 80, nodePort: 30_080 }],
      sessionAffinity: 'ClientIP',
      internalTrafficPolicy: 'Local',
    }),
  ];
  const by = async (address: string, port: number) =>
    ((await call(pods.b, address, port)) as { by: string }).by;
  await bring(proxy, services, [slice('web', 8080, [elsewhere(POD_C)])]);
  assert.equal(await by(NODE_IP, 30_080), 'c');
  await bring(proxy, services, [slice('web', 8080, [POD_A, elsewhere(POD_C)])]);
  assert.deepEqual([await by(CLUSTER_IP, 80), await by(NODE_IP, 30_080)], ['a', 'c']);
  // Each is remembered apart, and forgotten with its endpoint.
  await bring(proxy, services, [slice('web', 8080, [POD_B, elsewhere(POD_C)])]);
  assert.deepEqual([await by(CLUSTER_IP, 80), await by(NODE_IP, 30_080)], ['b', 'c']);
});

test('externalTrafficPolicy Local holds for a client that was sent elsewhere before it was set', async (t) => {
  const { bed, pods, proxy } = await start(t);
  const sticky = (externalTrafficPolicy: string) => [
    web({
      type: 'NodePort',
      ports: [{ port: 80, nodePort: 30_080 }],
      sessionAffinity: 'ClientIP',
      externalTrafficPolicy,
    }),
  ];
  const outside = () => call(bed.outside, NODE_IP, 30_080, { localAddress: CLIENT as never });
  await bring(proxy, sticky('Cluster'), [slice('web', 8080, [elsewhere(POD_C)])]);
  assert.deepEqual(await outside(), { by: 'c', sees: NODE_IP });
  assert.deepEqual(await call(pods.b, NODE_IP, 30_080), { by: 'c', sees: NODE_IP });
  await bring(proxy, sticky('Local'), [slice('web', 8080, [POD_A, elsewhere(POD_C)])]);
  for (let i = 0; i < 5; i++) assert.deepEqual(await outside(), { by: 'a', sees: CLIENT });
  // Own pods may go anywhere, and stay with whom they know, by whichever address they ask.
  for (const [address, port] of [
    [NODE_IP, 30_080],
    [CLUSTER_IP, 80],
  ] as const)
    assert.deepEqual(await call(pods.b, address, port), { by: 'c', sees: POD_B });
});

test('what was remembered of a client is forgotten when affinity is switched off', async (t) => {
  const { pods, proxy } = await start(t);
  const by = async () => ((await call(pods.b, CLUSTER_IP, 80, { timeout: 500 })) as { by: string }).by;
  await bring(proxy, [web({ sessionAffinity: 'ClientIP' })], [slice('web', 8080, [POD_A])]);
  assert.equal(await by(), 'a');
  await bring(proxy, [web()], [slice('web', 8080, [POD_A])]);
  await bring(proxy, [web()], [slice('web', 8080, [elsewhere(POD_C)])]);
  await bring(proxy, [web({ sessionAffinity: 'ClientIP' })], [slice('web', 8080, [elsewhere(POD_C)])]);
  assert.equal(await by(), 'c');
});

test('names as long as Kubernetes lets them be', async (t) => {
  const { bed, pods, proxy, problems } = await start(t);
  const namespace = 'n'.repeat(63);
  const name = 's'.repeat(63);
  const portNames = ['a', 'b'].map((last) => `${'p'.repeat(62)}${last}`);
  const metadata = { namespace, name, creationTimestamp: '2024-01-01T00:00:00Z' };
  const long = service(
    name,
    {
      type: 'LoadBalancer',
      clusterIP: CLUSTER_IP,
      sessionAffinity: 'ClientIP',
      externalTrafficPolicy: 'Local',
      loadBalancerSourceRanges: [`${CLIENT}/32`],
      ports: portNames.map((name, index) => ({ name, port: 80 + index, nodePort: 30_080 + index })),
    },
    { metadata, status: { loadBalancer: { ingress: [{ ip: VIPS[0] }] } } },
  );
  const of = (endpoints: Parameters<typeof slice>[2]) =>
    portNames.map((portName, index) => {
      const { metadata, ...rest } = slice(name, 8080, endpoints.slice(index), { portName });
      return { ...rest, metadata: { ...metadata, namespace } };
    });
  // More endpoints of each kind than one has digits for.
  const many = Array.from({ length: 12 }, (_, host) => elsewhere(`10.0.2.${100 + host}`));
  await bring(proxy, [long], of([POD_A, POD_B, ...many]));
  await bring(proxy, [long], of([POD_A, POD_B]));
  const by = async (...args: Parameters<typeof call>) => ((await call(...args)) as { by: string }).by;
  const first = await by(bed.outside, VIPS[0], 80, { localAddress: CLIENT as never });
  assert.ok(['a', 'b'].includes(first));
  for (const [address, port] of [
    [VIPS[0], 80],
    [NODE_IP, 30_080],
  ] as const)
    assert.equal(await by(bed.outside, address, port, { localAddress: CLIENT as never }), first);
  // The two ports, whose names differ at their ends, are two.
  assert.equal(await by(pods.b, CLUSTER_IP, 81), 'b');
  await bring(proxy, [long], of([POD_B, POD_A]));
  assert.equal(await by(pods.b, CLUSTER_IP, 81), 'a');
  assert.deepEqual(problems, []);
});

test("pods on the node's own network are endpoints as others are", async (t) => {
  const { bed, pods, proxy } = await start(t);
  serveTcp(t, bed.node, NODE_IP, 9000, 'host');
  serveUdp(t, bed.node, NODE_IP, 9000, 'host');
  const ports = ['TCP', 'UDP'].map((protocol) => ({
    name: protocol.toLowerCase(),
    protocol,
    port: 80,
    nodePort: 30_080,
  }));
  const of = (externalTrafficPolicy: string) => [web({ type: 'NodePort', externalTrafficPolicy, ports })];
  const slices = ['TCP', 'UDP'].map((protocol) =>
    slice('web', 9000, [NODE_IP], { protocol, portName: protocol.toLowerCase() }),
  );
  for (const policy of ['Cluster', 'Local']) {
    await bring(proxy, of(policy), slices);
    // The node does not masquerade what it keeps.
    for (const [from, sees, address, port] of [
      [pods.a, POD_A, CLUSTER_IP, 80],
      [bed.node, NODE_IP, CLUSTER_IP, 80],
      [bed.node, NODE_IP, NODE_IP, 30_080],
      [bed.outside, CLIENT, NODE_IP, 30_080],
      [bed.outside, CLIENT, NODE_IP_2, 30_080],
    ] as const) {
      const what = `${policy}, ${sees} to ${address}`;
      const localAddress = sees as never;
      assert.deepEqual(await call(from, address, port, { localAddress }), { by: 'host', sees }, what);
      assert.deepEqual(await ask(udpSocket(t, from, sees), address, port), { by: 'host', sees }, what);
    }
  }
});
