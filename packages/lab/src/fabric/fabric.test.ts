import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { type Ipv4, parseIpv4 } from '@enid/ip';
import { NetNamespace, Rtnetlink } from '@enid/linux';
import type { CloudState } from '../cloud/state.ts';
import {
  changeInterface,
  eniId,
  instanceId,
  OPEN_GROUP,
  rule,
  securityGroup,
  testCloud,
  VPC,
  withInstance,
  withInterface,
} from './cloud.fixture.ts';
import { Fabric } from './fabric.ts';
import { TestLab } from './lab.fixture.ts';
import { namespacesOf, portName } from './names.ts';

const START = withInterface(
  withInstance(withInstance(testCloud(), 5, 'publicA'), 6, 'privateB'),
  5,
  1,
  'publicA',
);
const PORT_5 = portName(eniId(5));

const namespaces = (lab: TestLab) => namespacesOf(lab.prefix, NetNamespace.list());

/**
 * What traffic and time change. A link's carrier is noticed by the kernel within a second, and then it gets an IPv6
 * address of its own.
 */
const VOLATILE = ['packets', 'bytes', 'handle', 'stats', 'stats64', 'qlen', 'operstate'];
const CARRIER_FLAGS = ['NO-CARRIER', 'LOWER_UP', 'linkdown'];

const isIpv4 = ({ family }: { family: string }) => family === 'inet';
const byAddress = (a: { local: string }, b: { local: string }) => (a.local < b.local ? -1 : 1);

/** The kernel lists neighbours by its hash table, which is anew each time that it grows, for all namespaces at once. */
const inAnyOrder = (entries: unknown[]) => entries.map((entry) => JSON.stringify(entry)).toSorted();

/** All that the kernel holds of a lab. */
async function snapshot(lab: TestLab): Promise<unknown> {
  const seen: Record<string, unknown> = {};
  for (const name of namespaces(lab)) {
    const ask = async (...command: string[]) => {
      const { stdout } = await lab.run('vpc', 'ip', 'netns', 'exec', name, ...command);
      return JSON.parse(stdout || '[]', (key, value) => {
        if (VOLATILE.includes(key)) return undefined;
        if (key === 'addr_info') return value.filter(isIpv4).toSorted(byAddress);
        return key === 'flags' && Array.isArray(value)
          ? value.filter((flag) => !CARRIER_FLAGS.includes(flag))
          : value;
      });
    };
    seen[name] = [
      await ask('ip', '-j', '-d', 'address'),
      await ask('ip', '-j', '-4', 'route', 'show', 'table', 'all'),
      await ask('ip', '-j', '-4', 'rule'),
      inAnyOrder(await ask('ip', '-j', '-4', 'neighbour', 'show', 'nud', 'permanent')),
      await ask('nft', '-j', 'list', 'ruleset'),
    ];
  }
  return seen;
}

/** The routes, rules and addresses that change in the VPC while `fn` runs, as `ip monitor` prints them. */
async function changesDuring(lab: TestLab, fn: () => Promise<void>): Promise<string> {
  const monitor = lab.spawn('vpc', 'ip', 'monitor', 'address', 'route', 'rule');
  let output = '';
  monitor.stdout!.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  const sees = async (text: string) => {
    while (!output.includes(text)) await once(monitor.stdout!, 'data');
  };
  // A change before and one after, to know that it watches and that it has seen everything.
  const route = ['198.18.0.1', 'dev', 'lo', 'table', '7'];
  const watching = sees('198.18.0.1');
  const probe = setInterval(() => {
    void lab.ip('vpc', 'route', 'replace', ...route);
  }, 20);
  await watching;
  clearInterval(probe);
  const mark = output.length;
  await fn();
  const done = sees('198.18.0.2');
  await lab.ip('vpc', 'route', 'add', '198.18.0.2', 'dev', 'lo', 'table', '7');
  await done;
  monitor.kill();
  return output
    .slice(mark)
    .split('\n')
    .filter((line) => line !== '' && !line.includes('198.18.0.'))
    .join('\n');
}

test('a second run changes nothing, nor does that of another process', async () => {
  await using lab = await TestLab.start(START);
  const before = await snapshot(lab);
  await lab.fabric.sync(START);
  assert.deepEqual(await snapshot(lab), before);
  lab.fabric.close();
  lab.fabric = new Fabric({ prefix: lab.prefix });
  await lab.fabric.sync(START);
  assert.deepEqual(await snapshot(lab), before);
  assert.ok(await lab.pings(5, '100.64.0.6'));
});

