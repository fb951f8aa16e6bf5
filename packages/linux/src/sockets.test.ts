import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type Ip, parseIp } from '@enid/ip';
import type { NetNamespace } from './netns.ts';
import { Nftables } from './nftables.ts';
import { addAddress } from './rtnetlink/address.ts';
import { setLink } from './rtnetlink/link.ts';
import { LOCAL_TABLE } from './rtnetlink/route.ts';
import { Rtnetlink } from './rtnetlink/rtnetlink.ts';
import { bindUdp, connectTcp, listenTcp, setTtl } from './sockets.ts';
import { eventually, testNamespace, within } from './testing.ts';

const address = parseIp('192.0.2.1');

/** A namespace whose loopback is up and has the addresses. */
async function namespaceWith(t: TestContext, ...addresses: [Ip, number][]): Promise<NetNamespace> {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  rtnetlink.execute([
    setLink('lo', { up: true }),
    ...addresses.map(([ip, prefixLength]) =>
      addAddress({ index: 1, address: ip, prefixLength, noDad: true }),
    ),
  ]);
  await eventually(ns, (rtnetlink) => {
    const routes = rtnetlink.routes({ table: LOCAL_TABLE });
    return addresses.every(([ip]) => routes.some(({ destination }) => destination.startsWith(`${ip}/`)));
  });
  return ns;
}

test('TCP is served and used inside a namespace, with a TTL', async (t) => {
  const ns = await namespaceWith(t, [address, 32]);
  const nft = new Nftables(ns);
  await nft.apply(`table ip t {
    counter replies { }
    counter others { }
    counter asks { }
    chain out { type filter hook output priority 0;
      tcp sport 80 ip ttl 1 counter name replies
      tcp sport 80 ip ttl != 1 counter name others
      tcp dport 80 ip ttl 7 ip saddr 127.0.0.9 counter name asks
    }
  }`);
  const server = createServer((socket) => socket.on('data', (data) => socket.end(`${data} back`)));
  server.listen({ fd: listenTcp(ns, address, 80, { ttl: 1 }) });
  t.after(() => server.close());
  const client = connectTcp(ns, address, 80, { localAddress: parseIp('127.0.0.9'), ttl: 7 }).setEncoding(
    'utf8',
  );
  client.write('there and');
  const [answer] = await within(5000, once(client, 'data'));
  assert.equal(answer, 'there and back');
  assert.equal(client.localAddress, '127.0.0.9');
  const packets = new Map(
    (await nft.list({ family: 'ip', name: 't' }))?.flatMap(({ counter }) =>
      counter ? [[counter.name, counter.packets as number] as const] : [],
    ),
  );
  assert.ok(packets.get('replies')! >= 3, 'SYN-ACK, data and FIN');
  assert.equal(packets.get('others'), 0);
  assert.ok(packets.get('asks')! >= 3);
});

test('the TTL of one connection is set while it lasts', async (t) => {
  const ns = await namespaceWith(t, [address, 32]);
  const nft = new Nftables(ns);
  await nft.apply(`table ip t {
    counter limited { }
    counter others { }
    chain out { type filter hook output priority 0;
      tcp sport 80 ip length > 60 ip ttl 3 counter name limited
      tcp sport 80 ip length > 60 ip ttl != 3 counter name others
    }
  }`);
  const server = createServer((socket) => {
    setTtl(socket, 3);
    socket.end('something longer than a TCP header without data');
  });
  server.listen({ fd: listenTcp(ns, address, 80) });
  t.after(() => server.close());
  const client = connectTcp(ns, address, 80).resume();
  await within(5000, once(client, 'close'));
  const packets = new Map(
    (await nft.list({ family: 'ip', name: 't' }))?.flatMap(({ counter }) =>
      counter ? [[counter.name, counter.packets as number] as const] : [],
    ),
  );
  assert.equal(packets.get('others'), 0);
  assert.ok(packets.get('limited')! >= 1);
});

test('IPv6 too', async (t) => {
  const ip = parseIp('2001:db8::1');
  const ns = await namespaceWith(t, [ip, 128]);
  const server = createServer((socket) => socket.end('six')).listen({ fd: listenTcp(ns, ip, 0, { ttl: 9 }) });
  t.after(() => server.close());
  await once(server, 'listening');
  const client = connectTcp(ns, ip, (server.address() as AddressInfo).port).setEncoding('utf8');
  assert.deepEqual(await within(5000, once(client, 'data')), ['six']);
});

test('a refused connection is an error event', async (t) => {
  const ns = await namespaceWith(t);
  const client = connectTcp(ns, parseIp('127.0.0.1'), 1);
  const [error] = await within(
    5000,
    once(client, 'error').catch((reason) => [reason]),
  );
  assert.equal(error.code, 'ECONNREFUSED');
});

test('UDP is served inside a namespace', async (t) => {
  const ns = await namespaceWith(t);
  const localhost = parseIp('127.0.0.1');
  const [server, client] = [createSocket('udp4'), createSocket('udp4')];
  t.after(() => [server, client].map((socket) => socket.close()));
  server.on('message', (message, from) => server.send(`${message} back`, from.port, from.address));
  server.bind({ fd: bindUdp(ns, localhost, 53) });
  client.bind({ fd: bindUdp(ns, localhost, 0, { ttl: 3 }) });
  client.send('there and', 53, '127.0.0.1');
  const [answer] = await within(5000, once(client, 'message'));
  assert.equal(String(answer), 'there and back');
});

test('errors name the address', async (t) => {
  const ns = await namespaceWith(t);
  const fd = listenTcp(ns, parseIp('127.0.0.1'), 80);
  t.after(() => closeSync(fd));
  assert.throws(() => listenTcp(ns, parseIp('127.0.0.1'), 80), {
    code: 'EADDRINUSE',
    message: /127\.0\.0\.1:80/,
  });
  assert.throws(() => listenTcp(ns, address, 80), { code: 'EADDRNOTAVAIL', message: /192\.0\.2\.1:80/ });
  assert.throws(() => bindUdp(ns, parseIp('2001:db8::1'), 53), { message: /\[2001:db8::1\]:53/ });
});
