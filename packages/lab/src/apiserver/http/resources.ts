/** What a request for a resource does. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { User } from '../auth/user.ts';
import type { StoredObject } from '../object.ts';
import { untilCurrent } from '../registry/admission.ts';
import { keyOf, type Target } from '../registry/call.ts';
import { show } from '../registry/conversion.ts';
import { deleteObject, readDeleteOptions } from '../registry/deletes.ts';
import { patchObject } from '../registry/patches.ts';
import { getObject, listObjects, type Page, select } from '../registry/reads.ts';
import { review } from '../registry/reviews.ts';
import { bindPod } from '../registry/subresources/pods.ts';
import { createObject, type Part, updateObject } from '../registry/writes.ts';
import { ApiError, groupResource } from '../status.ts';
import { watchObjects } from '../watch/request.ts';
import { parseBody, parseObject, readBody } from './body.ts';
import { negotiate } from './negotiate.ts';
import {
  type Answer,
  callOf,
  notAllowed,
  type Request,
  type ResourceServer,
  shown,
  shownList,
  success,
} from './request.ts';
import type { ResourceRequest } from './request-info.ts';
import { respond } from './respond.ts';
import { reviewed, serveSubresource } from './subresources.ts';

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
  const { method = 'GET', headers } = request;
  const warnings = new Set<string>(resource.custom?.warning ? [resource.custom.warning] : []);
  if (method === 'GET' && isWatch(query, asked)) {
    if (!resource.verbs.includes('watch')) throw notAllowed();
    return watchObjects(server, resource, asked, query, format, request, response);
  }
  const body = await readBody(request);
  const warn = (message: string) => void warnings.add(message);
  const what = { server, resource, asked, query, method, user, format, headers, body, warn };
  const answer = await untilCurrent(() => serve(what));
  await respond(request, response, answer.code, answer.body, { yaml: format.yaml, warnings: [...warnings] });
}

function isWatch(query: URLSearchParams, { name }: ResourceRequest): boolean {
  return name === undefined && ['true', '1'].includes(query.get('watch') ?? '');
}

async function serve(request: Request): Promise<Answer> {
  const { resource, asked } = request;
  const namespace = resource.namespaced ? asked.namespace : '';
  const isNowhere = resource.namespaced && namespace === '';
  if (asked.name === undefined) {
    // Of all namespaces at once there is nothing but lists.
    if (isNowhere && request.method !== 'GET' && request.method !== 'HEAD') throw notAllowed();
    return serveCollection(request, namespace);
  }
  if (isNowhere) {
    const why = `the server could not find the requested resource: ${groupResource(resource)} are in namespaces`;
    throw new ApiError('NotFound', why);
  }
  const target = { resource, namespace, name: asked.name };
  if (asked.subresource === undefined) return serveObject(request, target, 'main');
  if (!resource.subresources.includes(asked.subresource)) {
    const why = `the server could not find the requested resource (${resource.plural}/${asked.subresource})`;
    throw new ApiError('NotFound', why);
  }
  return asked.subresource === 'status'
    ? serveObject(request, target, 'status')
    : serveSubresource(request, target);
}

function assertVerb({ resource }: Request, verb: string): void {
  if (!resource.verbs.includes(verb)) throw notAllowed();
}

async function serveCollection(request: Request, namespace: string): Promise<Answer> {
  switch (request.method) {
    case 'GET':
    case 'HEAD': {
      assertVerb(request, 'list');
      const page = listed(request, namespace);
      const objects = page.items.map((item) => show(request.resource, item));
      return { code: 200, body: shownList(request, page, objects) };
    }
    case 'POST':
      assertVerb(request, 'create');
      return create(request, namespace);
    case 'DELETE':
      assertVerb(request, 'deletecollection');
      return deleteCollection(request, namespace);
    default:
      throw notAllowed();
  }
}

function listed({ server, resource, query }: Request, namespace: string): Page {
  return listObjects(server.cluster.store, select(resource, namespace, query), query);
}

async function create(request: Request, namespace: string): Promise<Answer> {
  const { server, resource, user, body } = request;
  const { cluster, tokens } = server;
  const object = parseObject(body);
  const status = review(resource, object, user, cluster, tokens);
  if (status) return { code: 201, body: { ...object, status } };
  if (resource.kind === 'Binding') {
    const pods = server.catalog.find('', 'v1', 'pods')!;
    const { name = '' } = (object.metadata ?? {}) as { name?: string };
    const binding = await reviewed(request, { resource, namespace, name }, 'CREATE');
    bindPod(cluster, { resource: pods, namespace, name }, binding, callOf(request));
    return { code: 201, body: success() };
  }
  const created = await createObject(cluster, resource, namespace, object, callOf(request));
  return { code: 201, body: shown(request, created) };
}

async function deleteCollection(request: Request, namespace: string): Promise<Answer> {
  const { server, resource, query, body } = request;
  const parsed = body.text === '' ? {} : parseObject(body);
  const options = readDeleteOptions(parsed, query);
  const page = listed(request, namespace);
  const call = callOf(request, parsed);
  const deleteOne = async (item: StoredObject) => {
    const target = { resource, namespace: item.metadata.namespace ?? '', name: item.metadata.name };
    try {
      return (await untilCurrent(() => deleteObject(server.cluster, target, options, call))).object;
    } catch (error) {
      // While others were reviewed it has gone by itself.
      if (error instanceof ApiError && error.reason === 'NotFound') return show(resource, item);
      throw error;
    }
  };
  const objects = await Promise.all(page.items.map(deleteOne));
  return { code: 200, body: shownList(request, page, objects) };
}

async function serveObject(request: Request, target: Target, part: Part): Promise<Answer> {
  const { server, resource, query, body } = request;
  const { cluster } = server;
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      assertVerb(request, 'get');
      return { code: 200, body: shown(request, show(resource, getObject(cluster.store, target))) };
    case 'PUT': {
      assertVerb(request, 'update');
      const updated = await updateObject(cluster, target, parseObject(body), callOf(request), part);
      return { code: 200, body: shown(request, updated) };
    }
    case 'PATCH': {
      assertVerb(request, 'patch');
      const isNew = cluster.store.get(resource.storage, keyOf(target)) === undefined;
      const type = body.contentType;
      const patched = await patchObject(cluster, target, type, parseBody(body), callOf(request), part);
      return { code: isNew ? 201 : 200, body: shown(request, patched) };
    }
    case 'DELETE': {
      assertVerb(request, 'delete');
      if (part === 'status') throw notAllowed();
      const parsed = body.text === '' ? {} : parseObject(body);
      const options = readDeleteOptions(parsed, query);
      const call = callOf(request, parsed);
      const { object, gone } = await deleteObject(cluster, target, options, call);
      if (!gone) return { code: 200, body: shown(request, object) };
      const { name, uid } = object.metadata;
      const { group, plural } = resource;
      return { code: 200, body: success({ name, ...(group && { group }), kind: plural, uid }) };
    }
    default:
      throw notAllowed();
  }
}
