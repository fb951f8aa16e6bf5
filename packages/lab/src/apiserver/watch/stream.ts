import type { ServerResponse } from 'node:http';
import type { Fields } from '../object.ts';
import type { History } from '../storage/history.ts';
import type { Change, Watch } from './watch.ts';

/** How often a client that wants bookmarks gets one, in milliseconds. */
const BOOKMARK_INTERVAL = 60_000;

export type StreamOptions = {
  readonly history: History;
  readonly watch: Watch;
  /** How a change is shown. */
  readonly show: (change: Change) => unknown;
  /** The object of a bookmark of what has been told; undefined when the client wants none. */
  readonly bookmark: ((annotations?: Record<string, string>) => Fields) | undefined;
  /** Whether the client has asked for a mark where the initial events end. */
  readonly markInitialEnd: boolean;
  /** After which the stream ends, in milliseconds. */
  readonly timeout: number;
};

/**
 * Tells a client what a watch has to tell until the client leaves or the time is over. Nothing is put before a client that
 * does not read: it goes on where it was when it reads again, and is cut off when that has been forgotten.
 */
export function streamWatch(response: ServerResponse, options: StreamOptions): void {
  const { history, watch, show } = options;
  let blocked = false;

  const send = (type: string, object: unknown) => {
    if (!response.write(`${JSON.stringify({ type, object })}\n`)) blocked = true;
  };
  const bookmark = (annotations?: Record<string, string>) => {
    if (options.bookmark) send('BOOKMARK', options.bookmark(annotations));
  };
  const pump = () => {
    while (!blocked && !response.destroyed) {
      const begun = watch.begun;
      const change = watch.next();
      if (change) send(change.type, show(change));
      else if (begun) return;
      else if (options.markInitialEnd) bookmark({ 'k8s.io/initial-events-end': 'true' });
    }
  };
  const onChange = () => {
    if (!watch.lost) return pump();
    // It resumes from what it has read, and hears then that this is too old.
    response.destroy();
    stop();
  };
  const onDrain = () => {
    blocked = false;
    pump();
  };

  const unsubscribe = history.subscribe(onChange);
  const bookmarks = setInterval(() => {
    if (!blocked && watch.begun) bookmark();
  }, BOOKMARK_INTERVAL);
  const end = setTimeout(() => {
    if (!blocked && watch.begun) bookmark();
    response.end();
    stop();
  }, options.timeout);
  const stop = () => {
    unsubscribe();
    clearInterval(bookmarks);
    clearTimeout(end);
    response.off('drain', onDrain);
  };
  response.on('drain', onDrain);
  response.once('close', stop);

  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private' });
  response.flushHeaders();
  pump();
}
