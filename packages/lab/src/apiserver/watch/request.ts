/** `?watch=true`: what a request for changes means. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Format } from '../http/negotiate.ts';
import type { ResourceRequest } from '../http/request-info.ts';
import type { StoredObject } from '../object.ts';
import { show } from '../registry/conversion.ts';
import { assertReached, integer, type Selection, select, tooOld } from '../registry/reads.ts';
import { joinGroupVersion, type Resource } from '../registry/resource.ts';
import type { Cluster } from '../registry/strategy.ts';
import { badRequest } from '../status.ts';
import { asPartial, asTable, includedObject } from '../table/index.ts';
import { streamWatch } from './stream.ts';
import { Watch } from './watch.ts';

/** How long a watch lasts when the client does not say, in seconds: at random, so that not all end at once. */
const DURATION = { least: 1800, most: 3600 };

/** @throws {ApiError} BadRequest, Expired (410 Gone) when the changes after the version are forgotten. */
export function watchObjects(
  cluster: Cluster,
  resource: Resource,
  asked: ResourceRequest,
  query: URLSearchParams,
  format: Format,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const namespace = resource.namespaced ? asked.namespace : '';
  const selection = select(resource, namespace, undefined, query, resource.custom?.selectable);
  const bookmarks = query.get('allowWatchBookmarks') === 'true';
  const sendInitial = query.get('sendInitialEvents') === 'true';
  const watch = begin(cluster, selection, query, sendInitial);
  const seconds =
    integer(query, 'timeoutSeconds') || DURATION.least + Math.random() * (DURATION.most - DURATION.least);
  const included = includedObject(query);
  const apiVersion = joinGroupVersion(resource);
  const display = (object: StoredObject): unknown => {
    if (format.as === 'Table') return asTable(resource, [object], {}, included, cluster.now());
    return format.as === undefined ? show(resource, object) : asPartial(object);
  };
  request.socket.setNoDelay(true);
  streamWatch(response, {
    history: cluster.store.history(resource.storage),
    watch,
    show: ({ object }) => display(object),
    bookmark: bookmarks
      ? (annotations) => {
          const metadata = {
            resourceVersion: String(watch.toldUpTo(cluster.store.revision)),
            creationTimestamp: null,
            annotations,
          };
          if (format.as === 'Table')
            return { kind: 'Table', apiVersion: 'meta.k8s.io/v1', metadata, columnDefinitions: [], rows: [] };
          if (format.as !== undefined)
            return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
          return { kind: resource.kind, apiVersion, metadata };
        }
      : undefined,
    markInitialEnd: sendInitial,
    timeout: seconds * 1000,
  });
}

function begin(cluster: Cluster, selection: Selection, query: URLSearchParams, sendInitial: boolean): Watch {
  const { store } = cluster;
  const { storage } = selection.resource;
  const history = store.history(storage);
  const revision = integer(query, 'resourceVersion');
  const match = query.get('resourceVersionMatch');
  if (sendInitial && match !== 'NotOlderThan') {
    throw badRequest('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
  }
  if (sendInitial && query.get('allowWatchBookmarks') !== 'true') {
    throw badRequest('sendInitialEvents requires allowWatchBookmarks');
  }
  assertReached(store, revision);
  const fromNow = query.get('sendInitialEvents') !== 'false' && (sendInitial || revision === 0);
  if (fromNow) return new Watch(history, [...store.all(storage)], history.end, selection.matches);
  const position = revision === 0 ? history.end : history.after(revision);
  if (position === undefined) throw tooOld(revision, history.compacted);
  return new Watch(history, [], position, selection.matches);
}
