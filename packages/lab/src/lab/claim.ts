import { once } from 'node:events';
import { createServer } from 'node:net';
import { LabDirectory } from '../base/directory.ts';
import { Lab, LabError } from './lab.ts';

/**
 * Takes a lab's name for a command that changes the lab, so that no two do at a time.
 *
 * The claim is a socket with an abstract name (unix(7)): it is gone when it is disposed of, and with the process, however that
 * ends.
 * @throws {LabError} when it is claimed already.
 * @throws {LabNameError} when it is no name of a lab.
 */
export async function claimLab(name: string): Promise<Disposable> {
  const { lab } = new LabDirectory(name);
  const claim = createServer((socket) => socket.destroy()).unref();
  claim.listen(`\0enid-lab-${lab}`);
  try {
    await once(claim, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new LabError(`another process works on lab "${name}": wait until it has ended, or end it`);
  }
  return { [Symbol.dispose]: () => void claim.close() };
}

/**
 * The same for a command that builds the lab and takes it away again: what an earlier run left, being killed or told to, goes
 * first.
 */
export async function claimEmptyLab(name: string): Promise<Disposable> {
  using stack = new DisposableStack();
  stack.use(await claimLab(name));
  await Lab.down(name);
  return stack.move();
}
