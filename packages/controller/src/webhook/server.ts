/** Answers the API server's admission reviews (admission.k8s.io/v1). */
import { createServer } from 'node:https';
import { text } from 'node:stream/consumers';
import type { KubeObject } from '@enid/kube';
import type { Credential } from '@enid/pki';
import { type Listening, listen } from '../listen.ts';

/** What is about to be written. */
export type AdmissionRequest = {
  readonly uid: string;
  readonly namespace?: string;
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  readonly object: KubeObject;
};

/** RFC 6902, as far as it is used to add. */
export type PatchOperation = { readonly op: 'add'; readonly path: string; readonly value: unknown };

/** Says how an object is to be changed before it is written. What it throws is a failure of the webhook. */
export type Mutator = (request: AdmissionRequest) => Promise<readonly PatchOperation[]>;

/**
 * @param mutators by path.
 * @throws {Error} with `code` EADDRINUSE and its like when the port cannot be had.
 */
export function serveWebhooks(
  { certificate, key }: Credential,
  port: number,
  mutators: Readonly<Record<string, Mutator>>,
): Promise<Listening> {
  const server = createServer(
    { cert: certificate, key, minVersion: 'TLSv1.2' },
    async (request, response) => {
      const answer = (code: number, body: unknown) =>
        response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      const { pathname } = new URL(request.url ?? '/', 'https://host');
      const mutate = Object.hasOwn(mutators, pathname) ? mutators[pathname] : undefined;
      if (!mutate) return answer(404, { message: `no webhook at ${pathname}` });
      try {
        const review = JSON.parse(await text(request)) as { readonly request: AdmissionRequest };
        const patch = await mutate(review.request);
        answer(200, {
          apiVersion: 'admission.k8s.io/v1',
          kind: 'AdmissionReview',
          response: {
            uid: review.request.uid,
            allowed: true,
            ...(patch.length > 0 && {
              patchType: 'JSONPatch',
              patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
            }),
          },
        });
      } catch (error) {
        // The API server does then what the webhook's failurePolicy says.
        answer(error instanceof SyntaxError ? 400 : 500, { message: (error as Error).message });
      }
    },
  );
  return listen(server, port);
}
