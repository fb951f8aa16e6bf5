import type { ClientRequest, IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { createInterface } from 'node:readline';
import type { TestApiServer } from '../apiserver.fixture.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests look into whatever a server answers.
export type WatchEvent = { readonly type: string; readonly object: any };

/** A watch of a test over a connection of its own. */
export class TestWatch {
  readonly response: IncomingMessage;
  readonly #request: ClientRequest;
  readonly #lines: AsyncIterator<string>;

  constructor(request: ClientRequest, response: IncomingMessage) {
    this.#request = request;
    this.response = response;
    response.on('error', () => {});
    this.#lines = createInterface(response)[Symbol.asyncIterator]();
  }

  /** The next event; undefined when the stream has ended. */
  async next(): Promise<WatchEvent | undefined> {
    const { value, done } = await this.#lines.next();
    return done ? undefined : (JSON.parse(value) as WatchEvent);
  }

  /** As many events, in short: `ADDED a`. */
  async take(count: number): Promise<string[]> {
    const taken: string[] = [];
    while (taken.length < count) {
      const event = await this.next();
      taken.push(event ? `${event.type} ${event.object.metadata.name ?? ''}`.trim() : 'END');
    }
    return taken;
  }

  stop(): void {
    this.#request.destroy();
  }
}

/** Opens a watch: `openWatch(server, '/api/v1/configmaps?resourceVersion=5')`. */
export function openWatch(
  { url, agent }: TestApiServer,
  path: string,
  headers: Record<string, string> = {},
): Promise<TestWatch> {
  const { ca, cert, key } = agent.options;
  return new Promise((resolve, reject) => {
    const sending = request(`${url}${path}${path.includes('?') ? '&' : '?'}watch=true`, {
      agent: false,
      ca,
      cert,
      key,
      headers,
    });
    sending.on('error', reject);
    sending.once('response', (response) => resolve(new TestWatch(sending, response)));
    sending.end();
  });
}
