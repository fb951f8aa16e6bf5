import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { parseCidr, parseIp } from '@enid/ip';
import * as sysctl from '../sysctl.ts';
import { eventually, ip, testNamespace } from '../testing.ts';
import { addAddress } from './address.ts';
import { addLink, setLink } from './link.ts';
import { addRoute, deleteRoute, LOCAL_TABLE, MAIN_TABLE, type Route, type RouteSpec } from './route.ts';
import { Rtnetlink } from './rtnetlink.ts';

const protocols: Record<string, number> = { kernel: 2, boot: 3, static: 4, ra: 9 };
const tables: Record<string, number> = { default: 253, main: 254, local: 255 };
const number = (names: Record<string, number>, text: string | undefined, otherwise: number) =>
  text === undefined ? otherwise : (names[text] ?? Number(text));

/** A route as `ip -d -N -j route` prints it, in our words. Link names are kept in the place of indices. */
// biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON
function printed(family: 4 | 6, json: any): object {
  // biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON
  const nexthop = (hop: any) => ({
    ...(hop.dev && { dev: hop.dev }),
    ...((hop.gateway ?? hop.via?.host) && { gateway: hop.gateway ?? hop.via.host }),
    ...(hop.flags?.includes('onlink') && { onlink: true }),
  });
  const full =
    json.dst === 'default' || json.dst.includes('/') ? json.dst : `${json.dst}/${family === 4 ? 32 : 128}`;
  return {
    destination: full,
    family,
    table: number(tables, json.table, MAIN_TABLE),
    type: json.type,
    protocol: number(protocols, json.protocol, 3),
    scope: json.scope ?? 'global',
    ...nexthop(json),
    ...(json.prefsrc && { prefSource: json.prefsrc }),
    ...(json.metric !== undefined && { metric: json.metric }),
    ...(json.metrics?.[0]?.mtu && { mtu: json.metrics[0].mtu }),
    ...(json.metrics?.[0]?.advmss && { advMss: json.metrics[0].advmss }),
    ...(json.nexthops && {
      nexthops: json.nexthops.map((hop: { weight: number }) => ({ ...nexthop(hop), weight: hop.weight })),
    }),
  };
}

/** A namespace with a link of index 10, up, that has 10.0.0.1/24 and 2001:db8::1/64. */
async function namespace(t: TestContext) {
  const ns = testNamespace(t);
  // No link-local addresses, whose routes come when duplicate address detection is through.
  sysctl.set(ns, 'net.ipv6.conf.default.addr_gen_mode', 1);
  const rtnetlink = Rtnetlink.open(ns);
  t.after(() => rtnetlink.close());
  rtnetlink.execute([
    setLink('lo', { up: true }),
    addLink({ kind: 'veth', name: 'v0', index: 10, up: true, peer: { name: 'v1', index: 11 } }),
    setLink('v1', { up: true }),
  ]);
  rtnetlink.execute([
    addAddress({ index: 10, address: parseIp('10.0.0.1'), prefixLength: 24 }),
    addAddress({ index: 10, address: parseIp('2001:db8::1'), prefixLength: 64, noDad: true }),
  ]);
  // What the kernel makes for IPv6 when a link has a carrier and an address is through.
  const later = ['ff00::/8 10', 'ff00::/8 11', '2001:db8::1/128 10'];
  await eventually(ns, () => {
    const routes = rtnetlink.routes({ table: LOCAL_TABLE, family: 6 });
    return later.every((text) => routes.some(({ destination, oif }) => `${destination} ${oif}` === text));
  });
  return { ns, rtnetlink };
}

const v4: RouteSpec[] = [
  { destination: 'default', gateway: parseIp('10.0.0.9') },
  { destination: 'default', family: 4, oif: 10, table: 3 },
  { destination: parseCidr('10.1.0.0/16'), oif: 10, prefSource: parseIp('10.0.0.1'), metric: 5, protocol: 4 },
  {
    destination: parseCidr('10.2.0.0/16'),
    gateway: parseIp('169.254.1.1'),
    oif: 10,
    onlink: true,
    table: 100_000,
    mtu: 1300,
    advMss: 1200,
  },
  { destination: parseCidr('10.3.0.1/32'), oif: 10, scope: 'link' },
  { destination: parseCidr('10.4.0.0/16'), type: 'blackhole' },
  { destination: parseCidr('10.5.0.0/16'), type: 'unreachable', metric: 1 },
  { destination: parseCidr('10.6.0.0/16'), type: 'prohibit' },
  { destination: parseCidr('10.7.0.0/16'), type: 'local', oif: 1, table: 9 },
  { destination: parseCidr('10.8.0.0/16'), type: 'throw', table: 9 },
  { destination: parseCidr('10.9.0.0/16'), gateway: parseIp('2001:db8::9'), oif: 10 },
  {
    destination: parseCidr('10.10.0.0/16'),
    nexthops: [
      { gateway: parseIp('10.0.0.2'), oif: 10 },
      { gateway: parseIp('10.0.0.3'), oif: 10, weight: 7, onlink: true },
    ],
  },
];

