/** What is asked of the kubelet's server, from paths and queries. */
import type { ExecOptions } from '../cri/types.ts';
import type { LogQuery } from './logs.ts';

/** An answer other than what was asked for. */
export class HttpError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export type PodAddress = {
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string | undefined;
  readonly container: string | undefined;
};

/** `{ns}/{pod}[/{uid}]/{container}`, or without a container for port-forward. */
export function podAddressOf(verb: string, parts: readonly string[]): PodAddress {
  const [namespace, pod, ...rest] = parts.map(decodeURIComponent);
  if (!namespace || !pod) throw new HttpError(404, `/${verb} wants a namespace and a pod`);
  if (verb === 'portForward') return { namespace, pod, uid: rest[0], container: undefined };
  const container = rest.at(-1);
  if (!container) throw new HttpError(404, `/${verb} wants a namespace, a pod and a container`);
  return { namespace, pod, uid: rest.length > 1 ? rest[0] : undefined, container };
}

/** The kubelet's own names of the streams, and the API server's. */
export function execOptionsOf(query: URLSearchParams): ExecOptions {
  const on = (...names: string[]) => names.some((name) => ['1', 'true'].includes(query.get(name) ?? ''));
  const tty = on('tty');
  const options = {
    tty,
    stdin: on('input', 'stdin'),
    stdout: on('output', 'stdout'),
    // A terminal has one output.
    stderr: on('error', 'stderr') && !tty,
  };
  if (!options.stdin && !options.stdout && !options.stderr)
    throw new HttpError(400, 'you must specify at least 1 of stdin, stdout, stderr');
  return options;
}

/** The ports that a websocket is for. SPDY names them later, in its streams. */
export function portsOf(query: URLSearchParams): number[] {
  const ports = [...query.getAll('port'), ...query.getAll('ports')].flatMap((list) => list.split(','));
  return ports.map((text) => {
    const port = Number(text);
    if (!Number.isInteger(port) || port < 1 || port > 65535)
      throw new HttpError(400, `"${text}" is no port: it is a number from 1 to 65535`);
    return port;
  });
}

export function logQueryOf(query: URLSearchParams, now: number): LogQuery & { readonly previous: boolean } {
  const on = (name: string) => ['1', 'true'].includes(query.get(name) ?? '');
  const number = (name: string, least: number) => {
    const text = query.get(name);
    if (text === null || text === '') return undefined;
    const value = Number(text);
    if (!Number.isInteger(value) || value < least)
      throw new HttpError(422, `${name} is to be a whole number of at least ${least}, not "${text}"`);
    return value;
  };
  const tailLines = number('tailLines', 0);
  const limitBytes = number('limitBytes', 1);
  const seconds = number('sinceSeconds', 1);
  const time = query.get('sinceTime');
  const since = time ? Date.parse(time) : seconds !== undefined ? now - seconds * 1000 : undefined;
  if (Number.isNaN(since))
    throw new HttpError(422, `sinceTime is to be a time as of RFC 3339, not "${time}"`);
  return {
    follow: on('follow'),
    timestamps: on('timestamps'),
    previous: on('previous'),
    ...(tailLines !== undefined && { tailLines }),
    ...(limitBytes !== undefined && { limitBytes }),
    ...(since !== undefined && { since }),
  };
}
