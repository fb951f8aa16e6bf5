/** What runs of a pod, as the runtime knows it. The kubelet keeps no book of its own. */
import { open } from 'node:fs/promises';
import { type CriClient, RuntimeError } from '../cri/client.ts';
import type * as cri from '../cri/types.ts';
import { lastLines } from '../server/log-format.ts';
import { CONTAINER_NAME, IMAGE, MESSAGE_PATH, MESSAGE_POLICY, POD_UID } from './labels.ts';

export type RuntimeContainer = {
  readonly id: string;
  readonly name: string;
  /** How many times it ran before. */
  readonly attempt: number;
  readonly sandboxId: string;
  readonly state: 'created' | 'running' | 'exited' | 'unknown';
  /** Milliseconds since 1970; undefined when it has not begun, or not ended. */
  readonly startedAt: number | undefined;
  readonly finishedAt: number | undefined;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  /** As the pod named it. */
  readonly image: string;
  readonly imageRef: string;
  readonly logPath: string;
};

export type RuntimeSandbox = {
  readonly id: string;
  readonly attempt: number;
  readonly ready: boolean;
  /** None in the node's network. */
  readonly ips: readonly string[];
};

export type RuntimePod = {
  /** Newest first. */
  readonly sandboxes: readonly RuntimeSandbox[];
  /** Newest first, of all sandboxes. */
  readonly containers: readonly RuntimeContainer[];
};

const MESSAGE_SIZE = 4096;
const LOG_MESSAGE_SIZE = 2048;
const LOG_MESSAGE_LINES = 80;
const STATES = {
  CONTAINER_CREATED: 'created',
  CONTAINER_RUNNING: 'running',
  CONTAINER_EXITED: 'exited',
  CONTAINER_UNKNOWN: 'unknown',
} as const;

/** The containers of that name, newest first. */
export function runsOf(pod: RuntimePod, name: string): RuntimeContainer[] {
  return pod.containers.filter((container) => container.name === name);
}

/** The sandbox that the pod's containers are to be in. */
export function currentSandbox({ sandboxes }: RuntimePod): RuntimeSandbox | undefined {
  return sandboxes[0];
}

/** Asks the runtime for all that there is of a pod. */
export async function readRuntimePod(client: CriClient, uid: string): Promise<RuntimePod> {
  const [sandboxes, containers] = await Promise.all([
    client.listPodSandbox({ [POD_UID]: uid }),
    client.listContainers({ [POD_UID]: uid }),
  ]);
  const [readSandboxes, readContainers] = await Promise.all([
    Promise.all(newestFirst(sandboxes).map(({ id }) => readSandbox(client, id))),
    Promise.all(newestFirst(containers).map((container) => readContainer(client, container))),
  ]);
  return { sandboxes: readSandboxes.filter(isThere), containers: readContainers.filter(isThere) };
}

async function readSandbox(client: CriClient, id: string): Promise<RuntimeSandbox | undefined> {
  const status = await unlessGone(client.podSandboxStatus(id));
  if (!status) return undefined;
  const { network } = status;
  const ips = [network?.ip ?? '', ...(network?.additionalIps ?? []).map(({ ip }) => ip)].filter(Boolean);
  return { id, attempt: status.metadata.attempt, ready: status.state === 'SANDBOX_READY', ips };
}

async function readContainer(
  client: CriClient,
  { id, podSandboxId }: cri.Container,
): Promise<RuntimeContainer | undefined> {
  const status = await unlessGone(client.containerStatus(id));
  if (!status) return undefined;
  return {
    id,
    name: status.labels[CONTAINER_NAME] ?? status.metadata.name,
    attempt: status.metadata.attempt,
    sandboxId: podSandboxId,
    state: STATES[status.state],
    startedAt: milliseconds(status.startedAt),
    finishedAt: milliseconds(status.finishedAt),
    exitCode: status.exitCode,
    reason: status.reason,
    message: (status.state === 'CONTAINER_EXITED' && (await lastWords(status))) || status.message,
    image: status.annotations[IMAGE] ?? '',
    imageRef: status.imageRef,
    logPath: status.logPath,
  };
}

/** What an ended container left as its termination message. */
async function lastWords({ annotations, mounts, exitCode, logPath }: cri.ContainerStatus): Promise<string> {
  const mount = mounts.find(({ containerPath }) => containerPath === annotations[MESSAGE_PATH]);
  const message = mount ? await beginning(mount.hostPath, MESSAGE_SIZE) : '';
  if (message || exitCode === 0 || annotations[MESSAGE_POLICY] !== 'FallbackToLogsOnError') return message;
  return (await lastLines(logPath, LOG_MESSAGE_LINES)).slice(-LOG_MESSAGE_SIZE);
}

async function beginning(path: string, size: number): Promise<string> {
  try {
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } catch {
    return ''; // It is told nothing rather than not told that the container has ended.
  }
}

async function unlessGone<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof RuntimeError && error.notFound) return undefined;
    throw error;
  }
}

function newestFirst<T extends { readonly createdAt: number }>(items: readonly T[]): T[] {
  return items.toSorted((a, b) => b.createdAt - a.createdAt);
}

function milliseconds(nanoseconds: number): number | undefined {
  return nanoseconds > 0 ? Math.floor(nanoseconds / 1e6) : undefined;
}

function isThere<T>(value: T | undefined): value is T {
  return value !== undefined;
}
