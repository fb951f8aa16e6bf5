/** The kubectls that tests are run with, whatever the machine has: as recent as Debian 13's, and as old as can be met. */
import { debianProgram } from '../../../../test/debian-program.ts';

const PROGRAM = 'usr/bin/kubectl';

/** By what they are called in tests. */
export const KUBECTLS = {
  'kubectl 1.32': () => debianProgram('kubectl', 'kubectl-trixie', PROGRAM, 'trixie'),
  'kubectl 1.20': () => debianProgram('kubernetes-client', 'kubectl', PROGRAM, 'bookworm'),
} as const;
