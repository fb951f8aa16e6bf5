import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import type { Credential } from '../../pki/index.ts';
import type { Fields } from '../object.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests look into whatever was asked.
export type Asked = any;

/** A webhook: what it was asked at each path, and what it answers there. */
export type TestWebhook = {
  readonly port: number;
  /** The requests in the reviews, in the order in which they came. */
  readonly asked: { readonly path: string; readonly request: Asked }[];
  /** What a path answers: a response without its uid; or any answer, given the whole review. */
  answer(path: string, response: Fields | ((review: Asked) => unknown)): void;
  stop(): void;
};

/** An HTTPS server on loopback. What no answer is known for is allowed. */
export async function startWebhook({ certificate, key }: Credential): Promise<TestWebhook> {
  const answers = new Map<string, (review: Asked) => unknown>();
  const asked: { path: string; request: Asked }[] = [];
  const server = createServer({ cert: certificate, key }, async (request, response) => {
    const review = (await json(request)) as Asked;
    const path = request.url!.split('?')[0]!;
    asked.push({ path, request: review.request });
    const answer = await answers.get(path)?.(review);
    response.end(JSON.stringify(answer ?? respond(review, { allowed: true })));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    answer(path, response) {
      answers.set(path, typeof response === 'function' ? response : (review) => respond(review, response));
    },
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** An answer to a review. */
export function respond({ apiVersion, kind, request }: Asked, response: Fields): Fields {
  return { apiVersion, kind, response: { uid: request.uid, ...response } };
}

/** A response that changes the object. */
export function patching(...operations: Fields[]): Fields {
  const patch = Buffer.from(JSON.stringify(operations)).toString('base64');
  return { allowed: true, patchType: 'JSONPatch', patch };
}
