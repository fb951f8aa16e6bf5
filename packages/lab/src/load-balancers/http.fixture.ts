/** Clients of load balancers that speak HTTP, and what they ask. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http, { type RequestListener } from 'node:http';
import { type Ipv4, parseIp } from '@enid/ip';
import { connectTcp, type NetNamespace } from '@enid/linux';
import { collect } from '../base/output.ts';
import { INTERNET_CLIENT } from '../internet/server.ts';

/** Tells of a request what its server sees: `{"server", "client", "method", "url", "headers"}`. */
export const tellRequest: RequestListener = ({ socket, method, url, headers }, response) => {
  const { localAddress: server, remoteAddress: client } = socket;
  response.end(JSON.stringify({ server, client, method, url, headers }));
};

/** The same, but for what is asked to be otherwise. */
export const misbehaving: RequestListener = (request, response) => {
  switch (request.url) {
    case '/reset':
      return request.socket.destroy();
    case '/malformed':
      return request.socket.end('what?\r\n\r\n');
    case '/silent':
      return;
    case '/web/503':
      return response.writeHead(503).end('own');
    case '/web/session':
      return response.setHeader('set-cookie', 'session=1; Path=/').end(request.socket.localAddress);
    default:
      return tellRequest(request, response);
  }
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

/** Connections from the internet, which may be used again. */
export class InternetAgent extends http.Agent {
  readonly #internet: NetNamespace;

  constructor(internet: NetNamespace, keepAlive: boolean) {
    super({ keepAlive });
    this.#internet = internet;
  }

  override createConnection({ host, port }: { host: string; port: number }) {
    return connectTcp(this.#internet, parseIp(host), port, { localAddress: INTERNET_CLIENT as Ipv4 });
  }
}

/** Asks as a program does, with the connections of an agent. @throws when there is no whole answer. */
export async function get(
  agent: http.Agent,
  host: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<Pick<Response, 'status' | 'body'>> {
  const request = http.get({ agent, host, port: 80, path, headers });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) body += chunk;
  return { status: response.statusCode!, body };
}
