import { lstat } from 'node:fs/promises';
import type { ServiceError } from '@grpc/grpc-js';
import { loadGrpc, loadProto } from '../grpc.ts';

const DEFAULT_SOCKET = '/run/containerd/containerd.sock';
const TIMEOUT = 10_000;

type Answer = (error: ServiceError | null, answer: { items: { id: string }[] }) => void;
type RuntimeService = {
  ListPodSandbox(request: object, options: { deadline: number }, done: Answer): void;
  close(): void;
};

/** Where the container runtime listens: CONTAINER_RUNTIME_ENDPOINT, or containerd's own socket. */
export function runtimeSocket(env: NodeJS.ProcessEnv): string {
  return env.CONTAINER_RUNTIME_ENDPOINT?.replace(/^unix:(\/\/)?/, '') || DEFAULT_SOCKET;
}

/**
 * The ids of the sandboxes that the container runtime has, whatever their state.
 * @returns undefined when no runtime is there to be asked.
 * @throws when the runtime does not answer.
 */
export async function runtimeSandboxes(socket: string): Promise<ReadonlySet<string> | undefined> {
  const there = await lstat(socket).catch(() => undefined);
  if (!there) return undefined;
  const { credentials, makeClientConstructor } = await loadGrpc();
  const service = (await loadProto(import.meta.dirname, 'cri.proto'))['runtime.v1.RuntimeService']!;
  const Runtime = makeClientConstructor(service, 'RuntimeService');
  const client = new Runtime(`unix:${socket}`, credentials.createInsecure()) as unknown as RuntimeService;
  try {
    const items = await new Promise<{ id: string }[]>((resolve, reject) => {
      client.ListPodSandbox({}, { deadline: Date.now() + TIMEOUT }, (error, answer) =>
        error
          ? reject(
              new Error(`the container runtime at ${socket} does not list its sandboxes: ${error.details}`),
            )
          : resolve(answer.items),
      );
    });
    return new Set(items.map(({ id }) => id));
  } finally {
    client.close();
  }
}
