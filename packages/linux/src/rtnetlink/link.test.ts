import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '@enid/ip';
import { eventually, ip, testNamespace } from '../testing.ts';
import { addLink, deleteLink, type Link, type LinkSpec, setLink } from './link.ts';
import { Rtnetlink } from './rtnetlink.ts';

/** The link as `ip -d -j link` prints it, in our words. */
// biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON
const printed = (json: any, indexOf: (name: string) => number): Partial<Link> => ({
  index: json.ifindex,
  name: json.ifname,
  mac: json.address,
  mtu: json.mtu,
  up: json.flags.includes('UP'),
  operState: json.operstate.toLowerCase(),
  group: json.group === 'default' ? 0 : Number(json.group),
  txQueueLength: json.txqlen,
  qdisc: json.qdisc,
  ...(json.linkinfo?.info_kind && { kind: json.linkinfo.info_kind }),
  ...(json.link && { peerIndex: indexOf(json.link) }),
  ...(json.link_index && { peerIndex: json.link_index }),
  ...(json.link_netnsid !== undefined && { peerNetnsId: json.link_netnsid }),
  ...(json.ifalias && { alias: json.ifalias }),
  ...(json.linkinfo?.info_kind === 'vxlan' && {
    vxlan: {
      id: json.linkinfo.info_data.id,
      port: json.linkinfo.info_data.port,
      ttl: json.linkinfo.info_data.ttl,
      learning: json.linkinfo.info_data.learning,
      ...(json.linkinfo.info_data.remote && { remote: json.linkinfo.info_data.remote }),
      ...(json.linkinfo.info_data.remote6 && { remote: json.linkinfo.info_data.remote6 }),
      ...(json.linkinfo.info_data.local && { local: json.linkinfo.info_data.local }),
      ...(json.linkinfo.info_data.local6 && { local: json.linkinfo.info_data.local6 }),
    },
  }),
});

test('veth pairs are made straight into other namespaces', (t) => {
  const [a, b, c] = [testNamespace(t), testNamespace(t), testNamespace(t)];
  using rta = Rtnetlink.open(a);
  using rtb = Rtnetlink.open(b);
  using rtc = Rtnetlink.open(c);
  rta.execute([
    addLink({
      kind: 'veth',
      name: 'here',
      up: true,
      mtu: 9001,
      mac: '02:00:00:00:00:0A',
      index: 77,
      group: 5,
      txQueueLength: 10,
      peer: { name: 'eth0', netns: b, mtu: 1400, mac: '02:00:00:00:00:0b', index: 78 },
    }),
    addLink({ kind: 'veth', name: 'eth0', netns: c, peer: { name: 'eth1', netns: b } }),
  ]);
  rtb.execute([setLink('eth0', { up: true })]);

  const here = rta.link('here')!;
  const there = rtb.link(78)!;
  assert.deepEqual(
    [here.mac, here.mtu, here.up, here.group, here.txQueueLength, here.index, here.peerIndex],
    ['02:00:00:00:00:0a', 9001, true, 5, 10, 77, 78],
  );
  assert.deepEqual(
    [there.name, there.mac, there.mtu, there.peerIndex],
    ['eth0', '02:00:00:00:00:0b', 1400, 77],
  );
  assert.equal(rtc.link('eth0')?.kind, 'veth');
  assert.equal(
    rta.link('eth1'),
    undefined,
    'neither end of the second pair is in the namespace of the request',
  );
  assert.equal(rtb.link('eth1')?.kind, 'veth');
});

test('a veth pair has as many queues as it was asked for', async (t) => {
  const [a, b] = [testNamespace(t), testNamespace(t)];
  using rtnetlink = Rtnetlink.open(a);
  const peer = { name: 'eth0', netns: b, queues: 3 };
  rtnetlink.execute([addLink({ kind: 'veth', name: 'here', queues: 1, peer })]);
  const queues = async (ns: typeof a, name: string) => {
    const [link] = (await ip(ns, '-d', 'link', 'show', name)) as [Record<string, number>];
    return [link.num_rx_queues, link.num_tx_queues];
  };
  assert.deepEqual(await queues(a, 'here'), [1, 1]);
  assert.deepEqual(await queues(b, 'eth0'), [3, 3]);
});

test('links read as ip prints them', async (t) => {
  const ns = testNamespace(t);
  const other = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  rtnetlink.execute([
    addLink({ kind: 'veth', name: 'v0', peer: { name: 'v1' }, group: 7 }),
    addLink({ kind: 'veth', name: 'v2', peer: { name: 'v3', netns: other } }),
    addLink({ kind: 'bridge', name: 'br0' }),
    addLink({
      kind: 'vxlan',
      name: 'x4',
      id: 42,
      local: parseIp('192.0.2.1'),
      remote: parseIp('192.0.2.2'),
      ttl: 9,
    }),
    addLink({
      kind: 'vxlan',
      name: 'x6',
      id: 43,
      local: parseIp('2001:db8::1'),
      remote: parseIp('2001:db8::2'),
      port: 9999,
      learning: false,
    }),
    setLink('lo', { up: true }),
    setLink('v0', { up: true, alias: 'ours' }),
  ]);
  await eventually(ns, (rtnetlink) => rtnetlink.link('v0')?.operState === 'lowerlayerdown');
  const read = rtnetlink.links();
  // biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON
  const shown: any[] = ip(ns, '-d', 'link');
  assert.equal(read.length, shown.length);
  for (const [i, link] of read.entries()) {
    const { flags, type, carrier, ...rest } = link;
    assert.deepEqual(
      rest,
      printed(shown[i], (name) => read.find((other) => other.name === name)!.index),
      link.name,
    );
    assert.deepEqual(rtnetlink.link(link.index), link);
    assert.deepEqual(rtnetlink.link(link.name), link);
    assert.equal(type, link.name === 'lo' ? 772 : 1);
    assert.equal(carrier !== undefined && (flags & 1) === Number(link.up), true);
  }
});

