/** Clients of load balancers that speak HTTP, and what they ask. */
import { spawn } from 'node:child_process';
import type { RequestListener } from 'node:http';
import type { NetNamespace } from '@enid/linux';
import { collect } from '../base/output.ts';
import { INTERNET_CLIENT } from '../internet/server.ts';

/** Tells of a request what its server sees: `{"server", "client", "method", "url", "headers"}`. */
export const tellRequest: RequestListener = ({ socket, method, url, headers }, response) => {
  const { localAddress: server, remoteAddress: client } = socket;
  response.end(JSON.stringify({ server, client, method, url, headers }));
};

export type Response = {
  /** 0 when there was none. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly cookies: readonly string[];
  readonly body: string;
};

/** Asks with curl(1), from the internet. */
export async function curl(internet: NetNamespace, url: string, ...options: string[]): Promise<Response> {
  const args = ['-sS', '--max-time', '10', '--interface', INTERNET_CLIENT, '-D', '-', ...options, url];
  const { stdout } = await collect(internet.run(() => spawn('curl', args, { stdio: 'pipe' })));
  const [head = '', ...rest] = stdout.split('\r\n\r\n');
  const [first = '', ...lines] = head.split('\r\n');
  const fields = lines.map((line) => line.split(/: ?(.*)/s) as [string, string]);
  return {
    status: Number(first.split(' ')[1] ?? 0),
    headers: Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value])),
    cookies: fields.filter(([name]) => name.toLowerCase() === 'set-cookie').map(([, value]) => value),
    body: rest.join('\r\n\r\n'),
  };
}
