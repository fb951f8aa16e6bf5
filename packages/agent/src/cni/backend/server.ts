/**
 * A unix socket on which Amazon's plugin executable, its network policy agent and grpc-health-probe call.
 *
 * The agent listens from the start, and loads gRPC when somebody connects for the first time.
 */
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import type { ConnectionInjector, Server, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import { loadGrpc, loadProto } from '../../grpc/grpc.ts';
import type { Logger } from '../../log.ts';
import { listenOn, removeSocket } from '../../unix-socket.ts';
import type { CniBackend, Reply } from './backend.ts';

/** Where the reason of a refusal is: a trailer of the reply. */
export const REFUSAL_TRAILER = 'enid-refusal';
/** How long a stop waits for calls that are being answered. */
const STOP_WAIT = 2_000;

type Loaded = { readonly server: Server; readonly injector: ConnectionInjector };

export class CniBackendServer implements AsyncDisposable {
  readonly #path: string;
  readonly #backend: CniBackend;
  readonly #log: Logger;
  readonly #listener: NetServer;
  readonly #sockets = new Set<Socket>();
  #grpc: Promise<Loaded> | undefined;

  private constructor(path: string, backend: CniBackend, log: Logger) {
    this.#path = path;
    this.#backend = backend;
    this.#log = log;
    this.#listener = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket));
  }

  /**
   * Listens, with mode 0600.
   * @param variable that sets the path.
   * @throws when Amazon's ipamd or another agent answers there: two must not hand out the same addresses.
   */
  static async listen(
    path: string,
    backend: CniBackend,
    log: Logger,
    variable: 'ENID_IPAMD_SOCKET' | 'ENID_NPA_SOCKET' = 'ENID_IPAMD_SOCKET',
  ): Promise<CniBackendServer> {
    const server = new CniBackendServer(path, backend, log);
    await listenOn(server.#listener, path, variable);
    return server;
  }

  /** Takes the socket away and lets the calls that have begun finish. */
  async close(): Promise<void> {
    await removeSocket(this.#path);
    const closed = new Promise((resolve) => this.#listener.close(resolve));
    const loaded = await this.#grpc?.catch(() => undefined);
    const timer = setTimeout(() => {
      loaded?.server.forceShutdown();
      for (const socket of this.#sockets) socket.destroy();
    }, STOP_WAIT);
    await new Promise<void>((resolve) => (loaded ? loaded.server.tryShutdown(() => resolve()) : resolve()));
    await closed;
    clearTimeout(timer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {}); // The caller was killed.
    this.#grpc ??= this.#load();
    this.#grpc.then(
      ({ injector }) => {
        injector.injectConnection(socket);
        socket.resume(); // Not earlier: what is read before HTTP/2 has the socket is lost.
      },
      (error: unknown) => {
        this.#grpc = undefined;
        this.#log.error({ err: error }, 'gRPC cannot be served');
        socket.destroy();
      },
    );
  }

  async #load(): Promise<Loaded> {
    const backend = this.#backend;
    const [grpc, rpc, health] = await Promise.all([
      loadGrpc(),
      loadProto(import.meta.dirname, 'rpc.proto'),
      loadProto(import.meta.dirname, 'health.proto'),
    ]);
    const { Metadata, status } = grpc;
    /** A handler that answers with what `handle` returns. */
    const unary =
      <Q>(handle: (request: Q) => Promise<Reply> | Reply) =>
      async ({ request }: ServerUnaryCall<Q, object>, answer: sendUnaryData<object>) => {
        try {
          const { message, refusal } = await handle(request);
          const trailer = new Metadata();
          if (refusal) trailer.set(REFUSAL_TRAILER, refusal.replace(/[^\x20-\x7e]/g, '?'));
          answer(null, message, trailer);
        } catch (error) {
          this.#log.error({ err: error }, 'a call of the plugin executable failed');
          answer({ code: status.INTERNAL, details: (error as Error).message });
        }
      };
    const server = new grpc.Server({ 'grpc.enable_channelz': 0 });
    server.addService(rpc['rpc.CNIBackend']!, {
      AddNetwork: unary(backend.addNetwork.bind(backend)),
      DelNetwork: unary(backend.delNetwork.bind(backend)),
    });
    server.addService(rpc['rpc.NPBackend']!, {
      EnforceNpToPod: unary(backend.enforceNpToPod.bind(backend)),
      DeletePodNp: unary(() => backend.deletePodNp()),
    });
    server.addService(rpc['rpc.ConfigServerBackend']!, {
      GetNetworkPolicyConfigs: unary(() => backend.getNetworkPolicyConfigs()),
    });
    server.addService(health['grpc.health.v1.Health']!, {
      Check: ({ request }: ServerUnaryCall<{ service: string }, object>, answer: sendUnaryData<object>) => {
        const serving = backend.check(request.service);
        if (serving) answer(null, { status: serving });
        else answer({ code: status.NOT_FOUND, details: `the service "${request.service}" is not known` });
      },
    });
    const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
    return { server, injector };
  }
}