test('one address more is one route more', async () => {
  await using lab = await TestLab.start(START);
  // The first run takes the marker route away that is no part of the plan.
  const secondaryIps = [parseIpv4('10.0.1.77')];
  const changes = await changesDuring(lab, () =>
    lab.become(changeInterface(lab.state, eniId(5), { secondaryIps })),
  );
  assert.match(
    changes,
    new RegExp(`^10\\.0\\.1\\.77 via 10\\.0\\.1\\.5 dev ${PORT_5} table 100 .*onlink\\s*$`),
  );
});

test('what is taken away by hand comes back, what is added goes', async () => {
  await using lab = await TestLab.start(START);
  const before = await snapshot(lab);
  const again = async () => {
    await lab.fabric.sync(START);
    assert.deepEqual(await snapshot(lab), before);
    assert.ok(await lab.pings(5, '100.64.0.6'));
  };
  await lab.ip('vpc', 'route', 'delete', '10.0.1.5', 'table', '100');
  await lab.ip('vpc', 'route', 'add', '10.0.1.200', 'dev', PORT_5, 'table', '100');
  await lab.ip('vpc', 'rule', 'delete', 'priority', '100');
  await lab.ip('vpc', 'rule', 'add', 'priority', '90', 'iif', PORT_5, 'blackhole');
  await again();
  await lab.ip('vpc', 'neighbour', 'replace', '10.0.1.5', 'lladdr', '02:00:00:00:00:99', 'dev', PORT_5);
  await lab.ip('vpc', 'address', 'delete', '10.0.1.1/32', 'dev', 'lo');
  await again();
  await lab.ip('vpc', 'link', 'set', PORT_5, 'down');
  await again();
  assert.equal((await lab.run('vpc', 'nft', 'flush', 'ruleset')).status, 0);
  await again();
  assert.equal((await lab.run('vpc', 'nft', 'flush', 'chain', 'ip', 'enid', 'forward')).status, 0);
  await again();
  assert.equal((await lab.run('vpc', 'sysctl', '-qw', 'net.ipv4.ip_forward=0')).status, 0);
  await again();
});

