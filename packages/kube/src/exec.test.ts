/** exec against a WebSocket server that speaks the API server's protocol. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type WebSocket, WebSocketServer } from 'ws';
import { exec } from './exec.ts';

const target = {
  namespace: 'kube-system',
  pod: 'aws-node-x',
  container: 'aws-node',
  command: ['enid', 'ips'],
};

async function serve(t: TestContext, answer: (socket: WebSocket, url: URL) => void) {
  const server = createServer((_, response) =>
    response.writeHead(403).end('{"kind":"Status","message":"pods/exec is forbidden","reason":"Forbidden"}'),
  );
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (wanted) => [...wanted][0] ?? false,
  });
  server.on('upgrade', (request, socket, head) => {
    if (request.headers.authorization !== 'Bearer t')
      return void server.emit('request', request, refuse(socket));
    sockets.handleUpgrade(request, socket, head, (ws) => answer(ws, new URL(request.url!, 'http://host')));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const each of sockets.clients) each.terminate();
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Answers an upgrade with a refusal. */
function refuse(socket: { end(text: string): void }) {
  const body = '{"kind":"Status","message":"pods/exec is forbidden","reason":"Forbidden"}';
  const end = () =>
    socket.end(
      `HTTP/1.1 403 Forbidden\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
  return { writeHead: () => ({ end }) };
}

const message = (channel: number, text: string) => Buffer.concat([Buffer.from([channel]), Buffer.from(text)]);

test('a command is run, and what it wrote is told apart, also when it is long', async (t) => {
  const long = 'x'.repeat(200_000);
  const server = await serve(t, (ws, url) => {
    assert.equal(ws.protocol, 'v4.channel.k8s.io');
    assert.equal(url.pathname, '/api/v1/namespaces/kube-system/pods/aws-node-x/exec');
    assert.deepEqual(url.searchParams.getAll('command'), ['enid', 'ips']);
    ws.send(message(1, ''));
    ws.ping('are you there');
    ws.once('pong', (payload) => {
      ws.send(message(2, String(payload)));
      ws.send(message(1, 'a'));
      ws.send(message(1, long));
      ws.send(message(3, '{"status":"Success"}'));
      ws.close();
    });
  });
  const result = await exec({ server, token: () => 't' }, target);
  assert.deepEqual(result, { stdout: `a${long}`, stderr: 'are you there', exitCode: 0 });
});

test('a command that fails has its exit code; a broken connection and a refusal are errors', async (t) => {
  const failed = { status: 'Failure', details: { causes: [{ reason: 'ExitCode', message: '3' }] } };
  const server = await serve(t, (ws, url) => {
    if (url.searchParams.getAll('command').includes('break')) return ws.terminate();
    ws.send(message(3, JSON.stringify(failed)));
    ws.close();
  });
  const access = { server, token: () => 't' };
  assert.equal((await exec(access, target)).exitCode, 3);
  await assert.rejects(exec(access, { ...target, command: ['break'] }), /broke|ECONNRESET|aborted/);
  await assert.rejects(exec({ server }, target), /pods\/exec is forbidden/);
});
