/** The webhook that gives pods the gates of the load balancers which they are targets of. */
import { applyObjects, type KubeClient } from '@enid/kube';
import type { Listening } from '../listen.ts';
import { webhookCredential } from './credential.ts';
import { type Mutator, serveWebhooks } from './server.ts';

/** The Secret, the Service and the MutatingWebhookConfiguration. */
const NAME = 'enid-controller-webhook';
const PATH = '/mutate-v1-pod';
/** On a namespace: its pods get gates. The AWS Load Balancer Controller's. */
const INJECT = { 'elbv2.k8s.aws/pod-readiness-gate-inject': 'enabled' };

export type PodWebhookOptions = {
  readonly client: KubeClient;
  /** The controller's. */
  readonly namespace: string;
  readonly port: number;
  /** At which the API server reaches this process, when it is not by the Service `enid-controller-webhook`. */
  readonly host?: string;
  readonly mutate: Mutator;
};

/** Serves, and tells the API server of it. @throws {ApiError}; Error with `code` EADDRINUSE and its like. */
export async function startPodWebhook(options: PodWebhookOptions): Promise<Listening> {
  const { client, namespace, port, host, mutate } = options;
  const service = `${NAME}.${namespace}.svc`;
  const credential = await webhookCredential(client, namespace, NAME, [host ?? service]);
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await serveWebhooks(credential, port, { [PATH]: mutate }));
  const where = host
    ? { url: `https://${host}:${server.port}${PATH}` }
    : { service: { namespace, name: NAME, path: PATH, port: 443 } };
  const configuration = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: NAME },
    webhooks: [
      {
        name: 'mpod.elbv2.k8s.aws',
        admissionReviewVersions: ['v1'],
        clientConfig: { ...where, caBundle: Buffer.from(credential.authority).toString('base64') },
        rules: [
          {
            operations: ['CREATE'],
            apiGroups: [''],
            apiVersions: ['v1'],
            resources: ['pods'],
            scope: 'Namespaced',
          },
        ],
        namespaceSelector: { matchLabels: INJECT },
        // A pod without its gate would count as ready before its load balancer knows it: better none for a moment.
        failurePolicy: 'Fail',
        sideEffects: 'None',
        timeoutSeconds: 5,
      },
    ],
  };
  await applyObjects(client, [configuration], 'enid-controller');
  const owned = stack.move();
  return { port: server.port, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
