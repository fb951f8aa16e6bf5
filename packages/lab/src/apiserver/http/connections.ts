import type { Server } from 'node:https';
import type { Socket } from 'node:net';

/**
 * Keeps account of a server's connections: also of those that are not HTTP's yet, as TLS has not begun, and of those that
 * are not HTTP's any more, such as exec. @returns what ends the server and all of them.
 */
export function closable(server: Server): () => Promise<void> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
}
