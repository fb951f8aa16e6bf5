/** What a request for a resource does. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServiceAccountTokens } from '../auth/service-account-token.ts';
import type { User } from '../auth/user.ts';
import type { Fields, KubeObject, StoredObject } from '../object.ts';
import { jsonPatch, mergePatch } from '../patch/index.ts';
import type { Call, Target } from '../registry/call.ts';
import type { Catalog } from '../registry/catalog.ts';
import { show } from '../registry/conversion.ts';
import { type Deleted, deleteObject, readDeleteOptions } from '../registry/deletes.ts';
import { getObject, listObjects, listOf, select } from '../registry/reads.ts';
import { joinGroupVersion, type Resource } from '../registry/resource.ts';
import { review } from '../registry/reviews.ts';
import type { Cluster } from '../registry/strategy.ts';
import { bindPod, evictPod } from '../registry/subresources/pods.ts';
import { getScale, updateScale } from '../registry/subresources/scale.ts';
import { requestToken } from '../registry/subresources/tokens.ts';
import {
  change,
  createObject,
  noSubresource,
  type Part,
  patchObject,
  updateObject,
} from '../registry/writes.ts';
import { ApiError, groupResource } from '../status.ts';
import { asPartial, asPartialList, asTable, includedObject } from '../table/index.ts';
import { watchObjects } from '../watch/request.ts';
import { type Body, parseBody, parseObject, readBody } from './body.ts';
import { readCall } from './call.ts';
import { type Format, negotiate } from './negotiate.ts';
import type { ResourceRequest } from './request-info.ts';
import { respond } from './respond.ts';

export type ResourceServer = {
  readonly cluster: Cluster;
  readonly catalog: Catalog;
  readonly tokens: ServiceAccountTokens;
};

type Answer = { readonly code: number; readonly body: unknown };

/** A request for a resource, with all that it takes to answer it. */
type Request = {
  readonly server: ResourceServer;
  readonly resource: Resource;
  readonly asked: ResourceRequest;
  readonly query: URLSearchParams;
  readonly method: string;
  readonly user: User;
  readonly format: Format;
  readonly headers: IncomingMessage['headers'];
  readonly body: Body;
  readonly warn: (message: string) => void;
};

/** @throws {ApiError} what the request is refused with. */
export async function serveResource(
  server: ResourceServer,
  user: User,
  asked: ResourceRequest,
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const resource = server.catalog.find(asked.group, asked.version, asked.plural);
  if (!resource) throw new ApiError('NotFound', 'the server could not find the requested resource');
  const format = negotiate(request.headers.accept);
  const method = request.method ?? 'GET';
  const warnings = new Set<string>(resource.custom?.warning ? [resource.custom.warning] : []);
  if (method === 'GET' && asked.subresource === undefined && isWatch(query, asked)) {
    return watchObjects(server.cluster, resource, asked, query, format, request, response);
  }
  const body = await readBody(request);
  const warn = (message: string) => void warnings.add(message);
  const { headers } = request;
  const answer = serve({ server, resource, asked, query, method, user, format, headers, body, warn });
  await respond(request, response, answer.code, answer.body, { yaml: format.yaml, warnings: [...warnings] });
}

function isWatch(query: URLSearchParams, { name }: ResourceRequest): boolean {
  return name === undefined && ['true', '1'].includes(query.get('watch') ?? '');
}

function serve(request: Request): Answer {
  const { resource, asked, method } = request;
  if (resource.namespaced && asked.namespace === '' && (asked.name !== undefined || method === 'POST')) {
    throw new ApiError(
      'NotFound',
      `the server could not find the requested resource: ${groupResource(resource)} are in namespaces`,
    );
  }
  if (asked.name === undefined) return serveCollection(request);
  const target = { resource, namespace: resource.namespaced ? asked.namespace : '', name: asked.name };
  if (asked.subresource === undefined) return serveObject(request, target, 'main');
  if (!resource.subresources.includes(asked.subresource)) throw noSubresource(target, asked.subresource);
  return asked.subresource === 'status'
    ? serveObject(request, target, 'status')
    : serveSubresource(request, target);
}

function callOf({ query, headers, user, warn }: Request, body?: Fields): Call {
  return readCall(query, headers, user, warn, body);
}

function assertVerb({ resource, method }: Request, verb: string): void {
  if (!resource.verbs.includes(verb)) throw notAllowed(method);
}

function notAllowed(method: string): ApiError {
  return new ApiError(
    'MethodNotAllowed',
    `the server does not allow this method (${method}) on the requested resource`,
  );
}

