/** kubectl against a server of its own: a recent one, and the oldest that can be met (1.20), which asks in other ways. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { KUBECTLS } from '../../base/kubectl.fixture.ts';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';

type Arguments = string | readonly string[];
type Ended = { readonly code: number; readonly out: string; readonly error: string };

/** Runs tests with each kubectl. */
export function forEachKubectl(tests: (of: Kubectl) => void): void {
  for (const [name, find] of Object.entries(KUBECTLS)) {
    describe(name, () => {
      const kubectl = new Kubectl();
      before(() => kubectl.start(find));
      after(() => kubectl.stop());
      tests(kubectl);
    });
  }
}

export class Kubectl {
  readonly #directory = mkdtempSync(join(tmpdir(), 'enid-kubectl-'));
  #binary: string | undefined;
  #server: TestApiServer | undefined;
  /** 20 of 1.20. */
  minor = 0;

  get server(): TestApiServer {
    return this.#server!;
  }

  async start(find: () => Promise<string>): Promise<void> {
    this.#binary = await find();
    this.#server = await startTestApiServer();
    writeFileSync(join(this.#directory, 'config'), this.server.kubeConfig.exportConfig());
    await this.server.must('POST /api/v1/namespaces/default/serviceaccounts', {
      metadata: { name: 'default' },
    });
    await this.server.must('POST /api/v1/nodes', {
      metadata: { name: 'n1', labels: { 'node-role.kubernetes.io/worker': '' } },
      status: {
        conditions: [{ type: 'Ready', status: 'True' }],
        nodeInfo: {
          kubeletVersion: 'v1.33.5',
          osImage: 'Debian',
          kernelVersion: '6',
          containerRuntimeVersion: 'c://1',
        },
        addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
      },
    });
    this.minor = Number.parseInt(
      JSON.parse(await this.k('version --client -o json')).clientVersion.minor,
      10,
    );
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    rmSync(this.#directory, { recursive: true });
  }

  /** A test. @param least of its minor versions that can do it. */
  readonly check = (title: string, body: () => Promise<void>, least = 0): void => {
    test(title, async (t) => {
      if (this.minor < least) return t.skip(`kubectl 1.${this.minor} cannot do that`);
      await body();
    });
  };

  /** Begins a command. A text is its arguments, separated by spaces. */
  spawn(args: Arguments, env: NodeJS.ProcessEnv = {}): ChildProcess {
    const home = { HOME: this.#directory, KUBECONFIG: join(this.#directory, 'config') };
    return spawn(this.#binary!, typeof args === 'string' ? args.split(' ') : args, {
      env: { PATH: process.env.PATH, ...home, ...env },
      timeout: 60_000,
    });
  }

  /** Runs a command. @param input what it reads. */
  readonly run = (args: Arguments, input?: string, env?: NodeJS.ProcessEnv): Promise<Ended> => {
    const child = this.spawn(args, env);
    child.stdin!.on('error', () => {});
    child.stdin!.end(input);
    return ended(child);
  };

  /** Runs a command that must succeed. @returns what it writes. */
  readonly k = async (args: Arguments, input?: string, env?: NodeJS.ProcessEnv): Promise<string> => {
    const { code, out, error } = await this.run(args, input, env);
    assert.equal(code, 0, `kubectl ${args}: ${error}${out}`);
    return out;
  };

  /** Runs a command that must fail. @returns what it complains of. */
  readonly fails = async (args: Arguments, input?: string): Promise<string> => {
    const { code, out, error } = await this.run(args, input);
    assert.notEqual(code, 0, `kubectl ${args}: ${out}`);
    return error;
  };

  /** Begins a command that watches, and returns when it does. */
  async watching(args: Arguments): Promise<{ readonly ended: Promise<Ended> }> {
    const child = this.spawn([...(typeof args === 'string' ? args.split(' ') : args), '-v=6']);
    child.stdin!.end();
    const all = ended(child);
    await new Promise<void>((resolve) => {
      let told = '';
      child.stderr!.on('data', (chunk) => {
        told += chunk;
        if (/watch=true/.test(told)) resolve();
      });
      child.once('close', () => resolve());
    });
    return { ended: all };
  }
}

function ended(child: ChildProcess): Promise<Ended> {
  return new Promise((resolve, reject) => {
    let [out, error] = ['', ''];
    child.stdout!.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr!.on('data', (chunk) => {
      error += chunk;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? -1, out, error }));
  });
}
