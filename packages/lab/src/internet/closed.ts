/** Closes a server, which may not have been opened. Resolves when it is closed. */
export function closed(server: { close(done: () => void): unknown }): Promise<void> {
  return new Promise((resolve) => {
    try {
      server.close(resolve);
    } catch {
      resolve(); // A datagram socket that is closed already.
    }
  });
}
