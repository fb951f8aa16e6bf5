/** How the command line talks to the agent of this node. */
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { AddressMap } from '@enid/agent';
import { CNI_SOCKET, controlSocket } from '@enid/agent/socket-paths';

const TIMEOUT = 10_000;

type Target = { readonly host: string; readonly port: string } | { readonly socketPath: string };

/**
 * The address map, from the introspection port; from the control socket where that is not served.
 * @throws naming what to do when no agent answers.
 */
export async function addressMap(env: NodeJS.ProcessEnv = process.env): Promise<AddressMap> {
  const at = env.INTROSPECTION_BIND_ADDRESS?.trim() || '127.0.0.1:61679';
  const [, host = '127.0.0.1', port = '61679'] = /^\[?([^\]]+?)\]?:(\d+)$/.exec(at) ?? [];
  try {
    return (await call({ host, port }, 'GET', '/v1/ips')) as AddressMap;
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
  try {
    return (await call({ socketPath: socketOf(env) }, 'GET', '/v1/ips')) as AddressMap;
  } catch (error) {
    if (!isAbsent(error)) throw error;
    throw new Error(
      `no agent answers at ${at} or on ${socketOf(env)}: run this on a node, or name one of a cluster by --node (with KUBECONFIG)`,
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
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES') throw new Error(`${socketPath} is for root alone: use sudo`);
    if (isAbsent(error))
      throw new Error(
        `no agent listens on ${socketPath}: run this on the node (in its aws-node pod), or set ENID_CONTROL_SOCKET`,
      );
    throw error;
  }
}

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
