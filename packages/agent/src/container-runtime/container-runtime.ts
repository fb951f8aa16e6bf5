/** The node's container runtime, by the part of the Container Runtime Interface that tells which sandboxes there are. */
import { lstat } from 'node:fs/promises';
import type { ServiceError } from '@grpc/grpc-js';
import { loadGrpc, loadProto } from '../grpc/grpc.ts';

/** How long the runtime is waited for, in milliseconds. */
const TIMEOUT = 10_000;

type PodSandbox = {
  readonly id: string;
  readonly metadata: { readonly name: string; readonly namespace: string } | null;
  readonly state: 'SANDBOX_READY' | 'SANDBOX_NOTREADY';
};
type Answer = (error: ServiceError | null, answer: { readonly items: readonly PodSandbox[] }) => void;
type RuntimeService = {
  ListPodSandbox(request: object, options: { deadline: number }, done: Answer): void;
  close(): void;
};

/** A sandbox as the runtime has it, of a pod of that name. One that is not running may still have its network. */
export type Sandbox = {
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly running: boolean;
};

/**
 * The sandboxes that the container runtime has.
 * @param socket where it listens.
 * @returns undefined when no runtime is there to be asked.
 * @throws when the runtime does not answer.
 */
export async function listSandboxes(socket: string): Promise<readonly Sandbox[] | undefined> {
  const there = await lstat(socket).catch(() => undefined);
  if (!there) return undefined;
  const { credentials, makeClientConstructor } = await loadGrpc();
  const service = (await loadProto(import.meta.dirname, 'cri.proto'))['runtime.v1.RuntimeService']!;
  const Runtime = makeClientConstructor(service, 'RuntimeService');
  const client = new Runtime(`unix:${socket}`, credentials.createInsecure()) as unknown as RuntimeService;
  try {
    const { promise, resolve, reject } = Promise.withResolvers<readonly PodSandbox[]>();
    client.ListPodSandbox({}, { deadline: Date.now() + TIMEOUT }, (error, answer) =>
      error
        ? reject(
            new Error(`the container runtime at ${socket} does not list its sandboxes: ${error.details}`),
          )
        : resolve(answer.items),
    );
    return (await promise).map(({ id, metadata, state }) => ({
      id,
      namespace: metadata?.namespace ?? '',
      name: metadata?.name ?? '',
      running: state === 'SANDBOX_READY',
    }));
  } finally {
    client.close();
  }
}
