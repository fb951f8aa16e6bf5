/** The health checks that load balancers ask a node's service proxy for. */
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { parseIp } from '@enid/ip';
import { listenTcp, type NetNamespace } from '@enid/linux';
import type { HealthCheck, Problem } from './model.ts';

/** Whether the proxy itself does its work. */
export type ProxyHealth = {
  /** Rules are in force, and no change waits for too long. */
  readonly healthy: boolean;
  /** No change waits for too long: a restart would help as little as before the first one. */
  readonly alive: boolean;
  /** Whether load balancers may send the node new connections: not to one that is about to go. */
  readonly nodeEligible: boolean;
  /** In milliseconds since 1970; 0: never. */
  readonly lastUpdated: number;
};

export type ProxyHealthOptions = {
  readonly ns: NetNamespace;
  readonly port: number;
  readonly families: readonly (4 | 6)[];
  readonly health: () => ProxyHealth;
  /** Told of each answer. */
  readonly onAnswer: (path: 'healthz' | 'livez', status: number) => void;
};

/**
 * Serves HTTP on all addresses of a namespace.
 * @throws {SyscallError} EADDRINUSE when somebody has the port.
 */
async function serve(
  ns: NetNamespace,
  port: number,
  families: readonly (4 | 6)[],
  answer: RequestListener,
): Promise<AsyncDisposable> {
  const servers: Server[] = [];
  const close = async () => {
    const closed = servers.map((server) => new Promise((resolve) => server.close(resolve)));
    for (const server of servers) server.closeAllConnections();
    await Promise.all(closed);
  };
  try {
    for (const family of families) {
      const fd = listenTcp(ns, parseIp(family === 4 ? '0.0.0.0' : '::'), port);
      servers.push(createServer(answer).listen({ fd }));
      await once(servers.at(-1)!, 'listening');
    }
  } catch (error) {
    // In all families or in none: what is half served would be in its own way at the next attempt.
    await close();
    throw error;
  }
  return { [Symbol.asyncDispose]: close };
}

const asJson = (value: unknown) => `${JSON.stringify(value)}\n`;

/**
 * `/healthz` and `/livez` of the proxy, as kube-proxy answers them on port 10256: the first is what load balancers ask, the second
 * says nothing of the node.
 */
export function serveProxyHealth({
  ns,
  port,
  families,
  health,
  onAnswer,
}: ProxyHealthOptions): Promise<AsyncDisposable> {
  return serve(ns, port, families, (request, response) => {
    const path = new URL(request.url ?? '/', 'http://host').pathname.slice(1);
    if (path !== 'healthz' && path !== 'livez') return void response.writeHead(404).end();
    const { healthy, alive, nodeEligible, lastUpdated } = health();
    const fine = path === 'livez' ? alive : healthy && nodeEligible;
    const status = fine ? 200 : 503;
    const now = Date.now();
    onAnswer(path, status);
    response
      .writeHead(status, { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' })
      .end(
        asJson({
          // All is as of now where nothing waits, however long ago there was something to do.
          lastUpdated: new Date(fine ? now : lastUpdated).toISOString(),
          currentTime: new Date(now).toISOString(),
          ...(path === 'healthz' && { nodeEligible }),
        }),
      );
  });
}

/** A server on each healthCheckNodePort, which tells whether a Service has ready endpoints on this node. */
export class HealthChecks implements AsyncDisposable {
  readonly #ns: NetNamespace;
  readonly #families: readonly (4 | 6)[];
  readonly #health: () => ProxyHealth;
  readonly #servers = new Map<number, AsyncDisposable>();
  #checks = new Map<number, HealthCheck>();

  constructor(ns: NetNamespace, families: readonly (4 | 6)[], health: () => ProxyHealth) {
    this.#ns = ns;
    this.#families = families;
    this.#health = health;
  }

  /** Serves these checks and no others. @returns what is wrong: one of them never keeps the others from being served. */
  async set(checks: readonly HealthCheck[]): Promise<Problem[]> {
    this.#checks = new Map(checks.map((check) => [check.port, check]));
    const problems: Problem[] = [];
    for (const [port, server] of this.#servers) {
      if (this.#checks.has(port)) continue;
      this.#servers.delete(port);
      await server[Symbol.asyncDispose]();
    }
    for (const { port, namespace, name } of this.#checks.values()) {
      if (this.#servers.has(port)) continue;
      try {
        this.#servers.set(port, await serve(this.#ns, port, this.#families, this.#answer(port)));
      } catch (error) {
        problems.push({
          service: `${namespace}/${name}`,
          reason: 'HealthCheckNodePortUnavailable',
          message: `healthCheckNodePort ${port} cannot be served, so load balancers will pass this node by: ${(error as Error).message}`,
        });
      }
    }
    return problems;
  }

  #answer(port: number): RequestListener {
    return (_request, response) => {
      const check = this.#checks.get(port);
      if (!check) return void response.writeHead(404).end();
      const { namespace, name, localEndpoints } = check;
      const { healthy } = this.#health();
      response
        .writeHead(healthy && localEndpoints > 0 ? 200 : 503, {
          'content-type': 'application/json',
          'x-content-type-options': 'nosniff',
          'x-load-balancing-endpoint-weight': String(localEndpoints),
        })
        .end(asJson({ service: { namespace, name }, localEndpoints, serviceProxyHealthy: healthy }));
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.set([]);
  }
}
