import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { parseIpv4, parseIpv4Cidr } from '@enid/ip';
import type { CloudState, RouteTable } from '../cloud/state.ts';
import {
  changeInterface,
  eniId,
  PRIVATE_TABLE,
  SUBNETS,
  testCloud,
  withInstance,
  withInterface,
} from './cloud.fixture.ts';
import { TestLab } from './lab.fixture.ts';
import { IMDS_ADDRESS } from './names.ts';

// 5 and 6 share a subnet, 7 is in another of the same zone, 8 in another zone and another block of the VPC.
const START = [
  (state: CloudState) => withInstance(state, 5, 'publicA'),
  (state: CloudState) => withInstance(state, 6, 'publicA'),
  (state: CloudState) => withInstance(state, 7, 'privateA'),
  (state: CloudState) => withInstance(state, 8, 'privateB'),
].reduce((state, add) => add(state), testCloud());
const PRIMARY_5 = eniId(5);

let lab: TestLab;
before(async () => {
  lab = await TestLab.start(START);
});
after(() => lab[Symbol.asyncDispose]());

test('machines reach each other in a subnet, between subnets, zones and blocks', async () => {
  for (const [from, to] of [
    [5, '10.0.1.6'],
    [5, '10.0.11.7'],
    [7, '10.0.1.5'],
    [5, '100.64.0.8'],
    [8, '10.0.11.7'],
  ] as const) {
    assert.ok(await lab.pings(from, to), `${from} to ${to}`);
  }
});

test('a whole jumbo frame passes', async () => {
  assert.ok(await lab.pings(5, '10.0.1.6', '-Mdo', '-s8973'));
  assert.equal((await lab.ip(5, 'link', 'show', 'eth0'))[0].mtu, 9001);
});

test('an instance boots with its primary interface configured', async () => {
  const [link] = await lab.ip(5, 'address', 'show', 'eth0');
  assert.equal(link.address, '02:00:00:00:05:00');
  const addresses = link.addr_info.filter(({ family }: { family: string }) => family === 'inet');
  assert.deepEqual(
    addresses.map(({ local, prefixlen }: { local: string; prefixlen: number }) => `${local}/${prefixlen}`),
    ['10.0.1.5/24'],
  );
  assert.deepEqual(
    (await lab.ip(5, 'route')).map(({ dst, gateway }: { dst: string; gateway?: string }) => [dst, gateway]),
    [
      ['default', '10.0.1.1'],
      ['10.0.1.0/24', undefined],
    ],
  );
});

test('ARP finds the gateway and the subnet, never another machine, and nobody where nobody is', async () => {
  await lab.pings(5, '10.0.1.6');
  await lab.pings(5, '10.0.1.77', '-W0.2');
  await lab.ip(5, 'route', 'add', '10.0.11.1', 'dev', 'eth0');
  await lab.ip(5, 'route', 'add', '10.0.11.7', 'dev', 'eth0');
  assert.equal(await lab.pings(5, '10.0.11.7', '-W0.2'), false);
  assert.equal(await lab.pings(5, '10.0.11.1', '-W0.2'), false);
  const entries = new Map<string, string | undefined>();
  for (const { dst, lladdr } of await lab.ip(5, '-4', 'neighbour')) entries.set(dst, lladdr);
  const [port] = await lab.ip('vpc', 'link', 'show', `eni-${PRIMARY_5.slice(-11)}`);
  assert.equal(entries.get('10.0.1.1'), port.address);
  assert.equal(entries.get('10.0.1.6'), port.address);
  for (const address of ['10.0.1.77', '10.0.11.1', '10.0.11.7'])
    assert.equal(entries.get(address), undefined);
  await lab.ip(5, 'route', 'delete', '10.0.11.1');
  await lab.ip(5, 'route', 'delete', '10.0.11.7');
});

test('the router answers nothing but the link-local services', async () => {
  assert.equal(await lab.pings(5, '10.0.1.1', '-W0.2'), false);
  assert.equal(await lab.pings(5, IMDS_ADDRESS, '-W0.2'), false);
  await lab.serve('vpc', '0.0.0.0', 8080);
  assert.equal(await lab.get(5, '10.0.1.1', 8080, '--max-time', '0.2'), undefined);
  assert.equal((await lab.get(5, IMDS_ADDRESS, 8080))?.server.name, 'vpc');
});

