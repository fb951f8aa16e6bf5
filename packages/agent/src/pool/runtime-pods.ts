import { lstat } from 'node:fs/promises';
import type { ServiceError } from '@grpc/grpc-js';
import { loadGrpc, loadProto } from '../cni/grpc.ts';
import type { RuntimePod } from './adoption.ts';

const TIMEOUT = 10_000;

type Sandbox = {
  readonly id: string;
  readonly metadata: { readonly name: string; readonly namespace: string } | null;
  readonly state: string;
};
type Answer = (error: ServiceError | null, answer: { readonly items: readonly Sandbox[] }) => void;
type RuntimeService = {
  ListPodSandbox(request: object, options: { deadline: number }, done: Answer): void;
  close(): void;
};

/**
 * The pods that the container runtime runs.
 * @param socket where it listens.
 * @returns none when there is no runtime.
 * @throws when it does not answer.
 */
export async function runtimePods(socket: string): Promise<RuntimePod[]> {
  if (!(await lstat(socket).catch(() => undefined))) return [];
  const { credentials, makeClientConstructor } = await loadGrpc();
  const service = (await loadProto(import.meta.dirname, 'runtime-pods.proto'))['runtime.v1.RuntimeService']!;
  const Runtime = makeClientConstructor(service, 'RuntimeService');
  const client = new Runtime(`unix:${socket}`, credentials.createInsecure()) as unknown as RuntimeService;
  try {
    const { promise, resolve, reject } = Promise.withResolvers<readonly Sandbox[]>();
    client.ListPodSandbox({}, { deadline: Date.now() + TIMEOUT }, (error, answer) =>
      error
        ? reject(new Error(`the container runtime at ${socket} does not list its pods: ${error.details}`))
        : resolve(answer.items),
    );
    return (await promise)
      .filter(({ state }) => state === 'SANDBOX_READY')
      .flatMap(({ id, metadata }) => (metadata ? [{ id, ...metadata }] : []))
      .map(({ id, name, namespace }) => ({ id, name, namespace }));
  } finally {
    client.close();
  }
}
