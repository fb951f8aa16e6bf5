/** A fabric of a test's own, and real programs on its machines. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Ip } from '@enid/ip';
import { listenTcp, NetNamespace } from '@enid/linux';
import { collect, type Output } from '../base/output.ts';
import type { CloudState } from '../cloud/state.ts';
import { instanceId, VPC } from './cloud.fixture.ts';
import { Fabric } from './fabric.ts';
import { instanceNamespaceName, internetNamespaceName, vpcNamespaceName } from './names.ts';
import { DROP_REASONS, type DropReason } from './vpc.ts';

let count = 0;

/** The number of an instance of the test cloud, or one of the namespaces that there is one of. */
export type Where = number | 'vpc' | 'internet';

/** Who answered a request and who asked, as each saw the other. */
export type Answer = {
  server: { name: string; address: string; port: number };
  client: { address: string; port: number };
};

export class TestLab implements AsyncDisposable {
  readonly prefix = `enidtest${process.pid}x${++count}`;
  fabric = new Fabric({ prefix: this.prefix });
  state: CloudState;
  readonly #cleanup = new AsyncDisposableStack();

  private constructor(state: CloudState) {
    this.state = state;
  }

  static async start(state: CloudState): Promise<TestLab> {
    const lab = new TestLab(state);
    await lab.fabric.sync(state);
    return lab;
  }

  /** Puts another state in force. */
  async become(state: CloudState): Promise<void> {
    this.state = state;
    await this.fabric.sync(state);
  }

  nameOf(where: Where): string {
    if (where === 'vpc') return vpcNamespaceName(this.prefix, VPC);
    if (where === 'internet') return internetNamespaceName(this.prefix);
    return instanceNamespaceName(this.prefix, instanceId(where));
  }

  open(where: Where): NetNamespace {
    return NetNamespace.named(this.nameOf(where));
  }

  /** Starts a program in a namespace; it is killed with the lab, and so is what it started. */
  spawn(where: Where, ...[file, ...args]: [string, ...string[]]): ChildProcess {
    using ns = this.open(where);
    const child = ns.run(() => spawn(file, args, { stdio: 'pipe', detached: true }));
    this.#cleanup.defer(() => {
      if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGKILL');
    });
    return child;
  }

  async run(where: Where, ...command: [string, ...string[]]): Promise<Output> {
    return await collect(this.spawn(where, ...command));
  }

  /** Runs ip(8), which has to succeed. @returns what it prints as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever iproute2 prints
  async ip(where: Where, ...args: string[]): Promise<any> {
    const { status, stdout, stderr } = await this.run(where, 'ip', '-json', ...args);
    assert.equal(status, 0, `ip ${args.join(' ')}: ${stderr}`);
    return stdout.trim() === '' ? [] : JSON.parse(stdout);
  }

  /** Pings once. @returns whether the answer came. */
  async pings(from: Where, to: string, ...options: string[]): Promise<boolean> {
    return (await this.run(from, 'ping', '-n', '-c1', '-W1', ...options, to)).status === 0;
  }

  /** Serves HTTP in a namespace, telling who answers and who asks. */
  async serve(where: Where, address: string, port = 80, ttl?: number): Promise<void> {
    using ns = this.open(where);
    const server = createServer(({ socket }, response) => {
      const { localAddress, localPort, remoteAddress, remotePort } = socket;
      response.end(
        JSON.stringify({
          server: { name: String(where), address: localAddress, port: localPort },
          client: { address: remoteAddress, port: remotePort },
        }),
      );
    });
    server.listen({ fd: listenTcp(ns, address as Ip, port, ttl === undefined ? {} : { ttl }) });
    await once(server, 'listening');
    this.#cleanup.defer(() => {
      server.closeAllConnections();
      server.close();
    });
  }

  /** Asks an HTTP server. @returns undefined when it does not answer in time. */
  async get(from: Where, address: string, port = 80, ...options: string[]): Promise<Answer | undefined> {
    const url = `http://${address}:${port}/`;
    const { status, stdout } = await this.run(from, 'curl', '-sS', '--max-time', '1', ...options, url);
    return status === 0 ? JSON.parse(stdout) : undefined;
  }

  /** Runs `fn`, during which the VPC drops packets for this reason and for no other. */
  async drops<T>(reason: DropReason, fn: () => Promise<T>): Promise<T> {
    const before = await this.fabric.drops(VPC);
    const result = await fn();
    const after = await this.fabric.drops(VPC);
    const counted = DROP_REASONS.filter((each) => after![each].packets > before![each].packets);
    assert.deepEqual(counted, [reason]);
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup.disposeAsync();
    await this.fabric.remove();
  }
}
