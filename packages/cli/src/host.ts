import { fileURLToPath } from 'node:url';

/** Where this checkout stands. */
export const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

/** Where Node keeps what it has compiled: the checkout's, as in a temporary directory others could lay code there. */
export const compileCache = `${root}/node_modules/.cache/compiled`;

/** How this machine calls Enid and where its CNI executables are: ours, then Debian's. */
export const host = {
  root,
  enid: [process.execPath, `${root}/packages/cli/src/main.ts`] as [string, string],
  cniBin: [`${root}/cni/build`, '/usr/lib/cni'] as [string, string],
};

/** @throws unless this is root: namespaces, links and rules are root's to make. */
export function requireRoot(command: string): void {
  if (process.getuid?.() !== 0)
    throw new Error(`${command} works on the kernel's network and needs root: use sudo`);
}