test('a source that the interface does not own is dropped', async () => {
  // Nobody's in the subnet, one from elsewhere, and two of the router's own.
  for (const source of ['10.0.1.99', '192.0.2.1', '10.0.2.1', '169.254.169.250']) {
    await lab.ip(5, 'address', 'add', `${source}/32`, 'dev', 'lo');
    for (const to of ['10.0.1.6', '10.0.11.7']) {
      await lab.drops('source-check', async () => {
        assert.equal(await lab.pings(5, to, '-W0.2', `-I${source}`), false);
      });
    }
  }
  await lab.drops('source-check', async () => {
    assert.equal(
      await lab.get(5, IMDS_ADDRESS, 8080, '--interface', '10.0.1.99', '--max-time', '0.2'),
      undefined,
    );
  });
});

test('another machine that claims an address gets nothing of it', async () => {
  await lab.serve(5, '10.0.1.5');
  await lab.ip(6, 'address', 'add', '10.0.1.5/24', 'dev', 'eth0');
  await lab.serve(6, '10.0.1.5');
  await lab.run(6, 'sysctl', '-qw', 'net.ipv4.conf.eth0.arp_notify=1');
  await lab.ip(6, 'link', 'set', 'eth0', 'down');
  await lab.ip(6, 'link', 'set', 'eth0', 'up');
  await lab.ip(6, 'route', 'replace', 'default', 'via', '10.0.1.1');
  assert.equal((await lab.get(7, '10.0.1.5'))?.server.name, '5');
  await lab.drops('source-check', async () => {
    assert.equal(await lab.pings(6, '10.0.11.7', '-W0.2', '-I10.0.1.5'), false);
  });
  await lab.ip(6, 'address', 'delete', '10.0.1.5/24', 'dev', 'eth0');
});

test('another MAC address than that of the interface is dropped', async () => {
  const { address } = (await lab.ip(7, 'link', 'show', 'eth0'))[0];
  await lab.ip(7, 'link', 'set', 'eth0', 'address', '02:00:00:00:00:99');
  await lab.drops('source-mac', async () => {
    assert.equal(await lab.pings(7, '10.0.1.5', '-W0.2'), false);
  });
  await lab.ip(7, 'link', 'set', 'eth0', 'address', address);
  assert.ok(await lab.pings(7, '10.0.1.5'));
});

test('an address that nobody has, and one without a route, are silent', async () => {
  await lab.drops('no-route', async () => {
    assert.equal(await lab.pings(7, '10.0.1.77', '-W0.2'), false);
  });
  const output = await lab.run(7, 'ping', '-n', '-c1', '-W0.2', '10.0.200.1');
  assert.doesNotMatch(output.stdout, /Unreachable/);
});

test('a second interface comes bare, answers when it is configured, and its addresses leave by it alone', async () => {
  const state = withInterface(lab.state, 5, 1, 'publicA', {
    secondaryIps: [parseIpv4('10.0.1.111')],
    prefixes: [parseIpv4Cidr('10.0.1.64/28')],
  });
  await lab.become(state);
  const [eth1] = await lab.ip(5, 'address', 'show', 'eth1');
  assert.equal(eth1.address, '02:00:00:00:05:01');
  assert.ok(!eth1.flags.includes('UP'));
  assert.deepEqual(eth1.addr_info, []);

  // As the node daemon does: a table for the interface, and a rule for each address that is on it.
  await lab.ip(5, 'link', 'set', 'eth1', 'up');
  await lab.ip(5, 'address', 'add', '10.0.1.105/24', 'dev', 'eth1', 'noprefixroute');
  await lab.ip(5, 'route', 'add', '10.0.1.1', 'dev', 'eth1', 'scope', 'link', 'table', '2');
  await lab.ip(5, 'route', 'add', 'default', 'via', '10.0.1.1', 'dev', 'eth1', 'table', '2');
  for (const address of ['10.0.1.111', '10.0.1.70']) {
    await lab.ip(5, 'address', 'add', `${address}/32`, 'dev', 'lo');
    // Without the rule the answers leave by the wrong interface.
    await lab.drops('source-check', async () => {
      assert.equal(await lab.pings(7, address, '-W0.2'), false);
    });
    await lab.ip(5, 'rule', 'add', 'priority', '1536', 'from', address, 'lookup', '2');
    assert.ok(await lab.pings(7, address), address);
  }
});

