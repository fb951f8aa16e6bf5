/** What a request for a subresource does, of those that are not `status`. */
import type { Fields, KubeObject } from '../object.ts';
import { type Operation, review } from '../registry/admission.ts';
import type { Target } from '../registry/call.ts';
import { assertPatchType, patched } from '../registry/patches.ts';
import { getObject } from '../registry/reads.ts';
import { addEphemeralContainers } from '../registry/subresources/ephemeral-containers.ts';
import { finalizeNamespace } from '../registry/subresources/finalize.ts';
import { bindPod, evictPod } from '../registry/subresources/pods.ts';
import { getScale, patchScale, updateScale } from '../registry/subresources/scale.ts';
import { requestToken } from '../registry/subresources/tokens.ts';
import { parseBody, parseObject } from './body.ts';
import { type Answer, callOf, notAllowed, type Request, shown, success } from './request.ts';

/** @throws {ApiError} */
export async function serveSubresource(request: Request, target: Target): Promise<Answer> {
  const { server, asked, method, body } = request;
  const { cluster, tokens } = server;
  switch (`${method} ${asked.subresource}`) {
    case 'GET scale':
      return { code: 200, body: getScale(cluster, target) };
    case 'PUT scale':
      return { code: 200, body: await updateScale(cluster, target, parseObject(body), callOf(request)) };
    case 'PATCH scale': {
      const { contentType } = body;
      const call = callOf(request);
      return { code: 200, body: await patchScale(cluster, target, contentType, parseBody(body), call) };
    }
    case 'POST binding':
      bindPod(cluster, target, await reviewed(request, target, 'CREATE'), callOf(request));
      return { code: 201, body: success() };
    case 'POST eviction': {
      const eviction = await reviewed(request, target, 'CREATE');
      await evictPod(cluster, target, eviction, callOf(request, eviction));
      return { code: 201, body: success() };
    }
    case 'POST token':
      return {
        code: 201,
        body: requestToken(cluster, tokens, target, await reviewed(request, target, 'CREATE')),
      };
    case 'GET ephemeralcontainers':
      return { code: 200, body: shown(request, getObject(cluster.store, target)) };
    case 'PUT ephemeralcontainers': {
      const pod = await addEphemeralContainers(cluster, target, () => parseObject(body), callOf(request));
      return { code: 200, body: shown(request, pod) };
    }
    case 'PATCH ephemeralcontainers': {
      assertPatchType(target.resource, body.contentType, false);
      const edit = (pod: KubeObject) => patched(target.resource, body.contentType, pod, parseBody(body));
      const pod = await addEphemeralContainers(cluster, target, edit, callOf(request));
      return { code: 200, body: shown(request, pod) };
    }
    case 'PUT finalize': {
      const namespace = finalizeNamespace(
        cluster,
        target,
        await reviewed(request, target, 'UPDATE'),
        callOf(request),
      );
      return { code: 200, body: shown(request, namespace) };
    }
    default:
      throw notAllowed();
  }
}

/** The kinds of bodies that are no objects of the resource, by subresource. */
const KINDS: Readonly<Record<string, { readonly apiVersion: string; readonly kind: string }>> = {
  binding: { apiVersion: 'v1', kind: 'Binding' },
  eviction: { apiVersion: 'policy/v1', kind: 'Eviction' },
  token: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' },
  finalize: { apiVersion: 'v1', kind: 'Namespace' },
};

/** The body of a request that is an act, not an object to be stored: as those make it who have a say. @throws {ApiError} */
export async function reviewed(request: Request, target: Target, operation: Operation): Promise<Fields> {
  const body = parseObject(request.body);
  const { subresource } = request.asked;
  const object = { metadata: {}, ...KINDS[subresource ?? 'binding']!, ...body } as KubeObject;
  const call = callOf(request);
  const attributes = { operation, target, subresource, object, call };
  return (await review(request.server.cluster.admission, attributes)) ?? body;
}
