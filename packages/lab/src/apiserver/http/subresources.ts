/** What a request for a subresource does, of those that are not `status`. */
import type { Fields, KubeObject } from '../object.ts';
import { jsonPatch, mergePatch } from '../patch/index.ts';
import type { Target } from '../registry/call.ts';
import { patched } from '../registry/patches.ts';
import { getObject } from '../registry/reads.ts';
import { addEphemeralContainers } from '../registry/subresources/ephemeral-containers.ts';
import { finalizeNamespace } from '../registry/subresources/finalize.ts';
import { bindPod, evictPod } from '../registry/subresources/pods.ts';
import { getScale, updateScale } from '../registry/subresources/scale.ts';
import { requestToken } from '../registry/subresources/tokens.ts';
import { parseBody, parseObject } from './body.ts';
import { type Answer, callOf, notAllowed, type Request, shown, success } from './request.ts';

const SCALE = { group: 'autoscaling', kind: 'Scale' };

/** @throws {ApiError} */
export function serveSubresource(request: Request, target: Target): Answer {
  const { server, asked, method, body } = request;
  const { cluster, tokens } = server;
  switch (`${method} ${asked.subresource}`) {
    case 'GET scale':
      return { code: 200, body: getScale(cluster, target) };
    case 'PUT scale':
      return { code: 200, body: updateScale(cluster, target, () => parseObject(body), callOf(request)) };
    case 'PATCH scale': {
      const edit = (scale: KubeObject) =>
        body.contentType === 'application/json-patch+json'
          ? jsonPatch(scale, parseBody(body), SCALE)
          : (mergePatch(scale, parseBody(body)) as Fields);
      return { code: 200, body: updateScale(cluster, target, edit, callOf(request)) };
    }
    case 'POST binding':
      bindPod(cluster, target, parseObject(body), callOf(request));
      return { code: 201, body: success() };
    case 'POST eviction': {
      const eviction = parseObject(body);
      evictPod(cluster, target, eviction, callOf(request, eviction));
      return { code: 201, body: success() };
    }
    case 'POST token':
      return { code: 201, body: requestToken(cluster, tokens, target, parseObject(body)) };
    case 'GET ephemeralcontainers':
      return { code: 200, body: shown(request, getObject(cluster.store, target)) };
    case 'PUT ephemeralcontainers': {
      const pod = addEphemeralContainers(cluster, target, () => parseObject(body), callOf(request));
      return { code: 200, body: shown(request, pod) };
    }
    case 'PATCH ephemeralcontainers': {
      const edit = (pod: KubeObject) => patched(target.resource, body.contentType, pod, parseBody(body));
      return {
        code: 200,
        body: shown(request, addEphemeralContainers(cluster, target, edit, callOf(request))),
      };
    }
    case 'PUT finalize': {
      const namespace = finalizeNamespace(cluster, target, parseObject(body), callOf(request));
      return { code: 200, body: shown(request, namespace) };
    }
    default:
      throw notAllowed();
  }
}
