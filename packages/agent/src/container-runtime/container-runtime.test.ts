import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { loadProto } from '../grpc/grpc.ts';
import { listSandboxes } from './container-runtime.ts';

/** A runtime that lists these sandboxes. */
async function serveRuntime(t: TestContext, items: object[]): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'cri-'));
  const socket = join(directory, 'runtime.sock');
  const service = (await loadProto(import.meta.dirname, 'cri.proto'))['runtime.v1.RuntimeService']!;
  const server = new Server();
  server.addService(service, {
    ListPodSandbox: (_: unknown, answer: (error: null, reply: object) => void) => answer(null, { items }),
  });
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    ),
  );
  t.after(() => {
    server.forceShutdown();
    rmSync(directory, { recursive: true });
  });
  return socket;
}

test('the runtime is asked over its socket; without one nobody is asked, and silence is no answer', async (t) => {
  const metadata = { namespace: 'default', name: 'web' };
  const socket = await serveRuntime(t, [
    { id: 'a', metadata, state: 'SANDBOX_READY' },
    { id: 'b', metadata, state: 'SANDBOX_NOTREADY' },
    { id: 'c' },
  ]);
  assert.deepEqual(await listSandboxes(socket), [
    { id: 'a', ...metadata, running: true },
    { id: 'b', ...metadata, running: false },
    { id: 'c', namespace: '', name: '', running: true },
  ]);
  assert.equal(await listSandboxes(`${socket}.none`), undefined);
  writeFileSync(`${socket}.dead`, '');
  await assert.rejects(listSandboxes(`${socket}.dead`), /runtime at .*dead does not list its sandboxes/);
});
