/** `enid ips` as it is called, against an agent's port and its control socket. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo, ListenOptions } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));

const MAP = {
  ...{ node: 'node-1', instanceType: 't3.medium', mode: 'prefix', at: '2026-01-01T12:00:00.000Z' },
  limits: { enis: 3, slotsPerEni: 5 },
  counts: { total: 3, assigned: 1, warm: 1, cooling: 1, cordoned: 0, draining: 0 },
  ...{ attaching: 2, cordoned: [], cutOff: [] },
  enis: [
    {
      ...{ id: 'eni-1', device: 0, networkCard: 0, state: 'in use', primary: true, primaryIp: '10.0.0.4' },
      ...{ room: 4, beingAssigned: 1, subnet: { id: 'subnet-a', cidr: '10.0.0.0/24', free: 17 } },
      slots: [
        {
          ...{ kind: 'prefix', cidr: '10.0.0.16/28' },
          addresses: [
            { address: '10.0.0.16', state: 'assigned', namespace: 'shop', pod: 'web', containerId: 'c1' },
            { address: '10.0.0.17', state: 'cooling', until: '2026-01-01T12:00:07.000Z' },
            { address: '10.0.0.18', state: 'warm' },
          ],
        },
      ],
    },
    {
      ...{ id: 'eni-2', device: 2, networkCard: 0, state: 'foreign', primary: false, primaryIp: '10.0.0.5' },
      ...{ room: 0, beingAssigned: 0 },
      slots: [
        { kind: 'address', address: '10.0.0.6', state: 'foreign' },
        {
          ...{ kind: 'prefix', cidr: '10.0.0.32/28' },
          addresses: [32, 33].map((host) => ({ address: `10.0.0.${host}`, state: 'foreign' })),
        },
      ],
    },
    {
      ...{ id: 'eni-3', device: 3, networkCard: 0, state: 'not in use', primary: false },
      ...{ room: 0, beingAssigned: 0 },
      slots: [{ kind: 'address', address: '10.0.0.7', state: 'not in use' }],
    },
  ],
};

async function serve(t: TestContext, at: ListenOptions, answer: (path: string, body: string) => object) {
  const server = createServer(async (request, response) => {
    const { status = 200, ...body } = answer(request.url!, await text(request)) as { status?: number };
    response.writeHead(status).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(at, resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return server.address() as AddressInfo;
}

function enid(args: string[], env: NodeJS.ProcessEnv) {
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(
      process.execPath,
      [main, 'ips', ...args],
      { env: { PATH: process.env.PATH, ...env } },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

test('the map is a table, without colours where there is no terminal, or JSON', async (t) => {
  const { port } = await serve(t, { host: '127.0.0.1', port: 0 }, () => MAP);
  const env = { INTROSPECTION_BIND_ADDRESS: `127.0.0.1:${port}` };
  const [drawn, json, pod, nobody] = await Promise.all([
    enid([], env),
    enid(['--json'], env),
    enid(['--pod', 'shop/web'], env),
    enid(['--pod', 'shop/other'], env),
  ]);
  assert.equal(drawn.stdout.includes('\u001b'), false);
  for (const line of [
    /^node-1 \(t3.medium\): prefixes, 2 of 3 ENIs, 3 addresses: 1 assigned, 1 warm, 1 cooling$/m,
    /^eni-1 {2}device 0, subnet-a \(10.0.0.0\/24, 17 addresses free\), in use, room for 4 more$/m,
    /^10.0.0.4 +primary/m,
    /^10.0.0.16\/28 +prefix +1 of 3 warm$/m,
    /^10.0.0.16 +assigned +shop\/web +sandbox c1$/m,
    /^10.0.0.17 +cooling +until 12:00:07Z \(7 s\)$/m,
    /^ +being assigned +1 asked of EC2$/m,
    /^an ENI with 2 prefixes is being attached$/m,
    /^eni-2 {2}device 2, not in metadata, foreign$/m,
    /^10.0.0.5 +foreign +the ENI's own address$/m,
    /^10.0.0.6 +foreign$/m,
    /^10.0.0.32\/28 +prefix +2 of 2 foreign$/m,
    /^eni-3 {2}device 3, not in metadata, not in use$/m,
    /^10.0.0.7 +not in use$/m,
  ])
    assert.match(drawn.stdout, line);
  assert.deepEqual(JSON.parse(json.stdout), MAP);
  assert.match(pod.stdout, /10\.0\.0\.16 +assigned/);
  assert.doesNotMatch(pod.stdout, /10\.0\.0\.17/);
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /shop\/other holds no address there/);
});

test('the agent is asked on a unix socket where introspection is on one', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ips-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'introspection.sock');
  await serve(t, { path }, () => MAP);
  const env = { INTROSPECTION_BIND_ADDRESS: `unix:${path}` };
  assert.deepEqual(JSON.parse((await enid(['--json'], env)).stdout), MAP);
});

test('a map that is watched is drawn again when it changes, and Ctrl-C ends it cleanly', async (t) => {
  let assigned = 1;
  let asked = 0;
  const { port } = await serve(t, { host: '127.0.0.1', port: 0 }, () => {
    asked++;
    return { ...MAP, at: new Date().toISOString(), counts: { ...MAP.counts, assigned } };
  });
  const env = { PATH: process.env.PATH, INTROSPECTION_BIND_ADDRESS: `127.0.0.1:${port}` };
  const child = spawn(process.execPath, [main, 'ips', '--watch', '--json'], { env });
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  const seen: number[] = [];
  for await (const chunk of child.stdout.setEncoding('utf8')) {
    for (const line of String(chunk).trim().split('\n')) seen.push(JSON.parse(line).counts.assigned);
    if (seen.length === 1) {
      const before = asked;
      while (asked < before + 2) await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(seen.length, 1, 'drawn again although nothing changed');
      assigned = 2;
    } else child.kill('SIGINT');
  }
  assert.deepEqual(seen, [1, 2]);
  assert.equal(await ended, 0);
});

test('what is done by hand goes to the socket, and a refusal is an error', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ips-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'control.sock');
  const calls: unknown[] = [];
  await serve(t, { path }, (url, body) => {
    calls.push([url, JSON.parse(body)]);
    if (url === '/v1/cordon') return { block: '10.0.0.16/28', addresses: 16, held: 1 };
    if (JSON.parse(body).block === '10.0.0.16')
      return { status: 409, error: '10.0.0.16 is held by shop/web' };
    const released = {
      address: '10.0.0.17',
      namespace: 'shop',
      pod: 'web',
      containerId: 'c1',
      wasAlive: true,
    };
    return { released: [released], givenBack: ['10.0.0.32/28'], restsUntil: '2026-01-01T12:00:30.000Z' };
  });
  const env = { ENID_CONTROL_SOCKET: path };
  const cordoned = await enid(['cordon', '10.0.0.16/28'], env);
  assert.equal(
    cordoned.stdout,
    '10.0.0.16/28 is cordoned: 16 addresses of this node, of which pods hold 1 and keep them\n',
  );
  const refused = await enid(['release', '10.0.0.16'], env);
  assert.deepEqual([refused.code, refused.stderr], [1, 'enid: 10.0.0.16 is held by shop/web\n']);
  assert.deepEqual(calls, [
    ['/v1/cordon', { block: '10.0.0.16/28' }],
    ['/v1/release', { block: '10.0.0.16', force: false }],
  ]);
  const released = await enid(['release', '10.0.0.0/24', '--force'], env);
  assert.deepEqual(calls.at(-1), ['/v1/release', { block: '10.0.0.0/24', force: true }]);
  assert.match(released.stderr, /^enid: warning: shop\/web may still run, and has no network now/);
  assert.deepEqual(released.stdout.trim().split('\n'), [
    '10.0.0.17 is released: shop/web held it',
    '10.0.0.32/28 is given back to EC2',
    'what rests can go back to EC2 at 2026-01-01T12:00:30.000Z: release it again then',
  ]);
  const nobody = await enid(['uncordon', '10.0.0.16'], { ENID_CONTROL_SOCKET: join(folder, 'none.sock') });
  assert.match(nobody.stderr, /no agent listens on .*none.sock: run this on the node/);
});
