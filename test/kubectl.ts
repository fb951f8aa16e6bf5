import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { KUBECTLS } from '../packages/lab/src/base/kubectl.fixture.ts';

const run = promisify(execFile);

/** Where kubectl keeps what an API has told it, as long as this process. */
const HOME = mkdtempSync(join(tmpdir(), 'enid-kubectl-'));
process.once('exit', () => rmSync(HOME, { recursive: true, force: true }));

/** A kubectl with a cluster to talk to. */
export class Kubectl {
  readonly path: string;
  /** `1.33`. */
  readonly version: string;
  readonly #kubeconfig: string;

  constructor(path: string, kubeconfig: string) {
    this.path = path;
    this.#kubeconfig = kubeconfig;
    const { clientVersion } = JSON.parse(
      execFileSync(path, ['version', '--client', '-o', 'json'], { encoding: 'utf8' }),
    );
    this.version = `${clientVersion.major}.${Number.parseInt(clientVersion.minor, 10)}`;
  }

  get env(): NodeJS.ProcessEnv {
    return { ...process.env, KUBECONFIG: this.#kubeconfig, HOME };
  }

  /** Runs a command to its end. @returns what it prints. @throws with what it complains of. */
  async run(...args: string[]): Promise<string> {
    const { stdout } = await run(this.path, args, { env: this.env, maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  }

  /** The same with an input. @returns both of what it prints and how it ends. */
  async with(
    input: string,
    ...args: string[]
  ): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const child = this.start(...args);
    const output = collect(child);
    child.stdin!.end(input);
    return output;
  }

  /** How a command fails. */
  async refusal(...args: string[]): Promise<string> {
    const { status, stderr } = await this.with('', ...args);
    if (status === 0) throw new Error(`kubectl ${args.join(' ')} did not fail`);
    return stderr;
  }

  start(...args: string[]): ChildProcess {
    return spawn(this.path, args, { env: this.env, stdio: 'pipe' });
  }
}

function collect(child: ChildProcess): Promise<{ status: number | null; stdout: string; stderr: string }> {
  let stdout = '';
  let stderr = '';
  child.stdout!.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, stdout, stderr }));
  });
}

/** A client for each kubectl that tests are run with. */
export async function kubectls(kubeconfig: string): Promise<Kubectl[]> {
  const paths = await Promise.all(Object.values(KUBECTLS).map((find) => find()));
  return paths.map((path) => new Kubectl(path, kubeconfig));
}
