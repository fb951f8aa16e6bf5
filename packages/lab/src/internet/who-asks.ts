import type { IncomingMessage, ServerResponse } from 'node:http';

/** Answers an HTTP request with who answers and who asks: `{"server": {"address", "port"}, "client": {...}}`. */
export function tellWhoAsks(request: IncomingMessage, response: ServerResponse): void {
  const { localAddress, localPort, remoteAddress, remotePort } = request.socket;
  response.setHeader('content-type', 'application/json');
  response.end(
    `${JSON.stringify({
      server: { address: localAddress, port: localPort },
      client: { address: remoteAddress, port: remotePort },
    })}\n`,
  );
}
