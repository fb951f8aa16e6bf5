import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import type { Ipv4 } from '@enid/ip';
import { addAddress, bindUdp, connectTcp, NetNamespace, Rtnetlink, setLink } from '@enid/linux';
import * as dns from 'dns-packet';
import { collect } from '../base/output.ts';
import { INTERNET_CLIENT, INTERNET_SERVER, InternetServer } from './server.ts';

const NAME = `enid-internet-test-${process.pid}`;
let ns: NetNamespace;
let server: InternetServer;
/** Names that somebody has, for a while. */
const names = new Map<string, Ipv4[]>();
before(async () => {
  ns = NetNamespace.create(NAME);
  using rtnl = Rtnetlink.open(ns);
  const address = (address: typeof INTERNET_SERVER) => addAddress({ index: 1, address, prefixLength: 32 });
  rtnl.execute([setLink('lo', { up: true }), address(INTERNET_SERVER), address(INTERNET_CLIENT)]);
  server = await InternetServer.start(ns, (name) => names.get(name));
});
after(async () => {
  await server.close();
  ns.close();
  NetNamespace.delete(NAME);
});

const inNamespace = (file: string, ...args: string[]) =>
  ns.run(() => spawn(file, args, { stdio: 'pipe', detached: true }));

test('tells who asks and who answers', async () => {
  const { stdout } = await collect(
    inNamespace('curl', '-sS', '--interface', INTERNET_CLIENT, `http://${INTERNET_SERVER}/`),
  );
  const answer = JSON.parse(stdout);
  assert.deepEqual(answer.server, { address: INTERNET_SERVER, port: 80 });
  assert.equal(answer.client.address, INTERNET_CLIENT);
  assert.ok(answer.client.port > 0);
});

for (const protocol of ['tcp', 'udp']) {
  test(`echoes ${protocol}`, async () => {
    const { stdout } = await collect(
      inNamespace('bash', '-c', `exec 3<>/dev/${protocol}/${INTERNET_SERVER}/7; echo hello >&3; head -1 <&3`),
    );
    assert.equal(stdout, 'hello\n');
  });
}

const query = (name: string) =>
  dns.encode({ type: 'query', id: 7, flags: dns.RECURSION_DESIRED, questions: [{ type: 'A', name }] });

const askers = {
  async UDP(name: string) {
    const socket = createSocket('udp4').bind({ fd: bindUdp(ns, INTERNET_CLIENT, 0) });
    const answered = once(socket, 'message');
    socket.send(query(name), 53, INTERNET_SERVER);
    const [message] = (await answered) as [Buffer];
    socket.close();
    return dns.decode(message);
  },
  async TCP(name: string) {
    const socket = connectTcp(ns, INTERNET_SERVER, 53);
    const message = query(name);
    socket.write(Buffer.concat([Buffer.from([0, message.length]), message]));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    return dns.decode(answer.subarray(2));
  },
};

for (const [protocol, ask] of Object.entries(askers)) {
  test(`resolves its name by ${protocol}, and no other`, async () => {
    const known = await ask('server.internet.test');
    assert.deepEqual(
      known.answers!.map((answer) => (answer as dns.StringAnswer).data),
      [INTERNET_SERVER],
    );
    assert.equal(((await ask('other.internet.test')) as unknown as { rcode: string }).rcode, 'NXDOMAIN');
  });
}

test('resolves the names that it is given, in any case and as long as they are there', async () => {
  const addresses = ['203.0.113.7', '203.0.113.8'] as Ipv4[];
  names.set('web.elb.test', addresses);
  const { answers } = await askers.UDP('Web.ELB.test');
  assert.deepEqual(
    answers!.map((answer) => (answer as dns.StringAnswer).data),
    addresses,
  );
  names.clear();
  assert.equal(((await askers.UDP('web.elb.test')) as unknown as { rcode: string }).rcode, 'NXDOMAIN');
});

test('is one at a time, and says so', async () => {
  await assert.rejects(InternetServer.start(ns), { code: 'EADDRINUSE' });
});

test('ends its connections when it closes, and can be started again', async () => {
  const client = inNamespace(
    'bash',
    '-c',
    `exec 3<>/dev/tcp/${INTERNET_SERVER}/7; echo >&3; read <&3; echo begun; cat <&3`,
  );
  await once(client.stdout!, 'data');
  const ended = once(client, 'exit');
  await server.close();
  await ended;
  server = await InternetServer.start(ns);
});