test('an address moves with its assignment', async () => {
  assert.ok(await lab.pings(7, '10.0.1.111'));
  await lab.become(changeInterface(lab.state, eniId(5, 1), { secondaryIps: [] }));
  await lab.drops('no-route', async () => {
    assert.equal(await lab.pings(7, '10.0.1.111', '-W0.2'), false);
  });
  await lab.become(changeInterface(lab.state, eniId(6), { secondaryIps: [parseIpv4('10.0.1.111')] }));
  await lab.ip(6, 'address', 'add', '10.0.1.111/32', 'dev', 'lo');
  assert.ok(await lab.pings(7, '10.0.1.111'));
});

test('a detached interface is gone from the machine', async () => {
  await lab.become(changeInterface(lab.state, eniId(5, 1), undefined));
  assert.equal((await lab.run(5, 'ip', 'link', 'show', 'eth1')).status, 1);
  assert.ok(await lab.pings(7, '10.0.1.5'));
});

test('a route to a machine: destination check first, then what it forwards', async () => {
  const nowhere = parseIpv4Cidr('172.31.0.0/16');
  const table = lab.state.routeTables[PRIVATE_TABLE] as RouteTable;
  const target = { kind: 'network-interface', id: PRIMARY_5 } as const;
  await lab.become({
    ...lab.state,
    routeTables: {
      ...lab.state.routeTables,
      [PRIVATE_TABLE]: {
        ...table,
        routes: [
          ...table.routes,
          { destination: nowhere, target, origin: 'CreateRoute' },
          // Between the subnets of 7 and 6, more specific than the VPC.
          { destination: SUBNETS.publicA.cidr, target, origin: 'CreateRoute' },
        ],
      },
    },
  });
  await lab.ip(5, 'address', 'add', '172.31.0.1/32', 'dev', 'lo');
  await lab.drops('destination-check', async () => {
    assert.equal(await lab.pings(7, '172.31.0.1', '-W0.2'), false);
    assert.equal(await lab.pings(7, '10.0.1.6', '-W0.2'), false);
  });
  // What the route leads to its owner passes the check.
  assert.ok(await lab.pings(7, '10.0.1.5'));

  await lab.become(changeInterface(lab.state, PRIMARY_5, { sourceDestCheck: false }));
  assert.ok(await lab.pings(7, '172.31.0.1'));
  assert.equal(await lab.pings(7, '10.0.1.6', '-W0.2'), false);
  await lab.run(5, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
  const { stdout, status } = await lab.run(7, 'ping', '-n', '-c1', '-W1', '10.0.1.6');
  assert.equal(status, 0);
  assert.match(stdout, /bytes from 10\.0\.1\.6/);
  // Another subnet's table does not lead there, but out of the VPC.
  await lab.drops('no-public-address', async () => {
    assert.equal(await lab.pings(6, '172.31.0.1', '-W0.2'), false);
  });
});

test('the metadata service reaches the machine, and what is behind it only with a hop more', async () => {
  await lab.become(changeInterface(lab.state, eniId(6), { secondaryIps: [parseIpv4('10.0.1.123')] }));
  // A pod with an address of the interface, so that nothing is translated.
  await lab.ip(6, 'netns', 'add', `${lab.prefix}-i-pod`);
  await lab.ip(
    6,
    'link',
    'add',
    'pod',
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'netns',
    `${lab.prefix}-i-pod`,
  );
  await lab.ip(6, 'link', 'set', 'pod', 'up');
  await lab.ip(6, 'route', 'add', '10.0.1.123', 'dev', 'pod');
  await lab.run(6, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.pod.proxy_arp=1');
  const pod = (...args: string[]) => lab.ip(6, '-n', `${lab.prefix}-i-pod`, ...args);
  await pod('address', 'add', '10.0.1.123/32', 'dev', 'eth0');
  await pod('link', 'set', 'eth0', 'up');
  await pod('route', 'add', 'default', 'dev', 'eth0');

  await lab.serve('vpc', IMDS_ADDRESS, 81, 1);
  await lab.serve('vpc', IMDS_ADDRESS, 82, 2);
  const fromPod = async (port: number, time: string) =>
    (
      await lab.run(
        6,
        ...['ip', 'netns', 'exec', `${lab.prefix}-i-pod`, 'curl', '-sS', '--max-time', time],
        `http://${IMDS_ADDRESS}:${port}/`,
      )
    ).status;
  assert.equal((await lab.get(6, IMDS_ADDRESS, 81))?.client.address, '10.0.1.6');
  assert.equal(await fromPod(82, '1'), 0);
  assert.notEqual(await fromPod(81, '0.3'), 0);
});
