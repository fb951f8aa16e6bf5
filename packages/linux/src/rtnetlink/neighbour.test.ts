import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '@enid/ip';
import { eventually, ip, testNamespace } from '../testing.ts';
import { addLink, setLink } from './link.ts';
import { addNeighbour, deleteNeighbour, type NeighbourSpec } from './neighbour.ts';
import { addClsact, deleteClsact } from './qdisc.ts';
import { Rtnetlink } from './rtnetlink.ts';

const mac = '02:00:00:00:00:01';
const specs: NeighbourSpec[] = [
  { index: 10, address: parseIp('169.254.1.1'), mac },
  { index: 10, address: parseIp('10.0.0.1'), mac, state: 'noarp' },
  { index: 10, address: parseIp('10.0.0.2'), mac, state: 'stale' },
  { index: 10, address: parseIp('2001:db8::1'), mac },
];

// biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON
const printed = (json: any) => ({ address: json.dst, mac: json.lladdr, state: json.state[0].toLowerCase() });

test('neighbours read as ip prints them, and what was read can be made again', async (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  rtnetlink.execute([
    addLink({ kind: 'veth', name: 'v0', index: 10, peer: { name: 'v1', index: 11 } }),
    setLink('v0', { up: true }),
    setLink('v1', { up: true }),
  ]);
  await eventually(ns, (rtnetlink) => rtnetlink.link('v0')?.operState === 'up');
  rtnetlink.execute(specs.map((spec) => addNeighbour(spec)));
  // The kernel has entries of its own for multicast once a link is up.
  // They come in the order of its hash table, which is seeded anew when it grows, for all namespaces at once.
  const entries = () =>
    rtnetlink
      .neighbours({ index: 10 })
      .filter(({ mac: own }) => own === mac)
      .sort((a, b) => (a.address < b.address ? -1 : 1));
  const neighbours = entries();
  assert.equal(neighbours.length, specs.length);
  const shown = ip(ns, 'neighbour', 'show', 'nud', 'all', 'dev', 'v0').map(printed);
  for (const { index: _i, family: _f, flags: _g, proxy, ...neighbour } of neighbours) {
    assert.equal(proxy, false);
    assert.deepEqual(
      shown.filter(({ address }: { address: string }) => address === neighbour.address),
      [neighbour],
    );
  }
  assert.deepEqual(
    rtnetlink.neighbours({ index: 11 }).filter(({ mac: own }) => own === mac),
    [],
  );
  assert.deepEqual(
    rtnetlink
      .neighbours({ index: 10, family: 6 })
      .filter(({ mac: own }) => own === mac)
      .map(({ address }) => address),
    ['2001:db8::1'],
  );

  rtnetlink.execute(neighbours.map((neighbour) => deleteNeighbour(neighbour)));
  rtnetlink.execute(neighbours.map((neighbour) => addNeighbour(neighbour, 'replace')));
  assert.deepEqual(entries(), neighbours);
  assert.throws(() => rtnetlink.execute([addNeighbour(specs[0]!)]), { code: 'EEXIST' });
  rtnetlink.execute([addNeighbour({ ...specs[0]!, mac: '02:00:00:00:00:02' }, 'replace')]);
  assert.equal(
    rtnetlink.neighbours({ index: 10 }).find(({ address }) => address === '169.254.1.1')?.mac,
    '02:00:00:00:00:02',
  );
  assert.throws(() => rtnetlink.execute([deleteNeighbour({ index: 10, address: parseIp('10.9.9.9') })]), {
    code: 'ENOENT',
  });
});

test('proxy neighbours are entries of their own', (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  const proxies = [parseIp('10.0.0.1'), parseIp('2001:db8::1')].map((address) => ({
    index: 10,
    address,
    proxy: true,
  }));
  rtnetlink.execute([
    addLink({ kind: 'veth', name: 'v0', index: 10, peer: { name: 'v1' } }),
    ...proxies.map((spec) => addNeighbour(spec)),
  ]);
  const found = () =>
    rtnetlink.neighbours({ proxy: true }).map(({ index, address, proxy }) => ({ index, address, proxy }));
  assert.deepEqual(found(), proxies);
  assert.deepEqual(
    ip(ns, 'neighbour', 'show', 'proxy').map(({ dst }: { dst: string }) => dst),
    proxies.map(({ address }) => address),
  );
  assert.deepEqual(rtnetlink.neighbours({ family: 4 }), []);
  rtnetlink.execute(proxies.map((spec) => deleteNeighbour(spec)));
  assert.deepEqual(found(), []);
});

test('clsact comes and goes', (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  rtnetlink.execute([
    addLink({ kind: 'veth', name: 'v0', index: 10, up: true, peer: { name: 'v1' } }),
    addClsact(10),
  ]);
  const kinds = () => rtnetlink.qdiscs({ index: 10 }).map(({ kind }) => kind);
  assert.deepEqual(kinds(), ['noqueue', 'clsact']);
  assert.throws(() => rtnetlink.execute([addClsact(10)]), { code: 'EEXIST' });
  rtnetlink.execute([deleteClsact(10)]);
  assert.deepEqual(kinds(), ['noqueue']);
  assert.throws(() => rtnetlink.execute([deleteClsact(10)]), { code: 'EINVAL' });
});
