import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { machine, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build, type Plugin } from 'esbuild';

const run = promisify(execFile);

/** The checkout. */
export const CHECKOUT = fileURLToPath(new URL('../../../../', import.meta.url));

const PROGRAMS = join(CHECKOUT, 'packages/lab/src/images/programs');

/** Calls a function with a folder that is gone when it has ended. */
async function inScratch<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'enid-program-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Compiles C files of `programs/` into one static executable, as scripts/build-cni does. */
export async function compileStatic(sources: readonly string[]): Promise<Buffer> {
  const triple = `${machine()}-linux-musl`;
  const library = `/usr/lib/${triple}`;
  return await inScratch(async (folder) => {
    const output = join(folder, 'program');
    const flags = ['-O2', '-static', '-s', '-nostdlib', '-nostdinc', '-isystem', `/usr/include/${triple}`];
    const inputs = [`${library}/crt1.o`, ...sources.map((source) => join(PROGRAMS, source))];
    await run('clang', [...flags, '-o', output, ...inputs, `${library}/libc.a`]);
    return await readFile(output);
  });
}

/** The CNI executable. */
export async function buildCniExecutable(): Promise<Buffer> {
  return await inScratch(async (folder) => {
    await run(join(CHECKOUT, 'scripts/build-cni'), [join(folder, 'aws-cni')]);
    return await readFile(join(folder, 'aws-cni'));
  });
}

/** The object file of the eBPF programs. */
export async function buildBpfObject(): Promise<Buffer> {
  return await inScratch(async (folder) => {
    await run(join(CHECKOUT, 'scripts/build-bpf'), [join(folder, 'policy.o')]);
    return await readFile(join(folder, 'policy.o'));
  });
}

const COMMON = {
  absWorkingDir: CHECKOUT,
  bundle: true,
  platform: 'node',
  target: 'node24',
  write: false,
  logLevel: 'silent',
  legalComments: 'none',
  minifySyntax: true,
  minifyWhitespace: true,
} as const;

/** One module with all that it imports, as one CommonJS file, which Node runs whatever its name. */
export async function bundleProgram(entry: string, firstLine: string): Promise<Buffer> {
  const { outputFiles } = await build({
    ...COMMON,
    entryPoints: [entry],
    format: 'cjs',
    banner: { js: firstLine },
  });
  return Buffer.from(outputFiles[0]!.contents);
}

/** Commands of the lab's host: a container has no use for them, nor for all that they bring. */
const HOST_COMMANDS = /^\.\/commands\/(bench|demo|lab|test)\.ts$/;

const withoutHostCommands: Plugin = {
  name: 'without-host-commands',
  setup(bundler) {
    bundler.onResolve({ filter: HOST_COMMANDS }, ({ path }) => ({ path, namespace: 'host-command' }));
    bundler.onLoad({ filter: /./, namespace: 'host-command' }, () => ({
      contents: 'export default () => {};',
    }));
  },
};

/** The command line as a node's or a controller's container needs it: files by name, `main.js` to be run. */
export async function bundleCommandLine(): Promise<ReadonlyMap<string, Buffer>> {
  const { outputFiles, metafile } = await build({
    ...COMMON,
    metafile: true,
    entryPoints: ['packages/cli/src/main.ts'],
    format: 'esm',
    // What a command does not need is not loaded either.
    splitting: true,
    // A CommonJS module that is imported when it is needed would come without its names.
    mainFields: ['module', 'main'],
    outdir: '/bundle',
    external: ['koffi'],
    plugins: [withoutHostCommands],
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
  });
  for (const { entryPoint = '', exports } of Object.values(metafile.outputs)) {
    if (!entryPoint.includes('node_modules/') || exports.length !== 1 || exports[0] !== 'default') continue;
    throw new Error(
      `${entryPoint} is CommonJS and imported on demand: let a module of ours import it, and be imported so`,
    );
  }
  return new Map(
    outputFiles.map(({ path, contents }) => [path.replace('/bundle/', ''), Buffer.from(contents)]),
  );
}

/** A busybox executable's applets, as paths without the first slash. */
export async function listApplets(executable: string): Promise<string[]> {
  return (await run(executable, ['--list'])).stdout.trim().split('\n');
}

/** Files below a folder, as paths relative to it. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}
