import { readFile } from 'node:fs/promises';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

/** How to reach the Kubernetes API. */
export type ApiAccess = {
  /** `https://10.100.0.1:443` */
  readonly server: string;
  /** The authority that its certificate is from. */
  readonly ca?: string;
  /** The file that has the token, which is read for each request: tokens are renewed. */
  readonly tokenFile?: string;
};

type ApiObject = {
  readonly metadata: { name: string; namespace?: string; uid?: string; resourceVersion?: string };
};
type WatchEvent<T> = { readonly type: string; readonly object: T };

/** The server said no; 410 means that its history does not go back that far. */
class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const GONE = 410;
/** How long one watch is asked for, in seconds; the server ends it then. */
const WATCH_SECONDS = 300;
/** How long the API server may take to begin an answer, in milliseconds. */
const ANSWER_TIMEOUT = 30_000;
const SHORTEST_PAUSE = 200;
const LONGEST_PAUSE = 5_000;

/**
 * Keeps a copy of all objects of one kind: lists them, then follows their changes, and lists again when that is
 * what it takes. While the server cannot be reached the copy stays as it was.
 */
export class Reflector<T extends ApiObject> {
  readonly #access: ApiAccess;
  readonly #path: string;
  readonly #changed: () => void;
  #objects: Map<string, T> | undefined;
  /** The version to watch from; undefined when the objects have to be listed. */
  #version: string | undefined;

  /**
   * @param path `/api/v1/services`
   * @param changed called after each change.
   */
  constructor(access: ApiAccess, path: string, changed: () => void) {
    this.#access = access;
    this.#path = path;
    this.#changed = changed;
  }

  /** The objects as far as they are known; undefined before the first list. */
  get objects(): Iterable<T> | undefined {
    return this.#objects?.values();
  }

  /** Runs until the signal. A failure is logged when it begins, and not again before the next list. */
  async run(signal: AbortSignal): Promise<void> {
    let pause = SHORTEST_PAUSE;
    let failing = false;
    while (!signal.aborted) {
      try {
        if (this.#version === undefined) await this.#list(signal);
        failing = false;
        pause = SHORTEST_PAUSE;
        await this.#watch(signal);
        await sleep(SHORTEST_PAUSE, undefined, { signal }).catch(() => {});
      } catch (error) {
        if (signal.aborted) return;
        // A watch that broke off goes on where it was, unless the server says that it cannot.
        if (error instanceof ApiError) this.#version = undefined;
        if (!failing && (error as ApiError).status !== GONE)
          console.error(`[WARNING] ${this.#path}: ${(error as Error).message}`);
        failing = true;
        await sleep(pause * (0.5 + Math.random()), undefined, { signal }).catch(() => {});
        pause = Math.min(pause * 2, LONGEST_PAUSE);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of await this.#get('', signal)) chunks.push(chunk as Buffer);
    const list = JSON.parse(Buffer.concat(chunks).toString()) as {
      metadata: { resourceVersion: string };
      items?: T[];
    };
    this.#objects = new Map((list.items ?? []).map((object) => [keyOf(object), slim(object)]));
    this.#version = list.metadata.resourceVersion;
    this.#changed();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const query = `?watch=1&allowWatchBookmarks=true&timeoutSeconds=${WATCH_SECONDS}&resourceVersion=${this.#version}`;
    const response = await this.#get(query, signal);
    // The server ends it before that, or the connection is dead.
    response.socket.setTimeout((WATCH_SECONDS + 30) * 1000, () =>
      response.destroy(new Error('the watch is silent')),
    );
    for await (const { type, object } of eventsOf<WatchEvent<T>>(response)) {
      if (type === 'ERROR') {
        const { code, message } = object as unknown as { code?: number; message?: string };
        throw new ApiError(code ?? 500, message ?? 'the watch ended with an error');
      }
      this.#version = object.metadata.resourceVersion ?? this.#version;
      if (type === 'BOOKMARK') continue;
      if (type === 'DELETED') this.#objects!.delete(keyOf(object));
      else this.#objects!.set(keyOf(object), slim(object));
      this.#changed();
    }
  }

  async #get(query: string, signal: AbortSignal): Promise<IncomingMessage> {
    const { server, ca, tokenFile } = this.#access;
    const token = tokenFile && (await readFile(tokenFile, 'utf8')).trim();
    const url = new URL(this.#path + query, server);
    const request = url.protocol === 'https:' ? requestHttps : requestHttp;
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const options = {
        signal,
        headers: { accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
        ...(ca !== undefined && { ca }),
      };
      const sent = request(url, options, resolve);
      sent.on('error', reject);
      sent.setTimeout(ANSWER_TIMEOUT, () => sent.destroy(new Error('the API server does not answer')));
      sent.end();
    });
    if (response.statusCode === 200) return response;
    response.resume();
    throw new ApiError(
      response.statusCode ?? 0,
      `the API server answers ${response.statusCode} ${response.statusMessage}`,
    );
  }
}

/** What is not needed for names is most of an object. */
function slim<T extends ApiObject>(object: T): T {
  const { managedFields: _, annotations: __, ...metadata } = object.metadata as Record<string, unknown>;
  return { ...object, metadata, status: undefined };
}

function keyOf({ metadata }: ApiObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

/** JSON values, a line each. */
async function* eventsOf<E>(response: IncomingMessage): AsyncGenerator<E> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as E;
  }
}
