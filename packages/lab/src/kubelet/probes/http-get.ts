import http from 'node:http';
import https from 'node:https';
import { isIPv6 } from 'node:net';
import { type Container, type HttpGet, portOf } from '../pod.ts';

const BODY = 10 * 1024;

/**
 * Asks a container's server from the node.
 * @param timeout in milliseconds.
 * @returns the status and the beginning of the body.
 * @throws when there is no answer, with why.
 */
export function httpGet(
  action: HttpGet,
  container: Container,
  podIP: string,
  timeout: number,
): Promise<{ status: number; body: string }> {
  const secure = action.scheme?.toUpperCase() === 'HTTPS';
  const host = action.host || podIP;
  const literal = isIPv6(host) ? `[${host}]` : host;
  const path = action.path?.startsWith('/') ? action.path : `/${action.path ?? ''}`;
  const url = new URL(`${secure ? 'https' : 'http'}://${literal}:${portOf(container, action.port)}${path}`);
  const given = (action.httpHeaders ?? []).map(({ name, value }) => [name.toLowerCase(), value] as const);
  const headers = {
    'user-agent': 'kube-probe/1.33',
    accept: '*/*',
    connection: 'close',
    ...Object.fromEntries(given),
  };
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`Get "${url}": ${why}`));
    const signal = AbortSignal.timeout(timeout);
    // A probe trusts whatever certificate the container has made for itself.
    const options = { headers, signal, agent: false as const, ...(secure && { rejectUnauthorized: false }) };
    const request = (secure ? https : http).request(url, options, async (response) => {
      let body = '';
      try {
        for await (const chunk of response) {
          body += chunk;
          if (body.length >= BODY) break;
        }
        resolve({ status: response.statusCode!, body });
      } catch (error) {
        fail(reasonOf(error, signal, host));
      }
    });
    request.on('error', (error) => fail(reasonOf(error, signal, host)));
    request.end();
  });
}

/** As Go's dialer says it, which users know. */
export function reasonOf(error: unknown, signal: AbortSignal, host: string): string {
  if (signal.aborted) return 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)';
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED') return `dial tcp ${host}: connect: connection refused`;
  if (code === 'EHOSTUNREACH') return `dial tcp ${host}: connect: no route to host`;
  return message;
}
