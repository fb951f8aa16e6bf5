import { mkdirSync } from 'node:fs';
import { NetNamespace } from '@enid/linux';
import type { LabDirectory } from '../base/directory.ts';
import { LabProcesses, release } from '../base/processes.ts';
import type { Host, NodeRecord } from '../base/record.ts';
import { until } from '../base/until.ts';
import { NODE_EC2_ENDPOINT } from '../cloud/node-endpoints.ts';
import { IMDS_ADDRESS } from '../fabric/names.ts';
import { CniRuntime } from './cni-runtime.ts';

/** How long an agent may take until its node is ready, in milliseconds. */
const READY_TIMEOUT = 30_000;

/** One EC2 instance of the lab, with the agent on it. */
export class LabNode {
  readonly record: NodeRecord;
  readonly #directory: LabDirectory;
  readonly #processes: LabProcesses;
  readonly #host: Host;

  constructor(record: NodeRecord, directory: LabDirectory, host: Host) {
    this.record = record;
    this.#directory = directory;
    this.#processes = new LabProcesses(directory);
    this.#host = host;
  }

  get name(): string {
    return this.record.name;
  }

  /** The node's network namespace. Close it after use. */
  openNamespace(): NetNamespace {
    return NetNamespace.named(this.record.namespace);
  }

  get agentPid(): number | undefined {
    return this.#processes.get(this.#agent)?.pid;
  }

  get agentLog(): string {
    return this.#processes.logFile(this.#agent);
  }

  /** Folder of the node's own files: socket, checkpoint, network configuration. */
  file(...parts: string[]): string {
    return this.#directory.file('nodes', this.name, ...parts);
  }

  /**
   * Starts the agent with the environment that its DaemonSet would give it and waits until the node is ready, as a
   * container runtime would know it: a network is configured and its plugin answers STATUS.
   * @param env replaces values of the node's own environment.
   */
  async startAgent(env: Readonly<Record<string, string>> = {}): Promise<void> {
    const confDir = this.file('net.d');
    mkdirSync(confDir, { recursive: true });
    using namespace = this.openNamespace();
    const { child } = this.#processes.start({
      name: this.#agent,
      command: [...this.#host.enid, 'agent'],
      namespace,
      env: {
        PATH: process.env.PATH,
        ...this.cniEnv,
        ...this.#agentEnv(confDir),
        ...this.record.env,
        ...env,
      },
    });
    const fail = (what: string) => {
      throw new Error(`the agent of ${this.name} ${what}:\n${this.#processes.logTail(this.#agent)}`);
    };
    let failure: Error | undefined;
    child.once('error', (error) => {
      failure = error;
    });
    try {
      await until(
        () => {
          if (failure) fail(`could not be started: ${failure.message}`);
          if (child.exitCode !== null || child.signalCode)
            fail(`ended with ${child.signalCode ?? `status ${child.exitCode}`}`);
          return this.cniRuntime().status();
        },
        (reason) => reason === undefined,
        `${this.name} to be ready`,
        READY_TIMEOUT,
      );
    } finally {
      release(child);
    }
  }

  async stopAgent(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.#processes.stop(this.#agent, signal);
  }

  /** A container runtime's view of this node's network. */
  cniRuntime(): CniRuntime {
    return new CniRuntime({
      binPath: this.#host.cniBin,
      confDir: this.file('net.d'),
      env: { PATH: process.env.PATH, ...this.cniEnv },
      namespace: this.record.namespace,
    });
  }

  get #agent(): string {
    return `agent-${this.name}`;
  }

  /** What the CNI executable needs to find this node's agent. */
  get cniEnv(): NodeJS.ProcessEnv {
    return { ENID_CNI_SOCKET: this.file('enid.sock') };
  }

  #agentEnv(confDir: string) {
    return {
      AWS_ENDPOINT_URL_EC2: NODE_EC2_ENDPOINT,
      AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://${IMDS_ADDRESS}`,
      AWS_VPC_K8S_CNI_BACKING_STORE: this.file('ipam.json'),
      AWS_VPC_K8S_CNI_LOG_FILE: 'stdout',
      CLUSTER_NAME: this.#directory.lab,
      HOST_CNI_BIN_PATH: this.#host.cniBin[0],
      HOST_CNI_CONFDIR_PATH: confDir,
      MY_NODE_NAME: this.record.dnsName,
    };
  }
}
