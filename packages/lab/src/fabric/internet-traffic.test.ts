import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { parseIpv4 } from '@enid/ip';
import { INTERNET_CLIENT, INTERNET_SERVER } from '../internet/addresses.ts';
import { InternetServer } from '../internet/server.ts';
import { changeInterface, eniId, NAT, NAT_PUBLIC_IP, testCloud, withInstance } from './cloud.fixture.ts';
import { TestLab } from './lab.fixture.ts';

const publicIp = (address: string, publicIp: string) => ({
  publicIps: { [address]: { publicIp: parseIpv4(publicIp) } },
});
const QUICK = ['--max-time', '0.2'];

// 5 has a public address, 6 has none beside it, 7 is behind the NAT gateway, 8 has no way out.
let lab: TestLab;
let server: InternetServer;
before(async () => {
  let state = testCloud();
  state = withInstance(state, 5, 'publicA', publicIp('10.0.1.5', '203.0.113.5'));
  state = withInstance(state, 6, 'publicA');
  state = withInstance(state, 7, 'privateB');
  state = withInstance(state, 8, 'lonely');
  lab = await TestLab.start(state);
  server = await InternetServer.start(lab.fabric.internetNamespace()!);
});
after(async () => {
  await server.close();
  await lab[Symbol.asyncDispose]();
});

test('a public address is what the internet sees of its machine', async () => {
  const answer = await lab.get(5, INTERNET_SERVER);
  assert.equal(answer?.client.address, '203.0.113.5');
  assert.equal(answer?.server.address, INTERNET_SERVER);
  assert.ok(await lab.pings(5, INTERNET_SERVER));
});

test('without a public address the internet gateway passes nothing', async () => {
  await lab.drops('no-public-address', async () => {
    assert.equal(await lab.get(6, INTERNET_SERVER, 80, ...QUICK), undefined);
  });
});

test('a private subnet goes out by the NAT gateway, as its public address', async () => {
  const answer = await lab.get(7, INTERNET_SERVER);
  assert.equal(answer?.client.address, NAT_PUBLIC_IP);
  assert.ok(await lab.pings(7, INTERNET_SERVER));
});

test('nothing begins by the NAT gateway from outside', async () => {
  for (const port of [22, 80]) {
    const { status, stderr } = await lab.run(
      'internet',
      'curl',
      '-sS',
      '--max-time',
      '0.2',
      `http://${NAT_PUBLIC_IP}:${port}`,
    );
    assert.equal(status, 28, stderr); // Timed out, not refused.
  }
  assert.equal(await lab.pings('internet', NAT_PUBLIC_IP, '-W0.2'), false);
});

test('without a route there is no way out', async () => {
  await lab.drops('no-route', async () => {
    assert.equal(await lab.pings(8, INTERNET_SERVER, '-W0.2'), false);
  });
});

test('the internet reaches a machine by its public address, and sees it answer as such', async () => {
  await lab.serve(5, '10.0.1.5', 8000);
  const answer = await lab.get('internet', '203.0.113.5', 8000);
  assert.equal(answer?.client.address, INTERNET_CLIENT);
  assert.equal(answer?.server.address, '10.0.1.5');
  assert.ok(await lab.pings('internet', '203.0.113.5'));
  // An address that nobody has, and a private one.
  assert.equal(await lab.pings('internet', '203.0.113.99', '-W0.2'), false);
  assert.equal(await lab.pings('internet', '10.0.1.5', '-W0.2'), false);
});

test('machines meet by their public addresses', async () => {
  await lab.become(changeInterface(lab.state, eniId(6), publicIp('10.0.1.6', '203.0.113.6')));
  const answer = await lab.get(6, '203.0.113.5', 8000);
  assert.equal(answer?.client.address, '203.0.113.6');
  await lab.become(changeInterface(lab.state, eniId(6), { publicIps: {} }));
});

test('a packet too big for the internet is refused with what fits', async () => {
  for (const from of [5, 7]) {
    assert.ok(await lab.pings(from, INTERNET_SERVER, '-Mdo', '-s1472'));
    const { stdout } = await lab.run(from, 'ping', '-n', '-c1', '-W1', '-Mdo', '-s1473', INTERNET_SERVER);
    assert.match(stdout, /From \S+ icmp_seq=1 Frag needed and DF set \(mtu = 1500\)/, String(from));
    // Without the flag it is fragmented.
    assert.ok(await lab.pings(from, INTERNET_SERVER, '-Mdont', '-s3000'));
  }
});

test('a datagram comes back through the echo service', async () => {
  const { stdout } = await lab.run(
    7,
    'bash',
    '-c',
    `exec 3<>/dev/udp/${INTERNET_SERVER}/7; echo hello >&3; head -1 <&3`,
  );
  assert.equal(stdout, 'hello\n');
});

test('the ICMP errors of the internet find the machine behind the translation', async () => {
  for (const from of [5, 7]) {
    // Nobody listens: the error makes the read fail at once.
    const { stderr } = await lab.run(
      from,
      'bash',
      '-c',
      `exec 3<>/dev/udp/${INTERNET_SERVER}/9; echo >&3; head -1 <&3`,
    );
    assert.match(stderr, /Connection refused/, String(from));
  }
});

test('gateways come and go', async () => {
  const { natGateways, internetGateways } = lab.state;
  await lab.become({ ...lab.state, natGateways: { [NAT]: { ...natGateways[NAT]!, state: 'deleting' } } });
  await lab.drops('no-route', async () => {
    assert.equal(await lab.pings(7, INTERNET_SERVER, '-W0.2'), false);
  });
  await lab.become({ ...lab.state, natGateways, internetGateways: {} });
  await lab.drops('no-route', async () => {
    assert.equal(await lab.pings(5, INTERNET_SERVER, '-W0.2'), false);
  });
  assert.equal(await lab.pings('internet', '203.0.113.5', '-W0.2'), false);
  await lab.become({ ...lab.state, internetGateways });
  assert.ok(await lab.pings(5, INTERNET_SERVER));
  assert.ok(await lab.pings(7, INTERNET_SERVER));
});

test('a connection ends with the public address that it goes by', async () => {
  const echo = lab.spawn(5, 'bash', '-c', `exec 3<>/dev/tcp/${INTERNET_SERVER}/7; cat <&3 & cat >&3`);
  const lines = createInterface({ input: echo.stdout! });
  const answer = once(lines, 'line');
  echo.stdin!.write('before\n');
  assert.deepEqual(await answer, ['before']);
  await lab.become(changeInterface(lab.state, eniId(5), publicIp('10.0.1.5', '203.0.113.55')));
  await lab.drops('no-public-address', async () => {
    echo.stdin!.write('after\n');
    // The kernel repeats what is not acknowledged: a new connection's round trip is time enough for the first.
    assert.equal((await lab.get(5, INTERNET_SERVER))?.client.address, '203.0.113.55');
  });
});
