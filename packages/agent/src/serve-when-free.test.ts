import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { systemClock } from './clock.ts';
import { json, serveHttp } from './http.ts';
import { serveWhenFree } from './serve-when-free.ts';

test('a port that somebody has is served as soon as it is free, and free again in the end', async (t) => {
  const predecessor = createServer().listen(0, '127.0.0.1');
  await once(predecessor, 'listening');
  t.after(() => predecessor.close());
  const { port } = predecessor.address() as AddressInfo;
  const told: (string | undefined)[] = [];
  const { promise: freed, resolve: free } = Promise.withResolvers<void>();
  const { promise: served, resolve: serves } = Promise.withResolvers<void>();
  const clock = { ...systemClock, sleep: () => freed };
  const serve = () => serveHttp({ host: '127.0.0.1', port }, { '/': () => json('here') });
  const service = await serveWhenFree(
    serve,
    (error) => {
      told.push((error as NodeJS.ErrnoException | undefined)?.code);
      if (!error) serves();
    },
    clock,
  );
  assert.deepEqual(told, ['EADDRINUSE']);
  predecessor.close(() => free());
  await served;
  assert.deepEqual(told, ['EADDRINUSE', undefined]);
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).json(), 'here');
  await service[Symbol.asyncDispose]();
  await (await serve())[Symbol.asyncDispose]();
});

test('who ends it while it waits does not wait', async () => {
  let attempts = 0;
  const service = await serveWhenFree(
    async () => {
      attempts++;
      throw new Error('never');
    },
    () => {},
  );
  await service[Symbol.asyncDispose]();
  assert.equal(attempts, 1);
});

test('what is wrong is told once, and what is wrong otherwise then', async () => {
  const causes = ['taken', 'taken', 'taken', 'not allowed', 'taken'];
  const told: (string | undefined)[] = [];
  const { promise: served, resolve: serves } = Promise.withResolvers<void>();
  const service = await serveWhenFree(
    async () => {
      const cause = causes.shift();
      if (cause) throw new Error(cause);
      return { async [Symbol.asyncDispose]() {} };
    },
    (error) => {
      told.push(error?.message);
      if (!error) serves();
    },
    { ...systemClock, sleep: async () => {} },
  );
  await served;
  assert.deepEqual(told, ['taken', 'not allowed', 'taken', undefined]);
  await service[Symbol.asyncDispose]();
});
