import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { parseCidr, parseIp } from '@enid/ip';
import type { NetNamespace } from '../netns.ts';
import { testNamespace, within } from '../testing.ts';
import { addAddress, deleteAddress } from './address.ts';
import { addLink, deleteLink, setLink } from './link.ts';
import { type MonitorEvent, type MonitorGroup, monitor } from './monitor.ts';
import { addNeighbour } from './neighbour.ts';
import { addRoute, deleteRoute } from './route.ts';
import { Rtnetlink } from './rtnetlink.ts';
import { addRule, deleteRule } from './rule.ts';

/** Collects events until one fits. */
async function until(
  ns: NetNamespace,
  groups: MonitorGroup[],
  fits: (event: MonitorEvent) => boolean,
  act: () => void,
): Promise<MonitorEvent[]> {
  const events: MonitorEvent[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  using _ = monitor(ns, groups, (event) => {
    events.push(event);
    if (fits(event)) resolve();
  });
  act();
  await within(5000, promise);
  return events;
}

test('changes of every kind are told, in order', async (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  const rule = { priority: 9, family: 4, to: parseCidr('10.0.0.5/32'), table: 254 } as const;
  const address = { index: 10, address: parseIp('10.0.0.1'), prefixLength: 24 };
  const route = { destination: parseCidr('10.1.0.0/16'), oif: 10 };
  const events = await until(
    ns,
    ['link', 'address', 'route', 'rule', 'neighbour'],
    (event) => event.type === 'link' && event.action === 'delete',
    () =>
      rtnetlink.execute([
        addLink({ kind: 'veth', name: 'v0', index: 10, up: true, peer: { name: 'v1' } }),
        addAddress(address),
        addRoute(route),
        addRule(rule),
        addNeighbour({ index: 10, address: parseIp('10.0.0.9'), mac: '02:00:00:00:00:09' }),
        deleteRule(rule),
        deleteRoute(route),
        deleteAddress(address),
        deleteLink('v0'),
      ]),
  );
  const told = events.flatMap((event): string[] => {
    if (event.type === 'link' && event.link.index === 10) return [`${event.action} link ${event.link.name}`];
    if (event.type === 'address') return [`${event.action} address ${event.address.address}`];
    if (event.type === 'route' && event.route.table === 254)
      return [`${event.action} route ${event.route.destination}`];
    if (event.type === 'rule') return [`${event.action} rule ${event.rule.priority}`];
    if (event.type === 'neighbour' && event.neighbour.state === 'permanent') {
      return [`${event.action} neighbour ${event.neighbour.address}`];
    }
    return [];
  });
  const firsts = told.filter(
    (text, i) => told.indexOf(text) === i && !text.includes('fe80:') && !text.includes('ff00:'),
  );
  assert.deepEqual(firsts.slice(0, 9), [
    'new link v0',
    'new address 10.0.0.1',
    'new route 10.0.0.0/24',
    'new route 10.1.0.0/16',
    'new rule 9',
    'new neighbour 10.0.0.9',
    'delete rule 9',
    'delete route 10.1.0.0/16',
    'delete address 10.0.0.1',
  ]);
});

test('only the groups, the namespace and the time asked for', async (t) => {
  const [ns, other] = [testNamespace(t), testNamespace(t)];
  using rtnetlink = Rtnetlink.open(ns);
  using elsewhere = Rtnetlink.open(other);
  const late: MonitorEvent[] = [];
  monitor(ns, ['link'], (event) => late.push(event)).close();
  const events = await until(
    ns,
    ['rule'],
    ({ type }) => type === 'rule',
    () => {
      elsewhere.execute([addRule({ priority: 8, family: 6, table: 254 })]);
      rtnetlink.execute([setLink('lo', { up: true }), addRule({ priority: 9, family: 6, table: 254 })]);
    },
  );
  assert.deepEqual(
    events.map((event) => event.type === 'rule' && event.rule.priority),
    [9],
  );
  assert.deepEqual(late, []);
});

test('changes that came too fast are told to be lost', async (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  rtnetlink.execute([addLink({ kind: 'veth', name: 'v0', index: 10, up: true, peer: { name: 'v1' } })]);
  const routes = Array.from({ length: 8000 }, (_, i) =>
    addRoute({ destination: parseCidr(`10.1.${i >> 8}.${i & 255}/32`), oif: 10 }),
  );
  // All of it happens before the event loop gets to read once.
  const events = await until(
    ns,
    ['route'],
    ({ type }) => type === 'lost',
    () => rtnetlink.execute(routes),
  );
  const told = events.filter(({ type }) => type === 'route').length;
  assert.ok(told > 0 && told < routes.length, `${told} told`);
  // And the subscription goes on.
  await until(
    ns,
    ['route'],
    (event) => event.type === 'route' && event.route.metric === 77,
    () => rtnetlink.execute([addRoute({ destination: parseCidr('10.2.0.0/16'), oif: 10, metric: 77 })]),
  );
});

test('a listener may throw or close without harm to the others', async (t) => {
  const ns = testNamespace(t);
  using _rtnetlink = Rtnetlink.open(ns);
  const script = `
    import { NetNamespace, monitor, Rtnetlink, addRule } from ${JSON.stringify(import.meta.resolve('../index.ts'))};
    const ns = NetNamespace.named('${ns.name}');
    const rule = (priority) => addRule({ priority, family: 4, table: 254 });
    process.on('uncaughtException', (error) => {
      console.log(error.message);
      Rtnetlink.open(ns).execute([rule(3)]);
    });
    monitor(ns, ['rule'], ({ rule: { priority } }) => { if (priority === 1) throw new Error('mine'); });
    const timeout = setTimeout(() => {}, 5000);
    monitor(ns, ['rule'], ({ rule: { priority } }) => {
      console.log(priority);
      if (priority === 3) clearTimeout(timeout);
    });
    Rtnetlink.open(ns).execute([rule(1), rule(2)]);`;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  assert.equal(stdout, '1\n2\nmine\n3\n');
  assert.equal(status, 0, 'open monitors neither keep the process nor harm its end');
});
