import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { parseIpv4, parseIpv4Cidr } from '@enid/ip';
import type { SecurityGroupRule } from '../cloud/state.ts';
import { INTERNET_CLIENT } from '../internet/addresses.ts';
import {
  anywhere,
  changeInterface,
  eniId,
  rule,
  securityGroup,
  testCloud,
  withInstance,
} from './cloud.fixture.ts';
import { TestLab } from './lab.fixture.ts';

const WEB = 'sg-0000000000000000a';
const CLIENTS = 'sg-0000000000000000b';
const OTHERS = 'sg-0000000000000000c';
const QUICK = ['--max-time', '0.2'];

// A web server and two clients of it, of different groups.
let lab: TestLab;
before(async () => {
  let state = testCloud();
  state = withInstance(state, 5, 'publicA', {
    groups: [WEB],
    publicIps: { '10.0.1.5': { publicIp: parseIpv4('203.0.113.5') } },
  });
  state = withInstance(state, 6, 'publicA', { groups: [CLIENTS] });
  state = withInstance(state, 7, 'privateB', { groups: [OTHERS] });
  lab = await TestLab.start(state);
  await lab.serve(5, '10.0.1.5');
  await lab.serve(5, '10.0.1.5', 81);
});
after(() => lab[Symbol.asyncDispose]());

/** Gives the web server's group these rules, and the others all egress and no ingress. */
async function allow(ingress: SecurityGroupRule[], egress?: SecurityGroupRule[]): Promise<void> {
  await lab.become({
    ...lab.state,
    securityGroups: {
      ...lab.state.securityGroups,
      ...securityGroup(WEB, ingress, egress),
      ...securityGroup(CLIENTS, []),
      ...securityGroup(OTHERS, []),
    },
  });
}

const refused = async (from: 6 | 7 | 'internet', port = 80) =>
  await lab.drops('security-group-ingress', async () => {
    const to = from === 'internet' ? '203.0.113.5' : '10.0.1.5';
    assert.equal(await lab.get(from, to, port, ...QUICK), undefined, `${from} to port ${port}`);
  });

test('a group without rules lets nothing in, and its members are no exception', async () => {
  await allow([]);
  await refused(6);
  await lab.become(changeInterface(lab.state, eniId(6), { groups: [WEB] }));
  await refused(6);
  await lab.become(changeInterface(lab.state, eniId(6), { groups: [CLIENTS] }));
});

test('by block and port; the answers need no rule', async () => {
  await allow([rule({ cidr: parseIpv4Cidr('10.0.1.0/24') }, 'tcp', 80)], []);
  assert.equal((await lab.get(6, '10.0.1.5'))?.client.address, '10.0.1.6');
  await refused(6, 81);
  await refused(7);
  await lab.drops('security-group-ingress', async () => {
    assert.equal(await lab.pings(6, '10.0.1.5', '-W0.2'), false);
  });
  // The server may begin nothing by itself.
  await lab.drops('security-group-egress', async () => {
    assert.equal(await lab.pings(5, '10.0.1.6', '-W0.2'), false);
  });
});

test('by range of ports and by protocol', async () => {
  await allow([rule(anywhere, 'tcp', 81, 90), rule(anywhere, 'icmp', 8, -1)]);
  assert.ok(await lab.get(6, '10.0.1.5', 81));
  assert.ok(await lab.pings(7, '10.0.1.5'));
  await refused(6, 80);
});

test('by group, with all addresses of its members', async () => {
  await allow([rule({ groupId: CLIENTS }, 'tcp', 80)]);
  assert.ok(await lab.get(6, '10.0.1.5'));
  await refused(7);
  await lab.become(changeInterface(lab.state, eniId(6), { secondaryIps: [parseIpv4('10.0.1.66')] }));
  await lab.ip(6, 'address', 'add', '10.0.1.66/32', 'dev', 'lo');
  const answer = await lab.get(6, '10.0.1.5', 80, '--interface', '10.0.1.66');
  assert.equal(answer?.client.address, '10.0.1.66');
  // Joining is enough, leaving too.
  await lab.become(changeInterface(lab.state, eniId(7), { groups: [OTHERS, CLIENTS] }));
  assert.ok(await lab.get(7, '10.0.1.5'));
  await lab.become(changeInterface(lab.state, eniId(7), { groups: [OTHERS] }));
  await refused(7);
});

test('egress by block, by group and by port', async () => {
  await lab.serve(7, '100.64.0.7');
  const everything = { groups: [...new Set([OTHERS, 'sg-00000000000000001'])] };
  await lab.become(changeInterface(lab.state, eniId(7), everything));
  await allow([], [rule({ groupId: OTHERS }, 'tcp', 80)]);
  assert.ok(await lab.get(5, '100.64.0.7'));
  await lab.drops('security-group-egress', () => lab.pings(5, '100.64.0.7', '-W0.2'));
  await allow([], [rule({ cidr: parseIpv4Cidr('10.0.0.0/16') })]);
  await lab.drops('security-group-egress', () => lab.get(5, '100.64.0.7', 80, ...QUICK));
  await allow([], [rule({ cidr: parseIpv4Cidr('100.64.0.0/16') }, 'tcp', 80)]);
  assert.ok(await lab.get(5, '100.64.0.7'));
});

test('what is revoked is refused, while a connection that stands goes on', async () => {
  await allow([rule({ cidr: parseIpv4Cidr('10.0.1.6/32') }, 'tcp', 80)]);
  // A request by keyboard: its second half is sent after the rule is gone.
  const client = lab.spawn(
    6,
    'bash',
    '-c',
    'exec 3<>/dev/tcp/10.0.1.5/80; printf "GET / HTTP/1.1\\r\\n" >&3; echo begun; read -r; printf "Host: x\\r\\nConnection: close\\r\\n\\r\\n" >&3; head -1 <&3',
  );
  const lines = createInterface({ input: client.stdout! });
  assert.deepEqual(await once(lines, 'line'), ['begun']);
  await allow([]);
  await refused(6);
  const answer = once(lines, 'line');
  client.stdin!.write('\n');
  assert.match((await answer)[0], /^HTTP\/1\.1 200/);
});

test('what comes from the internet needs a rule as well', async () => {
  await allow([rule({ cidr: parseIpv4Cidr('198.51.100.0/24') }, 'tcp', 80)]);
  assert.equal((await lab.get('internet', '203.0.113.5'))?.client.address, INTERNET_CLIENT);
  await refused(6);
  await allow([rule({ cidr: parseIpv4Cidr('10.0.0.0/8') }, 'tcp', 80)]);
  await refused('internet');
  assert.ok(await lab.get(6, '10.0.1.5'));
});
