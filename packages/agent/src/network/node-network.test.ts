import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Nftables, Rtnetlink, sysctl } from '@enid/linux';
import type { Assignment } from '../seams.ts';
import { waitForEniLink } from './eni-link.ts';
import { LinuxNodeNetwork } from './node-network.ts';
import {
  assignmentOf,
  exchange,
  INTERNET_HOST,
  ip,
  makeTestbed,
  networkOptions,
  primaryEni,
  secondaryEni,
  type Testbed,
  udp,
  VPC_CIDR,
  VPC_HOST,
} from './testbed.ts';

const onPrimary = assignmentOf('one', '10.0.1.5', primaryEni);
const onSecondary = assignmentOf('two', '10.0.1.51', secondaryEni);

/** A network that is set up, with both ENIs. */
async function start(t: TestContext, bed: Testbed, env: NodeJS.ProcessEnv = {}) {
  const network = new LinuxNodeNetwork(networkOptions(env), bed.node);
  t.after(() => network.close());
  bed.attach(secondaryEni);
  await network.setup({ primaryEni, vpcCidrs: [VPC_CIDR] });
  await network.setEnis([primaryEni, secondaryEni]);
  return network;
}

async function wire(network: LinuxNodeNetwork, bed: Testbed, assignment: Assignment) {
  const pod = bed.makePod();
  using sandbox = network.pods.open(pod.path);
  const pair = await network.pods.prepare(assignment, sandbox);
  const wired = await network.pods.connect(pair, assignment, sandbox);
  return { ...pod, wired };
}

/** The node's rules and routes as text, without what the kernel counts or derives. */
function routing(bed: Testbed): string[] {
  const routes = ip(bed.node, 'route', 'show', 'table', 'all').filter(
    (route: { table?: string; protocol: string }) => route.table !== 'local' && route.protocol !== 'kernel',
  );
  return [...ip(bed.node, 'rule'), ...routes].map((entry) => JSON.stringify(entry)).sort();
}

test('a pod has its address, routes, rules and neighbour as documented', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  const { ns, wired } = await wire(network, bed, onSecondary);

  const [inside] = ip(ns, '-d', 'address', 'show', 'dev', 'eth0');
  assert.equal(inside.mtu, 9001);
  assert.equal(inside.operstate, 'UP');
  assert.deepEqual(
    inside.addr_info.map((info: { local: string; prefixlen: number }) => [info.local, info.prefixlen]),
    [['10.0.1.51', 32]],
  );
  const routes = ip(ns, 'route').map((route: Record<string, unknown>) => [
    route.dst,
    route.gateway,
    route.scope,
  ]);
  assert.deepEqual(routes, [
    ['default', '169.254.1.1', undefined],
    ['169.254.1.1', undefined, 'link'],
  ]);
  const [host] = ip(bed.node, 'link', 'show', 'dev', 'eni46a553c7aae');
  assert.deepEqual(wired.host, { name: host.ifname, mac: host.address });
  assert.equal(host.mtu, 9001);
  assert.deepEqual(ip(ns, 'neigh'), [
    { dst: '169.254.1.1', dev: 'eth0', lladdr: host.address, state: ['PERMANENT'] },
  ]);
  assert.deepEqual(ip(bed.node, 'route', 'show', '10.0.1.51'), [
    { dst: '10.0.1.51', dev: host.ifname, protocol: '69', scope: 'link', flags: [] },
  ]);
  const rules = ip(bed.node, 'rule').map((rule: Record<string, unknown>) => [
    rule.priority,
    rule.src,
    rule.dst,
    rule.fwmark,
    rule.fwmask,
    rule.table,
  ]);
  assert.deepEqual(rules, [
    [0, 'all', undefined, undefined, undefined, 'local'],
    [512, 'all', '10.0.1.51', undefined, undefined, 'main'],
    [1024, 'all', undefined, '0x80', '0x80', 'main'],
    [1025, 'all', undefined, '0x2', '0x7f', '2'],
    [1536, '10.0.1.51', undefined, undefined, undefined, '2'],
    [32766, 'all', undefined, undefined, undefined, 'main'],
    [32767, 'all', undefined, undefined, undefined, 'default'],
  ]);
  assert.equal(sysctl.get(bed.node, 'net.ipv4.ip_forward'), '1');
  assert.equal(sysctl.get(bed.node, 'net.ipv4.conf.eth0.rp_filter'), '2');
});