const v6: RouteSpec[] = [
  { destination: 'default', gateway: parseIp('2001:db8::9'), oif: 10 },
  { destination: 'default', family: 6, oif: 10, table: 3, metric: 7 },
  {
    destination: parseCidr('2001:db8:1::/48'),
    gateway: parseIp('fe80::1'),
    oif: 10,
    table: 100_000,
    mtu: 1300,
  },
  { destination: parseCidr('2001:db8:2::/48'), type: 'blackhole', oif: 1 },
  { destination: parseCidr('2001:db8:3::1/128'), oif: 10, protocol: 4 },
  {
    destination: parseCidr('2001:db8:4::/48'),
    nexthops: [
      { gateway: parseIp('2001:db8::2'), oif: 10 },
      { gateway: parseIp('2001:db8::3'), oif: 10, weight: 2 },
    ],
  },
];

for (const [family, specs] of [
  [4, v4],
  [6, v6],
] as const) {
  test(`IPv${family} routes read as ip prints them, and what was read can be made again`, async (t) => {
    const { ns, rtnetlink } = await namespace(t);
    const before = rtnetlink.routes({ family });
    rtnetlink.execute(specs.map((spec) => addRoute(spec)));
    const routes = rtnetlink.routes({ family });
    const names = new Map(rtnetlink.links().map(({ index, name }) => [index, name]));
    const hop = <T extends { oif?: number }>({ oif, ...rest }: T) => ({
      ...rest,
      ...(oif && { dev: names.get(oif) }),
    });
    const ours = routes.map(({ flags: _, ...route }) => ({
      ...hop(route),
      ...(route.nexthops && { nexthops: route.nexthops.map(hop) }),
    }));
    // biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON
    const shown: any[] = ip(ns, '-d', `-${family}`, 'route', 'show', 'table', 'all');
    assert.deepEqual(
      ours,
      shown.map((json) => printed(family, json)),
    );

    const made = routes.filter(
      (route) => !before.some((old) => JSON.stringify(old) === JSON.stringify(route)),
    );
    assert.equal(made.length, specs.length);
    rtnetlink.execute(made.map((route) => deleteRoute(route)));
    assert.deepEqual(rtnetlink.routes({ family }), before);
    rtnetlink.execute(made.map((route) => addRoute(route)));
    assert.deepEqual(rtnetlink.routes({ family }), routes);
  });
}

test('routes are filtered by table, family and link', async (t) => {
  const { rtnetlink } = await namespace(t);
  rtnetlink.execute([...v4, ...v6].map((spec) => addRoute(spec)));
  const count = (filter: Parameters<Rtnetlink['routes']>[0]) => rtnetlink.routes(filter).length;
  assert.equal(count({ table: 3 }), 2);
  assert.equal(count({ table: 3, family: 6 }), 1);
  assert.equal(count({ table: 100_000, family: 4 }), 1);
  assert.equal(count({ table: 100_000, family: 4, oif: 10 }), 1);
  assert.equal(count({ table: 100_000, family: 4, oif: 11 }), 0);
  for (const family of [undefined, 4, 6] as const) {
    assert.equal(count({ table: 4711, ...(family && { family }) }), 0, 'a table that does not exist');
  }
});

test('create, replace and append', async (t) => {
  const { rtnetlink } = await namespace(t);
  const to = (host: number): RouteSpec => ({
    destination: parseCidr('10.1.0.0/16'),
    gateway: parseIp(`10.0.0.${host}`),
    table: 7,
  });
  const gateways = () => rtnetlink.routes({ table: 7 }).map(({ gateway }) => gateway);
  rtnetlink.execute([addRoute(to(2))]);
  assert.throws(() => rtnetlink.execute([addRoute(to(3))]), { code: 'EEXIST' });
  rtnetlink.execute([addRoute(to(4), 'replace'), addRoute(to(5), 'append')]);
  assert.deepEqual(gateways(), ['10.0.0.4', '10.0.0.5']);
  rtnetlink.execute([deleteRoute({ destination: parseCidr('10.1.0.0/16'), table: 7 })]);
  assert.deepEqual(gateways(), ['10.0.0.5'], 'the first that fits');
  assert.throws(() => rtnetlink.execute([deleteRoute(to(4))]), { code: 'ESRCH' });
  assert.throws(
    () => rtnetlink.execute([addRoute({ destination: 'default', gateway: parseIp('11.0.0.1') })]),
    {
      code: 'ENETUNREACH',
      extAck: 'Nexthop has invalid gateway',
    },
  );
  assert.throws(() => addRoute({ destination: 'default', oif: 1 }), /needs the family/);
});

test('a dump of many parts is complete', async (t) => {
  const { rtnetlink } = await namespace(t);
  const wanted = Array.from({ length: 5000 }, (_, i) => `172.16.${i >> 8}.${i & 255}/32`);
  rtnetlink.execute(wanted.map((text) => addRoute({ destination: parseCidr(text), oif: 10, table: 7 })));
  const found: Route[] = rtnetlink.routes({ table: 7 });
  assert.deepEqual(new Set(found.map(({ destination }) => destination)), new Set(wanted));
  assert.equal(found.length, wanted.length);
});
