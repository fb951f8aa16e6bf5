/** How the command line talks to the agent of this node. */
import { existsSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { AddressMap } from '@enid/agent';
import { bindAddress, CNI_SOCKET, controlSocket, INTROSPECTION } from '@enid/agent/socket-paths';

const TIMEOUT = 10_000;

type Target = { readonly host: string; readonly port: number } | { readonly socketPath: string };

/**
 * The address map, from the introspection port; from the control socket where that is not served.
 * @throws naming what to do when no agent answers.
 */
export async function addressMap(env: NodeJS.ProcessEnv = process.env): Promise<AddressMap> {
  const at = bindAddress(env.INTROSPECTION_BIND_ADDRESS?.trim() ?? '') ?? INTROSPECTION;
  try {
    return (await call('path' in at ? { socketPath: at.path } : at, 'GET', '/v1/ips')) as AddressMap;
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
  try {
    return (await call({ socketPath: socketOf(env) }, 'GET', '/v1/ips')) as AddressMap;
  } catch (error) {
    if (!isAbsent(error)) throw error;
    const where = 'path' in at ? `on ${at.path}` : `at ${at.host}:${at.port}`;
    throw new Error(
      `no agent answers ${where} or on ${socketOf(env)}: run this on a node, or name one of a cluster by --node (with KUBECONFIG)`,
    );
  }
}

/**
 * Has the agent of this node do something by hand.
 * @throws what the agent says, when it refuses.
 */
export async function command(
  path: string,
  body: object,
  env = process.env,
): Promise<Record<string, unknown>> {
  const socketPath = socketOf(env);
  try {
    return (await call({ socketPath }, 'POST', path, body)) as Record<string, unknown>;
  } catch (error) {
    throw explained(error, socketPath);
  }
}

function explained(error: unknown, socketPath: string): unknown {
  if ((error as NodeJS.ErrnoException).code === 'EACCES')
    return new Error(`${socketPath} is for root alone: use sudo`);
  if (!isAbsent(error)) return error;
  return new Error(
    `no agent listens on ${socketPath}: run this on the node (in its aws-node pod), or set ENID_CONTROL_SOCKET`,
  );
}

/**
 * What the agent of this node goes on telling, until the signal.
 * @param chunk is given it as it comes.
 * @throws as {@link command} does.
 */
export async function follow(
  path: string,
  chunk: (bytes: Buffer) => void,
  signal: AbortSignal,
  env = process.env,
): Promise<void> {
  const socketPath = socketOf(env);
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ socketPath, path, signal }, resolve).once('error', reject).end();
    });
    if (response.statusCode !== 200) {
      const answer = parse(await text(response)) as { error?: string } | undefined;
      throw new Error(answer?.error ?? `the agent answers with ${response.statusCode}`);
    }
    for await (const bytes of response) chunk(bytes);
    if (!signal.aborted) throw new Error('the agent has ended');
  } catch (error) {
    if (signal.aborted) return;
    throw explained(error, socketPath);
  }
}

/** Whether an agent of this machine has a control socket here. */
export const isHere = (env = process.env): boolean => existsSync(socketOf(env));

const socketOf = (env: NodeJS.ProcessEnv): string =>
  controlSocket(env, env.ENID_CNI_SOCKET?.trim() || CNI_SOCKET);

const isAbsent = (error: unknown): boolean =>
  ['ECONNREFUSED', 'ENOENT', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '');

async function call(target: Target, method: string, path: string, body?: object): Promise<unknown> {
  const content = body && JSON.stringify(body);
  const { status, answer } = await new Promise<{ status: number; answer: string }>((resolve, reject) => {
    const outgoing = request({ ...target, method, path, timeout: TIMEOUT }, (response) => {
      text(response).then((answer) => resolve({ status: response.statusCode!, answer }), reject);
    });
    outgoing.once('timeout', () =>
      outgoing.destroy(new Error('the agent does not answer within 10 s: see its log')),
    );
    outgoing.once('error', reject);
    outgoing.end(content);
  });
  if (status === 404 && method === 'GET')
    throw new Error('the agent there does not serve the address map: it is older, or another one');
  const parsed: unknown = parse(answer);
  if (status < 300) return parsed;
  throw new Error(
    (parsed as { error?: string } | undefined)?.error ?? `the agent answers with ${status}: ${answer}`,
  );
}

function parse(answer: string): unknown {
  try {
    return JSON.parse(answer);
  } catch {
    return undefined;
  }
}
