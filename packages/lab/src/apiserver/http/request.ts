/** A request for a resource, with all that it takes to answer it, and the forms that answers have. */
import type { IncomingHttpHeaders } from 'node:http';
import type { ServiceAccountTokens } from '../auth/service-account-token.ts';
import type { User } from '../auth/user.ts';
import type { Fields, StoredObject } from '../object.ts';
import type { Call } from '../registry/call.ts';
import type { Catalog } from '../registry/catalog.ts';
import type { Page } from '../registry/reads.ts';
import { joinGroupVersion, type Resource } from '../registry/resource.ts';
import type { Cluster } from '../registry/strategy.ts';
import { ApiError } from '../status.ts';
import { asPartial, asPartialList, asTable, includedObject } from '../table/index.ts';
import type { Body } from './body.ts';
import { readCall } from './call.ts';
import type { Format } from './negotiate.ts';
import type { ResourceRequest } from './request-info.ts';

export type ResourceServer = {
  readonly cluster: Cluster;
  readonly catalog: Catalog;
  readonly tokens: ServiceAccountTokens;
};

export type Request = {
  readonly server: ResourceServer;
  readonly resource: Resource;
  readonly asked: ResourceRequest;
  readonly query: URLSearchParams;
  readonly method: string;
  readonly user: User;
  readonly format: Format;
  readonly headers: IncomingHttpHeaders;
  readonly body: Body;
  readonly warn: (message: string) => void;
};

export type Answer = { readonly code: number; readonly body: object };

/** @param body of the request, where it says what otherwise the query says. */
export function callOf(request: Request, body?: Fields): Call {
  const { method, query, headers, user, warn } = request;
  const { contentType } = request.body;
  return readCall({ method, query, contentType, userAgent: headers['user-agent'] }, user, warn, body);
}

export function notAllowed(): ApiError {
  return new ApiError('MethodNotAllowed', 'the server does not allow this method on the requested resource');
}

/** What there is nothing more to say of. */
export function success(details?: Fields): Fields {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', ...(details && { details }) };
}

/** An object in the form that the client wants. */
export function shown({ format, resource, query, server }: Request, object: StoredObject): object {
  if (format.as === 'Table')
    return asTable(resource, [object], {}, includedObject(query), server.cluster.now());
  return format.as === 'PartialObjectMetadata' ? asPartial(object) : object;
}

/** A page of a list in the form that the client wants. @param objects as the resource shows them. */
export function shownList(
  { format, resource, query, server }: Request,
  page: Page,
  objects: readonly StoredObject[],
): object {
  const metadata = {
    resourceVersion: String(page.revision),
    ...(page.continue && { continue: page.continue, remainingItemCount: page.remaining }),
  };
  if (format.as === 'Table')
    return asTable(resource, objects, metadata, includedObject(query), server.cluster.now());
  if (format.as !== undefined) return asPartialList(objects, metadata);
  const items = resource.custom ? objects : objects.map(withoutKind);
  return { kind: `${resource.kind}List`, apiVersion: joinGroupVersion(resource), metadata, items };
}

/** Items of a list do not repeat what the list says already, unless their kinds are a client's own. */
function withoutKind({ kind, apiVersion, ...rest }: StoredObject): Fields {
  return rest;
}