test('a secondary ENI gets its table, MTU and address, and no route in the main table', async (t) => {
  const bed = makeTestbed(t);
  await start(t, bed);
  const table = ip(bed.node, 'route', 'show', 'table', '2').map((route: Record<string, unknown>) => [
    route.dst,
    route.gateway,
    route.dev,
    route.scope,
  ]);
  assert.deepEqual(table, [
    ['default', '10.0.1.1', 'eth1', undefined],
    ['10.0.1.1', undefined, 'eth1', 'link'],
  ]);
  const [eth1] = ip(bed.node, 'address', 'show', 'dev', 'eth1');
  assert.equal(eth1.addr_info[0].local, '10.0.1.50');
  assert.deepEqual(ip(bed.node, 'route', 'show', 'dev', 'eth1'), []);
});

test('MTUs and names are those of AWS_VPC_ENI_MTU, POD_MTU and AWS_VPC_K8S_CNI_VETHPREFIX', async (t) => {
  const bed = makeTestbed(t);
  const env = { AWS_VPC_ENI_MTU: '1500', POD_MTU: '1400', AWS_VPC_K8S_CNI_VETHPREFIX: 'pod' };
  const { ns, wired } = await wire(await start(t, bed, env), bed, onSecondary);
  assert.equal(wired.host.name, 'pod46a553c7aae');
  const mtuOf = (where: typeof ns, link: string) => ip(where, 'link', 'show', 'dev', link)[0].mtu;
  assert.deepEqual([mtuOf(ns, 'eth0'), mtuOf(bed.node, wired.host.name), wired.mtu], [1400, 1400, 1400]);
  assert.deepEqual([mtuOf(bed.node, 'eth0'), mtuOf(bed.node, 'eth1')], [1500, 1500]);
});

test('an ENI whose link appears late is waited for', async (t) => {
  const bed = makeTestbed(t);
  const network = new LinuxNodeNetwork(networkOptions(), bed.node);
  t.after(() => network.close());
  let done = false;
  const ready = network.setEnis([primaryEni, secondaryEni]).then(() => {
    done = true;
  });
  await new Promise(setImmediate);
  assert.equal(done, false);
  bed.attach(secondaryEni);
  await ready;
  assert.equal(ip(bed.node, 'route', 'show', 'table', '2').length, 2);
});

test('traffic in the VPC keeps the pod address, and passes a VPC that checks sources', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  for (const assignment of [onPrimary, onSecondary]) {
    const { ns } = await wire(network, bed, assignment);
    const client = udp(t, ns, assignment.address);
    const server = udp(t, bed.vpc, VPC_HOST);
    const there = await exchange(client, server, VPC_HOST, server.address().port);
    assert.equal(there?.seenBy, assignment.address);
    const back = await exchange(server, client, assignment.address, client.address().port);
    assert.equal(back?.seenBy, VPC_HOST);
  }
});

test('pods of one node reach each other and the node', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  const first = await wire(network, bed, onPrimary);
  const second = await wire(network, bed, onSecondary);
  const one = udp(t, first.ns, onPrimary.address);
  const two = udp(t, second.ns, onSecondary.address);
  const node = udp(t, bed.node, primaryEni.primaryIp);
  assert.equal(
    (await exchange(one, two, onSecondary.address, two.address().port))?.seenBy,
    onPrimary.address,
  );
  assert.equal(
    (await exchange(two, one, onPrimary.address, one.address().port))?.seenBy,
    onSecondary.address,
  );
  for (const pod of [one, two]) {
    assert.ok(await exchange(pod, node, primaryEni.primaryIp, node.address().port));
    assert.ok(await exchange(node, pod, pod.address().address, pod.address().port));
  }
});

test('what leaves the VPC has the primary address of the primary ENI and leaves by it', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  for (const assignment of [onPrimary, onSecondary]) {
    const { ns } = await wire(network, bed, assignment);
    const client = udp(t, ns, assignment.address);
    const server = udp(t, bed.vpc, INTERNET_HOST);
    const seen = await exchange(client, server, INTERNET_HOST, server.address().port);
    assert.equal(seen?.seenBy, primaryEni.primaryIp);
    assert.equal(seen?.answeredBy, INTERNET_HOST);
  }
});

