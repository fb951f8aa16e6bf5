import { once } from 'node:events';
import { createServer } from 'node:net';
import { Lab, LabError } from './lab.ts';

/**
 * Takes a lab's name for the life of this process, for a command that builds a lab and takes it away again. What an
 * earlier run left, being killed or told to, is taken away first.
 *
 * The claim is a socket with an abstract name (unix(7)): it is gone with the process, however that ends.
 * @throws {LabError} when another process has claimed the name.
 */
export async function claimLab(name: string): Promise<void> {
  const claim = createServer((socket) => socket.destroy()).unref();
  claim.listen(`\0enid-lab-${name}`);
  try {
    await once(claim, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new LabError(`another process works on lab "${name}": wait until it has ended, or end it`);
  }
  await Lab.down(name);
}
