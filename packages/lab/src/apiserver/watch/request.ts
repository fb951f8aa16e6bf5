/** `?watch=true`: what a request for changes means. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Format } from '../http/negotiate.ts';
import type { ResourceRequest } from '../http/request-info.ts';
import type { Fields, StoredObject } from '../object.ts';
import type { Catalog } from '../registry/catalog.ts';
import { show } from '../registry/conversion.ts';
import { assertReached, integer, type Selection, select, tooOld } from '../registry/reads.ts';
import { joinGroupVersion, type Resource } from '../registry/resource.ts';
import type { Cluster } from '../registry/strategy.ts';
import { field, invalid } from '../status.ts';
import { jsonOf } from '../storage/json.ts';
import { asPartial, asTable, type Included, includedObject } from '../table/index.ts';
import { streamWatch } from './stream.ts';
import { Watch } from './watch.ts';

/** How long a watch lasts when the client does not say, in seconds: at random, so that not all end at once. */
const DURATION = { least: 1800, most: 3600 };

/** @throws {ApiError} BadRequest, Invalid, Expired (410 Gone) when the changes after the version are forgotten. */
export function watchObjects(
  { cluster, catalog }: { readonly cluster: Cluster; readonly catalog: Catalog },
  resource: Resource,
  asked: ResourceRequest,
  query: URLSearchParams,
  format: Format,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const namespace = resource.namespaced ? asked.namespace : '';
  const selection = select(resource, namespace, query);
  const initial = readInitial(query);
  const watch = begin(cluster, selection, integer(query, 'resourceVersion'), initial);
  const seconds =
    integer(query, 'timeoutSeconds') || DURATION.least + Math.random() * (DURATION.most - DURATION.least);
  // While it lasts, what defines the resource may be changed.
  const current = () => catalog.find(resource.group, resource.version, resource.plural) ?? resource;
  const display = displayOf(cluster, current, format, includedObject(query));
  const bookmark = (annotations?: Record<string, string>) =>
    bookmarkOf(resource, format, {
      resourceVersion: String(watch.toldUpTo(cluster.store.revision)),
      creationTimestamp: null,
      ...(annotations && { annotations }),
    });
  request.socket.setNoDelay(true);
  streamWatch(response, {
    history: cluster.store.history(resource.storage),
    watch,
    show: ({ object }) => display(object),
    bookmark: query.get('allowWatchBookmarks') === 'true' ? bookmark : undefined,
    markInitialEnd: initial === 'marked',
    timeout: seconds * 1000,
  });
}

/** Whether what is there is told first: as the version asks for it, with a mark at its end, or not at all. */
type Initial = 'usual' | 'marked' | 'none';

/** Reads `sendInitialEvents` and `resourceVersionMatch`. */
function readInitial(query: URLSearchParams): Initial {
  const send = query.get('sendInitialEvents');
  const match = query.get('resourceVersionMatch');
  const refuse = (detail: string) =>
    invalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', [
      field.forbidden('resourceVersionMatch', detail),
    ]);
  if (send === null) {
    if (match)
      throw refuse('resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided');
    return 'usual';
  }
  if (match !== 'NotOlderThan') {
    throw refuse('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
  }
  return send === 'true' ? 'marked' : 'none';
}

function begin(cluster: Cluster, selection: Selection, revision: number, initial: Initial): Watch {
  const { store } = cluster;
  const { storage } = selection.resource;
  const history = store.history(storage);
  assertReached(store, revision);
  if (initial === 'marked' || (initial === 'usual' && revision === 0)) {
    return new Watch(history, [...store.all(storage)], history.end, selection.matches);
  }
  const position = revision === 0 ? history.end : history.after(revision);
  if (position === undefined) throw tooOld(revision, history.compacted);
  return new Watch(history, [], position, selection.matches);
}

/** How objects are written for a client. */
function displayOf(
  cluster: Cluster,
  current: () => Resource,
  { as }: Format,
  included: Included,
): (object: StoredObject) => string {
  if (as === undefined) return (object) => jsonOf(show(current(), object));
  if (as !== 'Table') return (object) => JSON.stringify(asPartial(object));
  return (object) => {
    const resource = current();
    return JSON.stringify(asTable(resource, [show(resource, object)], {}, included, cluster.now()));
  };
}

function bookmarkOf(resource: Resource, { as }: Format, metadata: Fields): Fields {
  const apiVersion = 'meta.k8s.io/v1';
  if (as === 'Table') return { kind: 'Table', apiVersion, metadata, columnDefinitions: [], rows: [] };
  if (as !== undefined) return { kind: 'PartialObjectMetadata', apiVersion, metadata };
  return { kind: resource.kind, apiVersion: joinGroupVersion(resource), metadata };
}
