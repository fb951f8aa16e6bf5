import type { ServerResponse } from 'node:http';
import type { Fields } from '../object.ts';
import type { History } from '../storage/history.ts';
import { runNot, runSoon } from './rounds.ts';
import type { Change, Watch } from './watch.ts';

/** How often a client that wants bookmarks gets one, in milliseconds. */
const BOOKMARK_INTERVAL = 60_000;
/** What is written at a time, in characters. */
const CHUNK = 32 * 1024;

export type StreamOptions = {
  readonly history: History;
  readonly watch: Watch;
  /** The JSON of a change's object, as it is shown. */
  readonly show: (change: Change) => string;
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

  let pending = '';
  const flush = () => {
    // Without cork: that would say yes to every write, however much the connection has still to take.
    if (pending !== '' && !response.write(pending)) blocked = true;
    pending = '';
  };
  const send = (type: string, object: string) => {
    pending += `{"type":"${type}","object":${object}}\n`;
    if (pending.length >= CHUNK) flush();
  };
  const bookmark = (annotations?: Record<string, string>) => {
    if (options.bookmark) send('BOOKMARK', JSON.stringify(options.bookmark(annotations)));
  };
  const pump = () => {
    // Who has missed something hears that when it resumes from what it has read: that this is too old.
    if (watch.lost) response.destroy();
    while (!blocked && !response.destroyed) {
      const begun = watch.begun;
      const change = watch.next();
      if (change) send(change.type, show(change));
      else if (begun) break;
      else if (options.markInitialEnd) bookmark({ 'k8s.io/initial-events-end': 'true' });
    }
    flush();
  };
  const onChange = () => runSoon(pump);
  const onDrain = () => {
    blocked = false;
    pump();
  };

  const unsubscribe = history.subscribe(onChange);
  const bookmarks = setInterval(() => {
    if (blocked || !watch.begun) return;
    bookmark();
    flush();
  }, BOOKMARK_INTERVAL);
  const end = setTimeout(() => {
    if (!blocked && watch.begun) bookmark();
    flush();
    response.end();
    stop();
  }, options.timeout);
  const stop = () => {
    unsubscribe();
    runNot(pump);
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
