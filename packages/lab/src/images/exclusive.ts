import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/**
 * Waits until this process alone has a name, on the whole machine, and keeps it until disposed.
 *
 * The claim is a socket with an abstract name (unix(7)): it is gone with the process, however that ends, and who waits
 * is told by the end of a connection to it.
 */
export async function exclusively(name: string): Promise<AsyncDisposable> {
  for (;;) {
    const waiting = new Set<Socket>();
    const claim = createServer((socket) => waiting.add(socket.on('error', () => {}))).unref();
    claim.listen(`\0enid-${name}`);
    try {
      await once(claim, 'listening');
      return {
        async [Symbol.asyncDispose]() {
          claim.close();
          for (const socket of waiting) socket.destroy();
        },
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
    const holder = connect(`\0enid-${name}`).on('error', () => {});
    await new Promise((resolve) => holder.once('close', resolve));
  }
}
