import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer, request, type Server } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { after, before, test } from 'node:test';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';

/** A kubelet's server, as far as requests that are handed to it go. */
let kubelet: Server;
let server: TestApiServer;
const seen: { method: string; url: string; user: string | undefined; authorization: string | undefined }[] =
  [];
const PODS = '/api/v1/namespaces/default/pods';

before(async () => {
  server = await startTestApiServer();
  const { authority } = server.pki;
  const { certificate, key } = await authority.issueServer(['127.0.0.1']);
  kubelet = createServer({
    cert: certificate,
    key,
    ca: authority.certificate,
    requestCert: true,
    rejectUnauthorized: true,
  });
  const note = (asked: IncomingMessage) => {
    const { subject } = (asked.socket as import('node:tls').TLSSocket).getPeerCertificate();
    const { method = '', url = '', headers } = asked;
    seen.push({ method, url, user: String(subject.CN), authorization: headers.authorization });
  };
  kubelet.on('request', (asked, answer) => {
    note(asked);
    if (asked.url?.includes('gone')) {
      answer.writeHead(404, { 'content-type': 'text/plain' }).end('no such container');
      return;
    }
    answer.writeHead(200, { 'content-type': 'text/plain' });
    answer.write('first\n');
    setTimeout(() => answer.end('last\n'), 20);
  });
  kubelet.on('upgrade', (asked: IncomingMessage, socket: Duplex) => {
    note(asked);
    if (asked.headers['x-refuse']) {
      socket.end('HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nno');
      return;
    }
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\nhello ',
    );
    socket.on('data', (chunk) => socket.write(String(chunk).toUpperCase()));
    socket.on('end', () => socket.end());
  });
  kubelet.listen(0, '127.0.0.1');
  await once(kubelet, 'listening');
  await server.must('POST /api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
  await addNode('n1', (kubelet.address() as AddressInfo).port);
  await addPod('p', 'n1');
});
after(async () => {
  await server.stop();
  kubelet.closeAllConnections();
  kubelet.close();
});

function addNode(name: string, Port: number): Promise<unknown> {
  const addresses = [{ type: 'InternalIP', address: '127.0.0.1' }];
  return server.must('POST /api/v1/nodes', {
    metadata: { name },
    status: { addresses, daemonEndpoints: { kubeletEndpoint: { Port } } },
  });
}

function addPod(name: string, nodeName: string | undefined, containers = ['c']): Promise<unknown> {
  const spec = { nodeName, containers: containers.map((container) => ({ name: container, image: 'i' })) };
  return server.must(`POST ${PODS}`, { metadata: { name }, spec });
}

test('logs come from the kubelet of the pod’s node, which is asked by the API server', async () => {
  const answer = await server.send(`${PODS}/p/log?follow=true&tailLines=5`, {
    headers: { authorization: 'Bearer mine' },
  });
  assert.equal(answer.text, 'first\nlast\n');
  assert.deepEqual(seen.at(-1), {
    method: 'GET',
    url: '/containerLogs/default/p/c?follow=true&tailLines=5',
    user: 'kube-apiserver-kubelet-client',
    authorization: undefined,
  });
  const whole = await server.send('/api/v1/nodes/n1/proxy/stats/summary?only=x');
  assert.equal(whole.code, 200);
  assert.equal(seen.at(-1)?.url, '/stats/summary?only=x');
});

test('what is asked for wrongly is said before a kubelet is asked', async () => {
  await addPod('two', 'n1', ['a', 'b']);
  await addPod('nowhere', undefined);
  const count = seen.length;
  const message = async (path: string) => (await server.send(path)).body.message;
  assert.equal(await message(`${PODS}/none/log`), 'pods "none" not found');
  assert.equal(
    await message(`${PODS}/two/log`),
    'a container name must be specified for pod two, choose one of: [a b]',
  );
  assert.equal(await message(`${PODS}/two/log?container=x`), 'container x is not valid for pod two');
  assert.equal(await message(`${PODS}/nowhere/log`), 'pod nowhere does not have a host assigned');
  assert.equal(seen.length, count);
});

test('a kubelet that cannot be reached is named', async () => {
  // A port that nobody listens on any more.
  const closed = createTcpServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await addNode('dead', port);
  await addPod('lost', 'dead');
  const answer = await server.send(`${PODS}/lost/log`);
  assert.equal(answer.code, 500);
  assert.match(
    answer.body.message,
    new RegExp(`error dialing backend: https://127\\.0\\.0\\.1:${port}: .*ECONNREFUSED`),
  );
});

function upgrade(path: string, headers: Record<string, string> = {}) {
  const { ca, cert, key } = server.agent.options;
  const sending = request(server.url + path, {
    method: 'POST',
    agent: false,
    ca,
    cert,
    key,
    headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1', ...headers },
  });
  sending.end();
  return sending;
}

test('exec joins the client’s connection with the kubelet’s, until one of them ends it', async () => {
  const sending = upgrade(
    `${PODS}/p/exec?command=sh&command=-c&stdin=true&stdout=true&tty=false&container=c`,
  );
  const [, socket, head] = (await once(sending, 'upgrade')) as [IncomingMessage, Duplex, Buffer];
  assert.equal(seen.at(-1)?.url, '/exec/default/p/c?command=sh&command=-c&input=1&output=1&tty=false');
  let text = head.toString();
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.write('there');
  while (!text.includes('THERE')) await once(socket, 'data');
  assert.equal(text, 'hello THERE');
  const ended = once(socket, 'close');
  socket.end();
  await ended;
});

test('who may not is told in the kubelet’s words or the server’s', async () => {
  const sending = upgrade(`${PODS}/p/exec?command=sh`, { 'x-refuse': 'yes' });
  const [answer] = (await once(sending, 'response')) as [IncomingMessage];
  assert.equal(answer.statusCode, 403);
  answer.resume();
  const unknown = upgrade(`${PODS}/none/exec?command=sh`);
  const [missing] = (await once(unknown, 'response')) as [IncomingMessage];
  assert.equal(missing.statusCode, 404);
  missing.resume();
});

test('a connection that has become an exec ends with the server', async () => {
  const sending = upgrade(`${PODS}/p/exec?command=sh&stdin=true`);
  const [, socket] = (await once(sending, 'upgrade')) as [IncomingMessage, Duplex];
  socket.on('error', () => {});
  const ended = once(socket, 'close');
  await server.restart();
  socket.resume();
  await ended;
});