test('SNAT options: excluded blocks, external SNAT, port randomisation', async (t) => {
  await t.test('an excluded block is reached with the pod address', async (t) => {
    const bed = makeTestbed(t);
    const network = await start(t, bed, { AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS: '203.0.113.0/24' });
    const { ns } = await wire(network, bed, onSecondary);
    const client = udp(t, ns, onSecondary.address);
    const server = udp(t, bed.vpc, INTERNET_HOST);
    const seen = await exchange(client, server, INTERNET_HOST, server.address().port);
    assert.equal(seen?.seenBy, onSecondary.address);
  });
  await t.test('with external SNAT the node translates nothing', async (t) => {
    const bed = makeTestbed(t);
    const network = await start(t, bed, { AWS_VPC_K8S_CNI_EXTERNALSNAT: 'true' });
    const { ns } = await wire(network, bed, onSecondary);
    const client = udp(t, ns, onSecondary.address);
    const server = udp(t, bed.vpc, INTERNET_HOST);
    const seen = await exchange(client, server, INTERNET_HOST, server.address().port);
    assert.equal(seen?.seenBy, onSecondary.address);
  });
  await t.test('without randomisation the port is kept, with it it is not', async (t) => {
    for (const [option, kept] of [
      ['none', true],
      ['prng', false],
      ['hashrandom', false],
    ] as const) {
      const bed = makeTestbed(t);
      const network = await start(t, bed, { AWS_VPC_K8S_CNI_RANDOMIZESNAT: option });
      const { ns } = await wire(network, bed, onPrimary);
      const server = udp(t, bed.vpc, INTERNET_HOST);
      // A random port can be the same one by chance: not three times.
      const results: boolean[] = [];
      for (const port of [40001, 40002, 40003]) {
        const client = udp(t, ns, onPrimary.address, port);
        const seen = await exchange(client, server, INTERNET_HOST, server.address().port);
        results.push(seen?.seenPort === port);
      }
      assert.equal(results.every(Boolean), kept, option);
    }
  });
});

test('a NodePort connection is answered by the ENI that was asked, whatever ENI the pod is on', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  const backends = [
    [onPrimary.address, (await wire(network, bed, onPrimary)).ns],
    [onSecondary.address, (await wire(network, bed, onSecondary)).ns],
    // A pod on the host's network.
    [primaryEni.primaryIp, bed.node],
  ] as const;
  await new Nftables(bed.node).apply(`table ip proxy { chain nodeports {
    type nat hook prerouting priority dstnat; policy accept;
    ${backends.map(([address], at) => `fib daddr type local udp dport ${30_080 + at} dnat to ${address}:8080`).join('\n')}
  }
  }`);
  for (const [at, [address, ns]] of backends.entries()) {
    const server = udp(t, ns, address, 8080);
    for (const asked of [primaryEni.primaryIp, secondaryEni.primaryIp]) {
      for (const from of [VPC_HOST, INTERNET_HOST]) {
        const client = udp(t, bed.vpc, from);
        const seen = await exchange(client, server, asked, 30_080 + at, 500);
        assert.deepEqual([seen?.seenBy, seen?.answeredBy], [from, asked], `${address} at ${asked}`);
      }
    }
  }
});

test('without NodePort support and with external SNAT nothing is marked', async (t) => {
  const bed = makeTestbed(t);
  await start(t, bed, { AWS_VPC_K8S_CNI_EXTERNALSNAT: 'true', AWS_VPC_CNI_NODE_PORT_SUPPORT: 'false' });
  for (const priority of ['1024', '1025'])
    assert.deepEqual(ip(bed.node, 'rule', 'show', 'priority', priority), []);
  const table = await new Nftables(bed.node).list({ family: 'ip', name: 'enid' });
  assert.deepEqual(
    table?.map((object) => Object.keys(object)[0]),
    ['table'],
  );
});

test('external service blocks are routed by the main table', async (t) => {
  const bed = makeTestbed(t);
  await start(t, bed, { AWS_EXTERNAL_SERVICE_CIDRS: '198.51.100.0/24' });
  const [rule] = ip(bed.node, 'rule', 'show', 'priority', '1535');
  assert.deepEqual([rule.dst, rule.dstlen, rule.table], ['198.51.100.0', 24, 'main']);
});

