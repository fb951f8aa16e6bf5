import { type IncomingMessage, STATUS_CODES } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * Hands a connection that is to be upgraded (SPDY/3.1 or a websocket) to the runtime's streaming server, as it is: both
 * ends speak with each other from the first byte on.
 */
export function passThrough(request: IncomingMessage, socket: Duplex, head: Buffer, target: string): void {
  const { hostname, port, pathname, search, host } = new URL(target);
  const upstream = connect({ host: hostname, port: Number(port || 80) });
  const headers: string[] = [];
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    const [name, value] = [request.rawHeaders[at]!, request.rawHeaders[at + 1]!];
    if (name.toLowerCase() !== 'host') headers.push(`${name}: ${value}`);
  }
  upstream.on('connect', () => {
    const first = `${request.method} ${pathname}${search} HTTP/1.1`;
    upstream.write(`${[first, `Host: ${host}`, ...headers].join('\r\n')}\r\n\r\n`);
    upstream.write(head);
    upstream.pipe(socket).pipe(upstream);
  });
  let answered = false;
  upstream.once('data', () => {
    answered = true;
  });
  upstream.on('error', (error) => {
    if (answered) socket.destroy();
    else refuse(socket, 502, `the runtime's streaming server: ${error.message}`);
  });
  socket.on('error', () => upstream.destroy());
  socket.on('close', () => upstream.destroy());
  upstream.on('close', () => socket.end());
}

/** Answers a request whose connection is a bare socket. */
export function refuse(socket: Duplex, status: number, message: string): void {
  const body = `${message}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
