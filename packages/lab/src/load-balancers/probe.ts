/** One question to a target: whether it is well. */
import http from 'node:http';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import type { Ipv4 } from '@enid/ip';
import { connectTcp, NetNamespace } from '@enid/linux';
import type { HealthCheck, TargetGroup } from '../cloud/elbv2/state.ts';
import { SIGNATURE } from './proxy-protocol.ts';

export type Probe = Pick<TargetGroup, 'protocolVersion'> & {
  /** Of the load balancer, and the address there that it asks from. */
  readonly namespace: string;
  readonly from: Ipv4;
  readonly address: Ipv4;
  readonly port: number;
  readonly how: HealthCheck;
  /** Whether the target expects a header of the PROXY protocol. */
  readonly isAnnounced: boolean;
};

export type Failure = { readonly reason: string; readonly description: string };

/** @returns why the target fails the check; undefined when it passes. */
export async function attempt(probe: Probe): Promise<Failure | undefined> {
  const { how, address, port } = probe;
  const timeout = AbortSignal.timeout(1000 * how.timeoutSeconds);
  let socket: Socket | undefined;
  try {
    using ns = NetNamespace.named(probe.namespace);
    const at = how.port === 'traffic-port' ? port : Number(how.port);
    socket = connectTcp(ns, address, at, { localAddress: probe.from });
    // It comes from the load balancer itself: version 2, command LOCAL, no addresses.
    if (probe.isAnnounced) socket.write(Buffer.from([...SIGNATURE, 0x20, 0, 0, 0]));
    const { protocolVersion } = probe;
    if (how.protocol === 'TCP') await event(socket, 'connect', timeout);
    else if (protocolVersion === 'GRPC') return mismatchGrpc(how, await askGrpc(socket, probe, timeout));
    else {
      const ask = protocolVersion === 'HTTP2' ? askHttp2 : askHttp1;
      return mismatch(how, await ask(socket, probe, timeout));
    }
    return undefined;
  } catch {
    return timeout.aborted
      ? { reason: 'Target.Timeout', description: 'Request timed out' }
      : { reason: 'Target.FailedHealthChecks', description: 'Health checks failed' };
  } finally {
    socket?.destroy();
  }
}

/** Waits for an event and gives what comes with it. @throws the emitter's error, or when the time is over. */
function event<T>(emitter: NodeJS.EventEmitter, name: string, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    emitter.once(name, resolve).once('error', reject);
  });
}

/** What is asked through: the certificates of targets are not looked at, as by AWS. */
function secured(socket: Socket, { how }: Probe, alpn: string): Socket {
  return how.protocol === 'HTTPS'
    ? tls.connect({ socket, rejectUnauthorized: false, ALPNProtocols: [alpn] })
    : socket;
}

const USER_AGENT = 'ELB-HealthChecker/2.0';

/** @returns the status of the answer. */
async function askHttp1(socket: Socket, probe: Probe, signal: AbortSignal): Promise<number> {
  const { how, address } = probe;
  const request = http.request({
    path: how.path ?? '/',
    headers: { host: address, 'user-agent': USER_AGENT, connection: 'close' },
    signal,
    createConnection: () => secured(socket, probe, 'http/1.1'),
  });
  request.end();
  const response = await event<http.IncomingMessage>(request, 'response', signal);
  response.resume();
  return response.statusCode!;
}

/** Begins a request of HTTP/2. */
function beginHttp2(socket: Socket, probe: Probe, signal: AbortSignal, headers: http2.OutgoingHttpHeaders) {
  const { how, address } = probe;
  const session = http2.connect(`${how.protocol.toLowerCase()}://${address}`, {
    createConnection: () => secured(socket, probe, 'h2'),
  });
  const failed = event<never>(session, 'close', signal).then(() => {
    throw new Error('the session was closed');
  });
  failed.catch(() => {});
  const stream = session.request({ ':path': how.path ?? '/', 'user-agent': USER_AGENT, ...headers });
  stream.resume();
  return { stream, failed };
}

async function askHttp2(socket: Socket, probe: Probe, signal: AbortSignal): Promise<number> {
  const { stream, failed } = beginHttp2(socket, probe, signal, {});
  const headers = await Promise.race([event<http2.IncomingHttpHeaders>(stream, 'response', signal), failed]);
  return Number(headers[':status']);
}

/** @returns the gRPC status, which an answer without a message has in its headers. */
async function askGrpc(socket: Socket, probe: Probe, signal: AbortSignal): Promise<number> {
  const { stream, failed } = beginHttp2(socket, probe, signal, {
    ':method': 'POST',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.end(Buffer.alloc(5)); // An empty message.
  const statusOf = (headers: http2.IncomingHttpHeaders) => headers['grpc-status'];
  const trailers = event<http2.IncomingHttpHeaders>(stream, 'trailers', signal);
  trailers.catch(() => {});
  const headers = await Promise.race([event<http2.IncomingHttpHeaders>(stream, 'response', signal), failed]);
  return Number(statusOf(headers) ?? statusOf(await Promise.race([trailers, failed])));
}

/** @param wanted such as `200,301` or `200-399`. */
function isAmong(wanted: string, status: number): boolean {
  return wanted.split(',').some((part) => {
    const [from = 0, to = from] = part.split('-').map(Number);
    return status >= from && status <= to;
  });
}

function mismatch({ matcher }: HealthCheck, status: number): Failure | undefined {
  return isAmong(matcher?.HttpCode ?? '200', status) ? undefined : codes(status);
}

function mismatchGrpc({ matcher }: HealthCheck, status: number): Failure | undefined {
  return isAmong(matcher?.GrpcCode ?? '12', status) ? undefined : codes(status);
}

const codes = (status: number): Failure => ({
  reason: 'Target.ResponseCodeMismatch',
  description: `Health checks failed with these codes: [${status}]`,
});
