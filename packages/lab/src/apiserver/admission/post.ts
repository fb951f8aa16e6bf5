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
export async function post(endpoint: Endpoint, review: object, seconds: number): Promise<unknown> {
  const deadline = AbortSignal.timeout(seconds * 1000);
  try {
    const { code, text } = await send(endpoint, JSON.stringify(review), deadline);
    if (code < 200 || code > 299)
      throw new Error(`the webhook answered with HTTP status ${code}: ${text.slice(0, 200).trim()}`);
    return JSON.parse(text);
  } catch (error) {
    const why = deadline.aborted ? 'context deadline exceeded' : (error as Error).message;
    throw new Error(`failed to call webhook: Post "${endpoint.url}": ${why}`);
  }
}

function send(
  { url, serverName, connect, authorities }: Endpoint,
  body: string,
  signal: AbortSignal,
): Promise<{ code: number; text: string }> {
  const { host, pathname, search } = new URL(url);
  return new Promise((resolve, reject) => {
    const sending = request({
      ...connect(),
      method: 'POST',
      path: pathname + search,
      headers: {
        host,
        accept: 'application/json',
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        'user-agent': 'kube-apiserver-admission',
      },
      agent: false,
      // Its certificate is for the name that it is called by, not for the address that answers. An address is no name in TLS.
      servername: isIP(serverName) ? '' : serverName,
      ...(authorities && { ca: authorities }),
      signal,
    });
    sending.once('error', reject);
    sending.once('response', (answer) => {
      const chunks: Buffer[] = [];
      let length = 0;
      answer.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > LONGEST) answer.destroy(new Error(`the answer is longer than ${LONGEST} bytes`));
        else chunks.push(chunk);
      });
      answer.once('error', reject);
      answer.once('end', () => resolve({ code: answer.statusCode!, text: Buffer.concat(chunks).toString() }));
    });
    sending.end(body);
  });
}