function serveCollection(request: Request): Answer {
  const { server, resource, asked, query, user, body } = request;
  const { cluster, tokens } = server;
  const namespace = resource.namespaced ? asked.namespace : '';
  switch (request.method) {
    case 'GET':
    case 'HEAD': {
      assertVerb(request, 'list');
      const selection = select(resource, namespace, undefined, query, resource.custom?.selectable);
      const page = listObjects(cluster.store, selection, query);
      const items = page.items.map((item) => withoutKind(resource, show(resource, item)));
      return {
        code: 200,
        body: shownList(request, listOf(resource, joinGroupVersion(resource), page, items)),
      };
    }
    case 'POST': {
      assertVerb(request, 'create');
      const object = parseObject(body);
      const status = review(resource, object, user, cluster, tokens);
      if (status) return { code: 201, body: { ...object, status } };
      if (resource.kind === 'Binding') {
        const pods = server.catalog.find('', 'v1', 'pods')!;
        const { name = '' } = (object.metadata ?? {}) as { name?: string };
        bindPod(cluster, { resource: pods, namespace, name }, object, callOf(request));
        return { code: 201, body: success() };
      }
      const created = createObject(cluster, resource, namespace, object, callOf(request));
      return { code: 201, body: shown(request, created) };
    }
    case 'DELETE': {
      assertVerb(request, 'deletecollection');
      const parsed = body.text === '' ? {} : parseObject(body);
      const options = readDeleteOptions(parsed, query);
      const selection = select(resource, namespace, undefined, query, resource.custom?.selectable);
      const page = listObjects(cluster.store, selection, query);
      const call = callOf(request, parsed);
      for (const { metadata } of page.items) {
        deleteObject(
          cluster,
          { resource, namespace: metadata.namespace ?? '', name: metadata.name },
          options,
          call,
        );
      }
      return { code: 200, body: listOf(resource, joinGroupVersion(resource), page, page.items) };
    }
    default:
      throw notAllowed(request.method);
  }
}

function serveObject(request: Request, target: Target, part: Part): Answer {
  const { server, resource, query, body } = request;
  const { cluster } = server;
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      assertVerb(request, 'get');
      return { code: 200, body: shown(request, show(resource, getObject(cluster.store, target))) };
    case 'PUT':
      return {
        code: 200,
        body: shown(request, updateObject(cluster, target, parseObject(body), callOf(request), part)),
      };
    case 'PATCH': {
      const made = cluster.store.get(resource.storage, `${target.namespace}/${target.name}`) === undefined;
      const patched = patchObject(cluster, target, body.contentType, parseBody(body), callOf(request), part);
      return { code: made ? 201 : 200, body: shown(request, patched) };
    }
    case 'DELETE': {
      if (part === 'status') throw notAllowed(request.method);
      const parsed = body.text === '' ? {} : parseObject(body);
      return {
        code: 200,
        body: deleted(
          request,
          deleteObject(cluster, target, readDeleteOptions(parsed, query), callOf(request, parsed)),
        ),
      };
    }
    default:
      throw notAllowed(request.method);
  }
}

function deleted(request: Request, { object, gone }: Deleted): unknown {
  if (!gone) return shown(request, object);
  const { group, plural } = request.resource;
  const { name, uid } = object.metadata;
  return { ...success(), details: { name, ...(group && { group }), kind: plural, uid } };
}

function success(): Fields {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' };
}

function serveSubresource(request: Request, target: Target): Answer {
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
          ? jsonPatch(scale, parseBody(body), { group: 'autoscaling', kind: 'Scale' })
          : (mergePatch(scale, parseBody(body)) as Fields);
      return { code: 200, body: updateScale(cluster, target, edit, callOf(request)) };
    }
    case 'POST binding':
      bindPod(cluster, target, parseObject(body), callOf(request));
      return { code: 201, body: success() };
    case 'POST eviction':
      evictPod(cluster, target, parseObject(body), callOf(request, parseObject(body)));
      return { code: 201, body: success() };
    case 'POST token':
      return { code: 201, body: requestToken(cluster, tokens, target, parseObject(body)) };
    case 'PUT finalize': {
      const old = getObject(cluster.store, target);
      const { spec } = parseObject(body) as KubeObject;
      const call = callOf(request);
      return { code: 200, body: shown(request, finalizeNamespace(cluster, target, old, spec ?? {}, call)) };
    }
    default:
      throw notAllowed(method);
  }
}

/** `namespaces/finalize`: whoever has emptied a namespace lets go of it. */
function finalizeNamespace(
  cluster: Cluster,
  target: Target,
  old: StoredObject,
  spec: Fields,
  call: Call,
): StoredObject {
  const next = { ...structuredClone(old), spec: { ...old.spec, finalizers: spec.finalizers ?? [] } };
  // A finalizer of the namespace itself is not the namespace's to keep, so its strategy is asked by its old state.
  return change(cluster, target, { ...old, spec: next.spec }, next, call, 'main');
}

function shown(request: Request, object: StoredObject): unknown {
  const { format, resource, query, server } = request;
  if (format.as === 'Table')
    return asTable(resource, [object], {}, includedObject(query), server.cluster.now());
  if (format.as === 'PartialObjectMetadata') return asPartial(object);
  return object;
}

function shownList(request: Request, list: KubeObject): unknown {
  const { format, resource, query, server } = request;
  const items = (list as unknown as { items: StoredObject[] }).items;
  if (format.as === 'Table')
    return asTable(resource, items, list.metadata, includedObject(query), server.cluster.now());
  return format.as === undefined ? list : asPartialList(items, list.metadata);
}

/** Items of a list do not repeat what the list says already, unless their kinds are a client's own. */
function withoutKind(resource: Resource, object: StoredObject): StoredObject {
  if (resource.custom) return object;
  const { kind, apiVersion, ...rest } = object;
  return rest as StoredObject;
}
