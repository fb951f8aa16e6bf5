import { isNamespaceTerminating, isNotFound } from './api-error.ts';
import type { KubeClient } from './client.ts';
import { type Clock, systemClock, timestamp } from './clock.ts';
import type { CoreEvent, KubeObject } from './wire.ts';

export type EventRecorderOptions = {
  readonly client: KubeClient;
  /** Who tells: `default-scheduler`, `kubelet`, `deployment-controller` ... */
  readonly component: string;
  /** The node that it is told on. */
  readonly host?: string;
  readonly onError?: (error: Error) => void;
  readonly clock?: Clock;
};

/** What an event is about. Objects from lists do not say what they are, so it must be said here. */
export type About = KubeObject & { readonly apiVersion: string; readonly kind: string };

type Series = {
  readonly event: CoreEvent;
  readonly path: string;
  first: number;
  last: number;
  count: number;
  written: number;
  flushing: Promise<void> | undefined;
};

/** After so long without a repetition, the same is told as a new event, in milliseconds. */
const SERIES_LIFETIME = 10 * 60_000;
const MOST_SERIES = 4096;

/**
 * Tells users what happened, in Events (core/v1). The same again about the same object counts up one Event, as client-go
 * does. It never throws nor makes its caller wait.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #series = new Map<string, Series>();

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  event(about: About, type: 'Normal' | 'Warning', reason: string, message: string, fieldPath?: string): void {
    const { name, namespace, uid } = about.metadata ?? {};
    const key = JSON.stringify([about.kind, namespace, name, uid, fieldPath, type, reason, message]);
    const now = this.#clock.now();
    let series = this.#series.get(key);
    if (!series || now - series.last > SERIES_LIFETIME) {
      series = this.#begin(about, type, reason, message, fieldPath);
    }
    series.count++;
    series.last = now;
    // The order of a Map is by insertion: the longest unused is first.
    this.#series.delete(key);
    this.#series.set(key, series);
    if (this.#series.size > MOST_SERIES) this.#series.delete(this.#series.keys().next().value!);
    series.flushing ??= this.#flush(series);
  }

  /** Waits until all has been written. */
  async close(): Promise<void> {
    await Promise.all([...this.#series.values()].map((series) => series.flushing));
  }

  #begin(about: About, type: string, reason: string, message: string, fieldPath?: string): Series {
    const { component, host } = this.#options;
    const { name, namespace = 'default', uid, resourceVersion } = about.metadata ?? {};
    const now = this.#clock.now();
    const { apiVersion, kind } = about;
    const event: CoreEvent = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: eventName(name!, now), namespace },
      involvedObject: {
        apiVersion,
        kind,
        name,
        namespace: about.metadata?.namespace,
        uid,
        resourceVersion,
        fieldPath,
      },
      type,
      reason,
      message: message.slice(0, 1024),
      source: { component, host },
      reportingComponent: component,
      reportingInstance: host ?? '',
    };
    const path = `/api/v1/namespaces/${namespace}/events`;
    return { event, path, first: now, last: now, count: 0, written: 0, flushing: undefined };
  }

  /** Writes until what was written is what there is to tell. */
  async #flush(series: Series): Promise<void> {
    const { client, onError } = this.#options;
    try {
      while (series.written < series.count) {
        const { count } = series;
        await writeSeries(client, series);
        series.written = count;
      }
    } catch (error) {
      if (!isNamespaceTerminating(error) && !isNotFound(error)) onError?.(error as Error);
    } finally {
      series.flushing = undefined;
    }
  }
}

async function writeSeries(client: KubeClient, series: Series): Promise<void> {
  const { event, path, count } = series;
  const lastTimestamp = timestamp(series.last);
  if (series.written > 0) {
    try {
      await client.patch(`${path}/${event.metadata.name}`, { count, lastTimestamp });
      return;
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  await client.create<CoreEvent>(path, {
    ...event,
    count,
    firstTimestamp: timestamp(series.first),
    lastTimestamp,
  });
}

let last = 0n;

/** As client-go names events: the object and a time in nanoseconds, which no two of a process share. */
function eventName(name: string, now: number): string {
  const nanoseconds = BigInt(now) * 1_000_000n;
  last = nanoseconds > last ? nanoseconds : last + 1n;
  return `${name}.${last.toString(16)}`;
}