test('what somebody deletes comes back', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  const { ns, wired } = await wire(network, bed, onSecondary);
  await network.reconcile([onSecondary]);
  const nftables = new Nftables(bed.node);
  const before = routing(bed);
  const table = { family: 'ip', name: 'enid' };
  const nat = await nftables.list(table);
  for (const deletion of [
    ['rule', 'del', 'priority', '512'],
    ['rule', 'del', 'priority', '1024'],
    ['rule', 'del', 'priority', '1025'],
    ['rule', 'del', 'priority', '1536'],
    ['route', 'del', '10.0.1.51/32'],
    ['route', 'flush', 'table', '2'],
    ['address', 'flush', 'dev', 'eth1'],
    ['link', 'set', 'eth1', 'down'],
    ['link', 'set', 'eth1', 'mtu', '1500'],
    ['link', 'set', wired.host.name, 'down'],
  ]) {
    ip(bed.node, ...deletion);
    await network.reconcile([onSecondary]);
    assert.deepEqual(routing(bed), before, deletion.join(' '));
  }
  const [eth1] = ip(bed.node, 'address', 'show', 'dev', 'eth1');
  assert.deepEqual([eth1.mtu, eth1.addr_info[0].local], [9001, '10.0.1.50']);

  await nftables.apply('delete table ip enid');
  sysctl.set(bed.node, 'net.ipv4.ip_forward', 0);
  sysctl.set(bed.node, 'net.ipv4.conf.eth0.rp_filter', 1);
  await network.reconcile([onSecondary]);
  const shape = (objects: typeof nat) => objects?.map((object) => Object.keys(object)[0]);
  assert.deepEqual(shape(await nftables.list(table)), shape(nat));
  assert.equal(sysctl.get(bed.node, 'net.ipv4.ip_forward'), '1');
  assert.equal(sysctl.get(bed.node, 'net.ipv4.conf.eth0.rp_filter'), '2');

  const client = udp(t, ns, onSecondary.address);
  const server = udp(t, bed.vpc, INTERNET_HOST);
  const seen = await exchange(client, server, INTERNET_HOST, server.address().port);
  assert.equal(seen?.seenBy, primaryEni.primaryIp);
});

test('a NAT rule that somebody changed is put right, and an untouched table is let be', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  const nftables = new Nftables(bed.node);
  const table = { family: 'ip', name: 'enid' };
  const before = await nftables.list(table);
  await network.reconcile([]);
  assert.deepEqual(await nftables.list(table), before, 'handles stay the same');
  await nftables.apply('flush chain ip enid translate');
  await network.reconcile([]);
  assert.equal((await nftables.list(table))?.length, before?.length);
});

test('what is stale goes and what is not ours stays', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  const foreign = [
    ['rule', 'add', 'priority', '512', 'to', '10.0.1.77', 'table', 'main'],
    ['rule', 'add', 'priority', '1536', 'from', '10.0.1.77', 'table', '2'],
    ['rule', 'add', 'priority', '100', 'from', '192.0.2.1', 'table', '7'],
    ['link', 'add', 'eni00112233445', 'type', 'veth', 'peer', 'name', 'peer0'],
    ['link', 'set', 'eni00112233445', 'up'],
    ['route', 'add', '10.0.1.77/32', 'dev', 'eni00112233445'],
    ['route', 'add', '192.0.2.0/24', 'dev', 'eth1', 'table', '2'],
    ['link', 'add', 'enibridge', 'type', 'veth', 'peer', 'name', 'peer1'],
  ];
  for (const command of foreign) ip(bed.node, ...command);
  await new Nftables(bed.node).apply('add table ip foreign');
  const before = routing(bed);

  const stale = [
    ['rule', 'add', 'priority', '512', 'to', '10.0.1.78', 'table', 'main', 'protocol', '69'],
    ['rule', 'add', 'priority', '1536', 'from', '10.0.1.78', 'table', '2', 'protocol', '69'],
    ['link', 'add', 'eni99999999999', 'type', 'veth', 'peer', 'name', 'peer2'],
    ['link', 'set', 'eni99999999999', 'up'],
    ['route', 'add', '10.0.1.78/32', 'dev', 'eni99999999999', 'protocol', '69'],
    ['route', 'add', '10.0.1.1/32', 'dev', 'eth1', 'table', '9', 'protocol', '69'],
  ];
  for (const command of stale) ip(bed.node, ...command);
  await network.reconcile([]);
  await network.pods.settled(); // the orphaned link goes in the background
  assert.deepEqual(routing(bed), before);
  const names = ip(bed.node, 'link').map(({ ifname }: { ifname: string }) => ifname);
  assert.ok(names.includes('eni00112233445') && names.includes('enibridge'));
  assert.ok(!names.includes('eni99999999999'));
  assert.ok(await new Nftables(bed.node).list({ family: 'ip', name: 'foreign' }));
});

