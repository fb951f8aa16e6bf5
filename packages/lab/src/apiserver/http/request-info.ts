/** Which resource a path means (apiserver `request.RequestInfo`). */

export type ResourceRequest = {
  readonly group: string;
  readonly version: string;
  /** '' when the path names none. */
  readonly namespace: string;
  readonly plural: string;
  /** undefined: the collection. */
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  /** What follows the subresource, for proxies: begins with `/`, or is empty. */
  readonly rest: string;
};

const OF_NAMESPACE_ITSELF = new Set(['status', 'finalize']);

/**
 * Reads `/api/v1/...` and `/apis/<group>/<version>/...`.
 * @returns undefined for other paths, and for those that end before a resource.
 * @throws {URIError} for a path with a malformed escape.
 */
export function parseResourcePath(path: string): ResourceRequest | undefined {
  const segments = path.split('/').slice(1);
  const prefix = segments.shift();
  if (prefix !== 'api' && prefix !== 'apis') return undefined;
  const group = prefix === 'apis' ? segments.shift() : '';
  const version = segments.shift();
  if (group === undefined || !version || !segments[0]) return undefined;
  let namespace = '';
  if (segments[0] === 'namespaces' && segments[1]) {
    namespace = decodeURIComponent(segments[1]);
    if (segments[2] && !OF_NAMESPACE_ITSELF.has(segments[2])) segments.splice(0, 2);
  }
  const [plural, name, subresource, ...rest] = segments;
  return {
    group,
    version,
    namespace: plural === 'namespaces' ? '' : namespace,
    plural: plural!,
    name: name ? decodeURIComponent(name) : undefined,
    subresource: subresource || undefined,
    rest: rest.length > 0 ? `/${rest.join('/')}` : '',
  };
}