test('a machine is configured once: what it does with its own links stays', async () => {
  await using lab = await TestLab.start(START);
  await lab.ip(5, 'address', 'add', '10.0.1.77/32', 'dev', 'eth0');
  await lab.ip(5, 'route', 'add', '192.0.2.0/24', 'via', '10.0.1.1');
  await lab.run(5, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
  await lab.fabric.sync(START);
  // Even when its cable is pulled and put in again.
  await lab.ip('vpc', 'link', 'delete', PORT_5);
  await lab.fabric.sync(START);
  assert.ok(await lab.pings(5, '100.64.0.6'));
  const { stdout } = await lab.run(5, 'sysctl', '-n', 'net.ipv4.ip_forward');
  assert.equal(stdout, '1\n');
});

test('goes on where a killed process stopped', async () => {
  await using lab = await TestLab.start(testCloud());
  // A namespace without settings, a pair of links that nothing is configured on, and a name without a namespace.
  NetNamespace.create(lab.nameOf(5)).close();
  await lab.ip('vpc', 'link', 'add', PORT_5, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', lab.nameOf(5));
  await lab.run('vpc', 'touch', `/run/netns/${lab.nameOf(6)}`);
  await lab.become(START);
  assert.ok(await lab.pings(5, '100.64.0.6'));
  assert.ok((await lab.ip(5, 'address', 'show', 'lo'))[0].flags.includes('UP'));
});

test('a namespace that was deleted by hand is made again, with its links', async () => {
  await using lab = await TestLab.start(START);
  for (const where of [5, 'internet', 'vpc'] as const) {
    // Something that is left open in it keeps the old one alive.
    using _ = lab.open(where);
    NetNamespace.delete(lab.nameOf(where));
    await lab.fabric.sync(START);
    assert.ok(await lab.pings(5, '100.64.0.6'), String(where));
  }
});

test('an interface moves from one machine to another', async () => {
  await using lab = await TestLab.start(START);
  const { attachment } = START.networkInterfaces[eniId(5, 1)]!;
  await lab.become(
    changeInterface(START, eniId(5, 1), { attachment: { ...attachment!, instanceId: instanceId(6) } }),
  );
  assert.equal((await lab.run(5, 'ip', 'link', 'show', 'eth1')).status, 1);
  assert.equal((await lab.ip(6, 'link', 'show', 'eth1'))[0].address, '02:00:00:00:05:01');
});

test('a device whose name is taken gets the next one', async () => {
  await using lab = await TestLab.start(changeInterface(START, eniId(5, 1), undefined));
  await lab.ip(5, 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'other');
  await lab.become(START);
  assert.equal((await lab.ip(5, 'link', 'show', 'eth2'))[0].address, '02:00:00:00:05:01');
});

test('calls made during a run are served together, with the latest state', async () => {
  await using lab = await TestLab.start(START);
  const withAddress = (address: string): CloudState =>
    changeInterface(START, eniId(5), { secondaryIps: [address as Ipv4] });
  const done: string[] = [];
  await Promise.all(
    ['10.0.1.70', '10.0.1.71', '10.0.1.72'].map(async (address) => {
      await lab.fabric.sync(withAddress(address));
      done.push(address);
    }),
  );
  assert.deepEqual(done, ['10.0.1.70', '10.0.1.71', '10.0.1.72']);
  const routes = (await lab.ip('vpc', 'route', 'show', 'table', '100')).map(
    ({ dst }: { dst: string }) => dst,
  );
  assert.deepEqual(
    routes.filter((dst: string) => dst.startsWith('10.0.1.7')),
    ['10.0.1.72'],
  );
});

test('counters go on counting when groups change', async () => {
  await using lab = await TestLab.start(START);
  await lab.drops('no-route', () => lab.pings(6, '10.0.200.1', '-W0.2'));
  const before = await lab.fabric.drops(VPC);
  await lab.become({
    ...START,
    securityGroups: securityGroup(OPEN_GROUP, [rule({ groupId: OPEN_GROUP })]),
  });
  assert.deepEqual(await lab.fabric.drops(VPC), before);
  assert.ok(before!['no-route'].packets > 0);
});

test('tables that another release left are replaced', async () => {
  await using lab = await TestLab.start(START);
  const before = await snapshot(lab);
  const other =
    'delete table ip enid; add table ip enid; add chain ip enid forward { type filter hook input priority 5; }';
  assert.equal((await lab.run('vpc', 'nft', other)).status, 0);
  await lab.fabric.sync(START);
  assert.deepEqual(await snapshot(lab), before);
});

test('a refusal of the kernel is told, and the next call tries again', async () => {
  await using lab = await TestLab.start(START);
  const broken = changeInterface(START, eniId(5), { primaryIp: '300.0.0.1' as Ipv4 });
  await assert.rejects(lab.fabric.sync(broken));
  await lab.fabric.sync(START);
  assert.ok(await lab.pings(5, '100.64.0.6'));
});

test('a terminated machine and a deleted VPC are gone', async () => {
  await using lab = await TestLab.start(START);
  const { [instanceId(6)]: instance, ...others } = START.instances;
  const attached = Object.values(START.networkInterfaces).filter(
    ({ attachment }) => attachment?.instanceId !== instance!.id,
  );
  await lab.become({
    ...START,
    instances: { ...others, [instance!.id]: { ...instance!, state: 'terminated' } },
    networkInterfaces: Object.fromEntries(attached.map((eni) => [eni.id, eni])),
  });
  assert.ok(!namespaces(lab).includes(lab.nameOf(6)));
  assert.equal((await lab.run('vpc', 'ip', 'link', 'show', portName(eniId(6)))).status, 1);
  assert.ok(lab.fabric.vpcNamespace(VPC));
  const empty = {
    ...START,
    vpcs: {},
    instances: {},
    networkInterfaces: {},
    natGateways: {},
    internetGateways: {},
  };
  await lab.become(empty);
  assert.deepEqual(namespaces(lab), [lab.nameOf('internet')]);
  assert.equal(lab.fabric.vpcNamespace(VPC), undefined);
});

test('nothing is left, not even by a process that was killed or holds on to a namespace', async () => {
  await using lab = await TestLab.start(START);
  const held = lab.open('vpc');
  const machine = lab.open(5);
  assert.equal(namespaces(lab).length, 5);
  lab.fabric.close();
  await Fabric.remove(lab.prefix);
  assert.deepEqual(namespaces(lab), []);
  for (const ns of [held, machine]) {
    using rtnl = Rtnetlink.open(ns);
    assert.deepEqual(
      rtnl.links().map(({ name }) => name),
      ['lo'],
    );
    ns.close();
  }
});
