/** For tests: the service module as a process in the node of a bed, which an API server there tells what to do. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseIp } from '@enid/ip';
import { WatchedApi } from '@enid/kube/testing';
import { listenTcp } from '@enid/linux';
import type { EndpointSlice, Service } from './kubernetes.ts';
import { type Bed, NODE } from './testbed.ts';

const ENID = new URL('../../../cli/src/main.ts', import.meta.url).pathname;
const PATHS = {
  nodes: '/api/v1/nodes',
  services: '/api/v1/services',
  slices: '/apis/discovery.k8s.io/v1/endpointslices',
  events: '/api/v1/events',
};

type Event = { readonly reason: string; readonly involvedObject: { readonly kind: string } };

export class AgentBed implements AsyncDisposable {
  readonly #bed: Bed;
  readonly #api = new WatchedApi();
  readonly #folder = mkdtempSync(join(tmpdir(), 'enid-services-'));
  #process: ChildProcess | undefined;
  #log = '';

  private constructor(bed: Bed) {
    this.#bed = bed;
  }

  /** With an API server that has nothing but the node. */
  static async open(bed: Bed): Promise<AgentBed> {
    const agents = new AgentBed(bed);
    await agents.#api.start({ fd: listenTcp(bed.node, parseIp('127.0.0.1'), 6443) });
    agents.#api.put(PATHS.nodes, { metadata: { name: NODE.name } });
    const config = {
      'current-context': 'it',
      contexts: [{ name: 'it', context: { cluster: 'it', user: 'it' } }],
      clusters: [{ name: 'it', cluster: { server: 'http://127.0.0.1:6443' } }],
      users: [{ name: 'it', user: {} }],
    };
    writeFileSync(agents.#kubeconfig, JSON.stringify(config));
    return agents;
  }

  get #kubeconfig(): string {
    return join(this.#folder, 'kubeconfig');
  }

  /** What the process has said. */
  get log(): string {
    return this.#log;
  }

  putServices(services: Iterable<Service>): void {
    for (const service of services) this.#api.put(PATHS.services, service as object);
  }

  /** Watches hear of each at once. */
  putSlices(slices: Iterable<EndpointSlice>): void {
    for (const slice of slices) this.#api.put(PATHS.slices, slice as object);
  }

  /** What was told of the node. */
  nodeEvents(): string[] {
    const events = this.#api.list(PATHS.events) as unknown as Event[];
    return events.filter(({ involvedObject }) => involvedObject.kind === 'Node').map(({ reason }) => reason);
  }

  /** Starts the process, and does not wait for anything. */
  start(): void {
    const env = {
      PATH: process.env.PATH,
      KUBECONFIG: this.#kubeconfig,
      MY_NODE_NAME: NODE.name,
      // Nobody, who says so at once.
      AWS_EC2_METADATA_SERVICE_ENDPOINT: 'http://127.0.0.1:1',
    };
    const args = [ENID, 'agent', '--module', 'services'];
    const child = this.#bed.node.run(() => spawn(process.execPath, args, { env, stdio: 'pipe' }));
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#log += text;
      });
    }
    this.#process = child;
  }

  /** Ends the process, and waits for that. The rules stay. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#api[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true });
  }
}
