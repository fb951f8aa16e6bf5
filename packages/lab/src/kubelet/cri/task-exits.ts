import { fileURLToPath } from 'node:url';
import {
  type Client,
  type ClientReadableStream,
  credentials,
  loadPackageDefinition,
  Metadata,
} from '@grpc/grpc-js';
import { type Deserialize, loadSync } from '@grpc/proto-loader';
import { LOADING } from './client.ts';

const NAMESPACE = 'k8s.io';
const RETRY = 500;

type Envelope = { topic: string; event: { value: Buffer } | null };
type TaskExit = { containerId: string; id: string };
type Events = Client & {
  subscribe(request: { filters: string[] }, metadata: Metadata): ClientReadableStream<Envelope>;
};

/**
 * Tells which containers and sandboxes end, as containerd publishes it: CRI of 1.6 has no events of its own.
 * The CRI's own state follows some milliseconds later, as it learns of it in the same way.
 */
export class TaskExits {
  readonly #client: Events;
  readonly #decode: Deserialize<TaskExit>;
  readonly #seen: (id: string) => void;
  readonly #resubscribed: () => void;
  #stream: ClientReadableStream<Envelope> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * @param seen called with the id of a container or sandbox whose main process ended.
   * @param resubscribed called after a gap in which events may have been missed.
   */
  constructor(socket: string, seen: (id: string) => void, resubscribed: () => void) {
    const file = fileURLToPath(new URL('./containerd-events.proto', import.meta.url));
    const definition = loadSync(file, LOADING);
    const loaded = loadPackageDefinition(definition) as unknown as {
      containerd: {
        services: { events: { v1: { Events: new (address: string, creds: unknown) => Events } } };
      };
    };
    const exit = definition['containerd.services.events.v1.TaskExit'] as unknown as {
      deserialize: Deserialize<TaskExit>;
    };
    this.#decode = exit.deserialize;
    this.#client = new loaded.containerd.services.events.v1.Events(
      `unix:${socket}`,
      credentials.createInsecure(),
    );
    this.#seen = seen;
    this.#resubscribed = resubscribed;
    this.#subscribe();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#stream?.cancel();
    this.#client.close();
  }

  #subscribe(): void {
    const metadata = new Metadata({ waitForReady: true });
    metadata.set('containerd-namespace', NAMESPACE);
    const filters = [`namespace==${NAMESPACE},topic=="/tasks/exit"`];
    const stream = this.#client.subscribe({ filters }, metadata);
    this.#stream = stream;
    stream.on('data', ({ event }: Envelope) => {
      const { containerId, id } = this.#decode(event?.value ?? Buffer.alloc(0));
      if (id === containerId || id === '') this.#seen(containerId);
    });
    stream.on('error', () => {}); // The status tells it too, and is there however the stream ends.
    stream.on('status', () => this.#again());
  }

  #again(): void {
    if (this.#closed) return;
    this.#retry = setTimeout(() => {
      this.#subscribe();
      this.#resubscribed();
    }, RETRY);
  }
}
