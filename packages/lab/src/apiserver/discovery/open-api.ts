/** The documents that describe what is served, as kubectl reads them for validation, `apply` and `explain`. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { mediaRanges } from '../http/negotiate.ts';
import { respondBytes } from '../http/respond.ts';
import type { Catalog } from '../registry/catalog.ts';
import { joinGroupVersion, type Resource } from '../registry/resource.ts';
import { encodeOpenApiV2, openApiV2, openApiV3 } from '../schema/index.ts';
import { ApiError } from '../status.ts';

const PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
/** What Go's clients ask for; in an answer their own parser of media types refuses the `@`. */
const PROTOBUF_ASKED = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';

type Document = { readonly bytes: Buffer; readonly hash: string };

/** Documents are made when they are first asked for, and again when what is served has changed. */
export class OpenApi {
  readonly #catalog: Catalog;
  #made: readonly Resource[] = [];
  readonly #documents = new Map<string, Document>();

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  /** Answers a request when it is for one of the documents. @returns whether it was. */
  async serve(path: string, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    if (path !== '/openapi/v2' && path !== '/openapi/v3' && !path.startsWith('/openapi/v3/')) return false;
    if (this.#made !== this.#catalog.resources) {
      this.#documents.clear();
      this.#made = this.#catalog.resources;
    }
    const [contentType, document] =
      path === '/openapi/v2' ? this.#v2(request) : ['application/json', this.#v3(path)];
    if (!document) throw new ApiError('NotFound', 'the server could not find the requested resource');
    const etag = `"${document.hash}"`;
    const headers = { etag, vary: 'accept' };
    const known = request.headers['if-none-match'] === etag;
    await respondBytes(request, response, known ? 304 : 200, known ? Buffer.alloc(0) : document.bytes, {
      contentType,
      headers,
    });
    return true;
  }

  #v2(request: IncomingMessage): [string, Document] {
    const protobuf = mediaRanges(request.headers.accept).find(
      ({ type }) => type === PROTOBUF || type === PROTOBUF_ASKED,
    );
    if (!protobuf) {
      return [
        'application/json',
        this.#document('v2 json', () => JSON.stringify(openApiV2(this.#catalog.resources))),
      ];
    }
    const encode = () => encodeOpenApiV2(openApiV2(this.#catalog.resources));
    return [PROTOBUF, this.#document('v2 protobuf', encode)];
  }

  #v3(path: string): Document | undefined {
    if (path === '/openapi/v3') return this.#document('v3', () => JSON.stringify({ paths: this.#v3Paths() }));
    const groupVersion = path.slice('/openapi/v3/'.length).replace(/^apis?\//, '');
    const resources = this.#catalog.resources.filter(
      (resource) => joinGroupVersion(resource) === groupVersion,
    );
    if (resources.length === 0) return undefined;
    return this.#document(groupVersion, () => JSON.stringify(openApiV3(groupVersion, resources)));
  }

  /** Clients keep a document for as long as the hash in its address stays. */
  #v3Paths(): Record<string, { serverRelativeURL: string }> {
    const versions = new Set(this.#catalog.resources.map(joinGroupVersion));
    return Object.fromEntries(
      [...versions].map((groupVersion) => {
        const path = groupVersion.includes('/') ? `apis/${groupVersion}` : `api/${groupVersion}`;
        const { hash } = this.#v3(`/openapi/v3/${path}`)!;
        return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }];
      }),
    );
  }

  #document(name: string, make: () => string | Buffer): Document {
    const known = this.#documents.get(name);
    if (known) return known;
    const bytes = Buffer.from(make());
    const document = { bytes, hash: createHash('sha256').update(bytes).digest('hex').toUpperCase() };
    this.#documents.set(name, document);
    return document;
  }
}
