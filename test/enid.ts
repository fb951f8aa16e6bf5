import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { appendFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LabStatus } from '@enid/lab/status';

const enid = fileURLToPath(new URL('../enid', import.meta.url));

export type Result = { status: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string };

export type Started = { child: ChildProcess; result: Promise<Result> };

/** Starts the `enid` command as a user would. */
export const start = (...args: string[]): Started => startWith({}, ...args);

/** The same with more in the environment. */
export function startWith(env: NodeJS.ProcessEnv, ...args: string[]): Started {
  const lab = args[0] === 'demo' ? 'demo' : args[args.indexOf('--name') + 1 || Infinity];
  // What an interrupted run has made is found by the names of its labs, too.
  if (lab && process.env.ENID_TEST_RUN) appendFileSync(join(tmpdir(), 'labs'), `${lab}\n`);
  const child = spawn(enid, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const result = new Promise<Result>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
  return { child, result };
}

/** Runs the `enid` command to its end. */
export function run(...args: string[]): Promise<Result> {
  return start(...args).result;
}

/** The same with more in the environment. */
export const runWith = (env: NodeJS.ProcessEnv, ...args: string[]): Promise<Result> =>
  startWith(env, ...args).result;

/** Brings a lab up, in place of what an earlier run has left. @param args of `enid lab up`. @returns it as it is then. */
export async function labUp(lab: string, ...args: string[]): Promise<LabStatus> {
  await run('lab', 'down', '--name', lab);
  const up = await run('lab', 'up', '--name', lab, ...args);
  assert.equal(up.status, 0, up.stderr);
  return labStatus(lab);
}

/** A lab as it is now. */
export async function labStatus(lab: string): Promise<LabStatus> {
  return JSON.parse((await run('lab', 'status', '--name', lab, '--json')).stdout);
}

/** The ids of the processes that a lab keeps running. */
export function processesOf(lab: string): number[] {
  return readdirSync(`/run/enid/${lab}/processes`).map((file) => processOf(lab, file.replace(/\.json$/, '')));
}

/** The id of one of them, such as `kubelet-node-1`. */
export function processOf(lab: string, name: string): number {
  return JSON.parse(readFileSync(`/run/enid/${lab}/processes/${name}.json`, 'utf8')).pid;
}

/** What a lab of this name has on the machine: it is all gone when the list is empty. */
export function tracesOf(lab: string): string[] {
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  const processes = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((pid) => {
      try {
        return `${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}${readFileSync(`/proc/${pid}/environ`, 'utf8')}`;
      } catch {
        return '';
      }
    });
  return [
    ...namespaces.filter((name) => name.startsWith(`enid-${lab}-`)).map((name) => `namespace ${name}`),
    ...processes
      .filter((line) => line.includes(`/run/enid/${lab}/`) || line.includes(`--name ${lab} `))
      .map((line) => `process ${line}`),
    ...readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(`enid-${lab}-`) || line.includes(`/run/enid/${lab}`))
      .map((line) => `mount ${line}`),
    ...['/sys/fs/cgroup', ...readdirSync('/sys/fs/cgroup').map((name) => `/sys/fs/cgroup/${name}`)]
      .map((root) => `${root}/enid-${lab}`)
      .filter((path) => existsSync(path))
      .map((path) => `control group ${path}`),
    ...(existsSync(`/run/enid/${lab}`) ? [`directory /run/enid/${lab}`] : []),
  ];
}

/** The machine's own network: links, addresses, rules, routes and nftables of the namespace that the tests run in. */
export function machineNetwork(): string {
  const print = (file: string, ...args: string[]) => execFileSync(file, args, { encoding: 'utf8' });
  return [
    print('ip', '-o', 'link').replace(/ state \S+/g, ''),
    print('ip', '-o', '-4', 'address'),
    print('ip', 'rule'),
    print('ip', 'route', 'show', 'table', 'all'),
    print('nft', 'list', 'tables'),
  ].join('\n');
}