test('what was read can be made again', (t) => {
  const [a, b] = [testNamespace(t), testNamespace(t)];
  using rta = Rtnetlink.open(a);
  using rtb = Rtnetlink.open(b);
  rta.execute([
    addLink({
      kind: 'vxlan',
      name: 'x4',
      index: 50,
      id: 42,
      local: parseIp('192.0.2.1'),
      learning: false,
      mac: '02:00:00:00:00:01',
      group: 3,
    }),
  ]);
  const link = rta.link('x4')!;
  const { vxlan, kind: _kind, ...rest } = link;
  rtb.execute([addLink({ kind: 'vxlan', ...vxlan!, ...rest } as LinkSpec)]);
  assert.deepEqual(rtb.link('x4'), link);
});

test('links are changed, renamed, moved and deleted', (t) => {
  const [a, b] = [testNamespace(t), testNamespace(t)];
  using rta = Rtnetlink.open(a);
  using rtb = Rtnetlink.open(b);
  rta.execute([
    addLink({ kind: 'veth', name: 'v0', peer: { name: 'v1' } }),
    addLink({ kind: 'bridge', name: 'br0' }),
  ]);
  const { index } = rta.link('v0')!;
  const bridge = rta.link('br0')!.index;
  rta.execute([
    setLink(index, {
      name: 'new',
      mtu: 1234,
      mac: '02:00:00:00:00:99',
      up: true,
      master: bridge,
      alias: 'x',
    }),
  ]);
  const changed = rta.link('new')!;
  assert.deepEqual(
    [changed.index, changed.mtu, changed.mac, changed.up, changed.master, changed.alias],
    [index, 1234, '02:00:00:00:00:99', true, bridge, 'x'],
  );
  assert.deepEqual(
    rta.links({ master: bridge }).map(({ name }) => name),
    ['new'],
  );
  rta.execute([setLink('new', { up: false, master: 0 })]);
  assert.equal(rta.link('new')?.up, false);
  assert.equal(rta.link('new')?.master, undefined);
  rta.execute([setLink(index, { netns: b, name: 'moved', up: true })]);
  assert.equal(rta.link('new'), undefined);
  assert.equal(rtb.link('moved')?.up, true);
  rtb.execute([deleteLink('moved')]);
  assert.equal(rta.link('v1'), undefined, 'the peer goes with it');
});

test('a link can go up without an IPv6 link-local address', (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  rtnetlink.execute([
    addLink({ kind: 'veth', name: 'v0', peer: { name: 'v1' } }),
    setLink('v0', { addrGenMode: 'none' }),
    setLink('v0', { up: true }),
    setLink('v1', { up: true }),
  ]);
  assert.equal(ip(ns, '-d', 'link', 'show', 'dev', 'v0')[0].inet6_addr_gen_mode, 'none');
  assert.deepEqual(rtnetlink.addresses({ index: rtnetlink.link('v0')!.index }), []);
});

test('errors carry the name of the errno, the request and what the kernel said', (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  const veth: LinkSpec = { kind: 'veth', name: 'v0', peer: { name: 'v1' } };
  const errors = rtnetlink.batch([
    addLink(veth),
    addLink(veth),
    setLink('nope', { up: true }),
    addLink({ ...veth, name: 'v2', kind: 'nonsense' } as unknown as LinkSpec),
    setLink('v0', { mtu: 70_000 }),
    deleteLink('lo'),
  ]);
  assert.deepEqual(
    errors.map((error) => error && [error.code, error.request, error.extAck]),
    [
      null,
      ['EEXIST', 'RTM_NEWLINK v0', undefined],
      ['ENODEV', 'RTM_SETLINK nope', undefined],
      ['EOPNOTSUPP', 'RTM_NEWLINK v2', 'Unknown device type'],
      ['EINVAL', 'RTM_SETLINK v0', 'mtu greater than device maximum'],
      ['EOPNOTSUPP', 'RTM_DELLINK lo', undefined],
    ],
  );
  assert.equal(errors[4]?.message, 'netlink RTM_SETLINK v0: mtu greater than device maximum (EINVAL)');
  assert.throws(() => rtnetlink.execute([addLink(veth), setLink('lo', { up: true })]), { code: 'EEXIST' });
  assert.equal(rtnetlink.link('lo')?.up, true, 'requests after a refused one are done');
});

test('what does not fit a message is refused before it is sent', () => {
  for (const name of ['', '.', 'sixteen-letters-', 'a b', 'a/b']) {
    assert.throws(() => addLink({ kind: 'bridge', name }), TypeError);
  }
  assert.throws(() => addLink({ kind: 'bridge', name: 'b', mac: '02:00' }), TypeError);
  assert.throws(() => addLink({ kind: 'bridge', name: 'b', mtu: -1 }), {
    name: 'RangeError',
    message: 'RTM_NEWLINK b: -1 is not an integer from 0 to 4294967295',
  });
  assert.throws(() => setLink('eth0' as unknown as number, { name: 'eth1' }), /renaming needs the index/);
});