test('a new agent takes over the pods of the one before, without changing a thing', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  const { ns } = await wire(network, bed, onSecondary);
  const before = [routing(bed), ip(bed.node, 'link')];
  const next = new LinuxNodeNetwork(networkOptions(), bed.node);
  await next.setup({ primaryEni, vpcCidrs: [VPC_CIDR] });
  await next.setEnis([primaryEni, secondaryEni]);
  await next.reconcile([onSecondary]);
  assert.deepEqual([routing(bed), ip(bed.node, 'link')], before);
  const client = udp(t, ns, onSecondary.address);
  const server = udp(t, bed.vpc, VPC_HOST);
  assert.ok(await exchange(client, server, VPC_HOST, server.address().port));
});

test('a removed pod is off the network at once and leaves nothing', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  const before = routing(bed);
  const { ns, path, wired } = await wire(network, bed, onSecondary);
  using inside = Rtnetlink.open(ns);
  const gone = network.pods.remove(onSecondary, path);
  assert.deepEqual(inside.addresses({ family: 4 }), []);
  assert.deepEqual(inside.routes({ family: 4, table: 254 }), []);
  assert.deepEqual(routing(bed), before);
  await gone;
  assert.throws(() => ip(bed.node, 'link', 'show', 'dev', wired.host.name), /does not exist/);
  await network.pods.remove(onSecondary, path);
  await network.pods.remove(onSecondary);
});

/** What Amazon's agent has left of its own, as iptables puts it into nftables. */
const AMAZONS_CHAINS = `
  table ip nat {
    chain PREROUTING {
      type nat hook prerouting priority dstnat;
      iifname "eni*" ip daddr != ${VPC_CIDR} ct mark set ct mark or 0x80
      iifname "eni*" meta mark set ct mark and 0x80
    }
    chain POSTROUTING {
      type nat hook postrouting priority srcnat;
      ip daddr != ${VPC_CIDR} fib daddr type != local snat to ${primaryEni.primaryIp} fully-random
    }
  }
  table ip mangle {
    chain PREROUTING {
      type filter hook prerouting priority mangle;
      iifname "eth0" fib daddr type local ct mark set ct mark or 0x80
      iifname "eni*" meta mark set ct mark and 0x80
    }
  }`;

test("a pod that Amazon's plugin wired is taken over without a change, and removed without a trace", async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  const before = routing(bed);
  const { ns, path } = bed.makePod();
  const name = network.pods.hostName(onSecondary);
  // As its plugin does it: nothing has a tag of ours.
  ip(bed.node, 'link', 'add', name, 'mtu', '9001', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', path);
  const { address: mac } = ip(bed.node, 'link', 'show', 'dev', name)[0];
  for (const command of [
    ['link', 'set', name, 'up'],
    ['route', 'replace', `${onSecondary.address}/32`, 'dev', name, 'scope', 'link'],
    ['rule', 'add', 'priority', '512', 'to', `${onSecondary.address}/32`, 'table', 'main'],
    ['rule', 'add', 'priority', '1536', 'from', `${onSecondary.address}/32`, 'table', '2'],
  ])
    ip(bed.node, ...command);
  for (const command of [
    ['link', 'set', 'eth0', 'up'],
    ['address', 'add', `${onSecondary.address}/32`, 'dev', 'eth0'],
    ['route', 'add', '169.254.1.1', 'dev', 'eth0', 'scope', 'link'],
    ['route', 'add', 'default', 'via', '169.254.1.1'],
    ['neigh', 'add', '169.254.1.1', 'lladdr', mac, 'nud', 'permanent', 'dev', 'eth0'],
  ])
    ip(ns, ...command);
  const wired = [routing(bed), ip(bed.node, 'link')];
  await network.reconcile([onSecondary]);
  assert.deepEqual([routing(bed), ip(bed.node, 'link')], wired);
  await new Nftables(bed.node).apply(AMAZONS_CHAINS);
  const client = udp(t, ns, onSecondary.address);
  const server = udp(t, bed.vpc, VPC_HOST);
  assert.ok(await exchange(client, server, VPC_HOST, server.address().port));
  const outside = udp(t, bed.vpc, INTERNET_HOST);
  const seen = await exchange(client, outside, INTERNET_HOST, outside.address().port);
  assert.deepEqual([seen?.seenBy, seen?.answeredBy], [primaryEni.primaryIp, INTERNET_HOST]);
  await network.pods.remove(onSecondary);
  assert.deepEqual(routing(bed), before);
  assert.throws(() => ip(bed.node, 'link', 'show', 'dev', name), /does not exist/);
});

