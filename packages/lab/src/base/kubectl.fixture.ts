/** The kubectls that tests are run with: the machine's own, where it has one, and Debian's (1.20), as old as can be met. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { debianProgram } from '../../../../test/debian-program.ts';

export function installedKubectl(): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'kubectl'))
    .find(existsSync);
}

export const debianKubectl = () => debianProgram('kubernetes-client', 'kubectl', 'usr/bin/kubectl');
