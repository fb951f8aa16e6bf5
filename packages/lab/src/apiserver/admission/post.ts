/** One review over HTTPS. */
import { request } from 'node:https';
import { isIP } from 'node:net';
import type { Endpoint } from './endpoint.ts';

/** Of an answer, in bytes: what the server takes of a client, and room for what is around it. */
const LONGEST = 4 * 1024 * 1024;

/**
 * Sends a review and reads the answer. Each time over a connection of its own: one that was kept may end at a pod that is gone.
 * @param seconds that it may take.
 * @throws Error in the words that Go's client has for it, where it has any.
 */
export async function post(
  { url, connect, authorities }: Endpoint,
  review: object,
  seconds: number,
): Promise<unknown> {
  try {
    const { code, text } = await send(new URL(url), connect(), authorities, JSON.stringify(review), seconds);
    if (code < 200 || code > 299)
      throw new Error(`the webhook answered with HTTP status ${code}: ${text.slice(0, 200).trim()}`);
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`failed to call webhook: Post "${url}": ${(error as Error).message}`);
  }
}

function send(
  url: URL,
  { host, port }: { host: string; port: number },
  authorities: string | undefined,
  body: string,
  seconds: number,
): Promise<{ code: number; text: string }> {
  return new Promise((resolve, reject) => {
    const name = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const sending = request({
      method: 'POST',
      host,
      port,
      path: url.pathname + url.search,
      headers: {
        host: url.host,
        accept: 'application/json',
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        'user-agent': 'kube-apiserver-admission',
      },
      agent: false,
      // Its certificate is for the name that it is called by, not for the address that answers.
      servername: isIP(name) ? '' : name,
      ...(authorities && { ca: authorities }),
      signal: AbortSignal.timeout(seconds * 1000),
    });
    sending.once('error', (error) =>
      reject(error.name === 'AbortError' ? new Error('context deadline exceeded') : error),
    );
    sending.once('response', (answer) => {
      const chunks: Buffer[] = [];
      let length = 0;
      answer.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > LONGEST) answer.destroy(new Error(`the answer is longer than ${LONGEST} bytes`));
        else chunks.push(chunk);
      });
      answer.once('error', (error) =>
        reject(error.name === 'AbortError' ? new Error('context deadline exceeded') : error),
      );
      answer.once('end', () => resolve({ code: answer.statusCode!, text: Buffer.concat(chunks).toString() }));
    });
    sending.end(body);
  });
}