test('reconciling does not bring back a pod that was removed and is not yet released', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  const before = routing(bed);
  await wire(network, bed, onSecondary);
  const gone = network.pods.remove(onSecondary);
  await network.reconcile([onSecondary]);
  assert.deepEqual(routing(bed), before);
  await gone;
});

test('a new sandbox of a pod takes the link over, and the old one leaves it alone', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  const old = assignmentOf('two', '10.0.1.60', secondaryEni);
  const next: Assignment = { ...onSecondary, key: { ...onSecondary.key, containerId: 'next' } };
  await wire(network, bed, old);
  const { ns } = await wire(network, bed, next);
  await network.reconcile([old, next]);
  assert.deepEqual(
    ip(bed.node, 'route', 'show', 'proto', '69').map(({ dst }: { dst: string }) => dst),
    ['10.0.1.51'],
  );
  await network.pods.remove(old);
  await network.reconcile([next]);
  const client = udp(t, ns, next.address);
  const server = udp(t, bed.vpc, VPC_HOST);
  assert.ok(await exchange(client, server, VPC_HOST, server.address().port));
});

test('check names each thing that is missing', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  const { ns, path, wired } = await wire(network, bed, onSecondary);
  using sandbox = network.pods.open(path);
  const check = () => network.pods.check(onSecondary, sandbox);
  assert.deepEqual(check(), []);
  ip(bed.node, 'rule', 'del', 'priority', '1536');
  assert.match(check().join(), /rule 1536 \(from 10\.0\.1\.51 lookup 2\) is missing on the node/);
  ip(ns, 'neigh', 'del', '169.254.1.1', 'dev', 'eth0');
  assert.match(check().join(), /neighbour entry 169\.254\.1\.1/);
  ip(ns, 'route', 'del', 'default');
  assert.match(check().join(), /route to default is missing in the pod/);
  ip(ns, 'address', 'flush', 'dev', 'eth0');
  assert.match(check().join(), /eth0 does not have the address 10\.0\.1\.51\/32/);
  ip(bed.node, 'link', 'del', wired.host.name);
  assert.match(check().join(), /the interface eth0 is missing/);
});

test('an unusable ENI is named when its link does not come', async (t) => {
  const bed = makeTestbed(t);
  using netlink = Rtnetlink.open(bed.node);
  await assert.rejects(
    waitForEniLink(bed.node, netlink, secondaryEni, 20),
    /eni-secondary \(device 1, MAC 02:00:00:00:01:01\) did not appear within 0\.02 s/,
  );
});

test('pods that are wired are found by their links and routes, and one of which nothing else is known is left alone', async (t) => {
  const bed = makeTestbed(t);
  const network = await start(t, bed);
  await wire(network, bed, onPrimary);
  await wire(network, bed, onSecondary);
  const links = network.podLinks();
  const names = [onPrimary, onSecondary].map((pod) => network.pods.hostName(pod));
  assert.deepEqual(
    new Set(links.map(({ name, address }) => `${name} ${address}`)),
    new Set([`${names[0]} ${onPrimary.address}`, `${names[1]} ${onSecondary.address}`]),
  );
  const unknown: Assignment = {
    ...onSecondary,
    key: { ...onSecondary.key, containerId: 'unknown' },
    metadata: { hostVeth: names[1]! },
  };
  const before = routing(bed);
  await network.reconcile([onPrimary, unknown]);
  assert.deepEqual(routing(bed), before);
  await network.pods.remove(unknown);
  assert.deepEqual(
    network.podLinks().map(({ address }) => address),
    [onPrimary.address],
  );
});
