import { createServer } from 'node:http';

/**
 * An HTTP server that tells who answers and who asks: `{"server": {"address", "port"}, "client": {...}}`.
 * Says `ready` to the process that started it.
 */
export function runWhoami(port: number): void {
  const server = createServer((request, response) => {
    const { localAddress, localPort, remoteAddress, remotePort } = request.socket;
    response.setHeader('content-type', 'application/json');
    response.end(
      `${JSON.stringify({
        server: { address: localAddress, port: localPort },
        client: { address: remoteAddress, port: remotePort },
      })}\n`,
    );
  });
  server.listen(port, '0.0.0.0', () => process.send?.('ready'));
}
