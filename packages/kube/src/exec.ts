import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import type { ApiAccess } from './access.ts';
import { ApiError, type Status } from './api-error.ts';

/** What a command in a container wrote, and how it ended. */
export type ExecResult = { readonly stdout: string; readonly stderr: string; readonly exitCode: number };

export type ExecTarget = {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly command: readonly string[];
};

/** The channels of the protocol, by the first byte of each message. */
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const PROTOCOL = 'v4.channel.k8s.io';
const TIMEOUT = 30_000;

/** For a command that goes on. Its standard input is open, and ends with the call, whatever ends that: by it the command can tell. */
export type ExecStream = {
  /** Is given what the command writes, as it comes; the result has none of it. */
  readonly stdout: (chunk: Buffer) => void;
  /** Ends the connection, and with it the call. */
  readonly signal: AbortSignal;
};

/**
 * Runs a command in a container, as `kubectl exec` does without a terminal or input, and waits for its end, for 30 s unless
 * what it writes is taken as a stream.
 * @throws {ApiError} when the server refuses; other errors when the connection breaks or the command cannot be started.
 */
export async function exec(access: ApiAccess, target: ExecTarget, stream?: ExecStream): Promise<ExecResult> {
  const { namespace, pod, container, command } = target;
  const url = new URL(access.server);
  url.pathname = `${url.pathname.replace(/\/$/, '')}/api/v1/namespaces/${namespace}/pods/${pod}/exec`;
  url.search = new URLSearchParams([
    ['container', container],
    ['stdout', 'true'],
    ['stderr', 'true'],
    ...(stream ? [['stdin', 'true'] as [string, string]] : []),
    ...command.map((word): [string, string] => ['command', word]),
  ]).toString();
  const { socket, head } = await upgrade(url, access);
  const output = { [STDOUT]: [] as Buffer[], [STDERR]: [] as Buffer[], [ERROR]: [] as Buffer[] };
  const end = () => socket.destroy();
  if (stream) {
    socket.setTimeout(0);
    stream.signal.addEventListener('abort', end);
  }
  try {
    for await (const message of messages(socket, head)) {
      const channel = message[0] as keyof typeof output;
      if (stream && channel === STDOUT) stream.stdout(message.subarray(1));
      else output[channel]?.push(message.subarray(1));
    }
  } catch (error) {
    if (!stream?.signal.aborted) throw error;
  } finally {
    stream?.signal.removeEventListener('abort', end);
    socket.destroy();
  }
  if (stream?.signal.aborted) return { stdout: '', stderr: '', exitCode: 0 };
  const [stdout, stderr, status] = [STDOUT, STDERR, ERROR].map((channel) =>
    Buffer.concat(output[channel as keyof typeof output]).toString(),
  ) as [string, string, string];
  return { stdout, stderr, exitCode: exitCodeOf(status, `${namespace}/${pod}`) };
}

type EndStatus = Omit<Status, 'details'> & {
  readonly status?: string;
  readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string }[] };
};

function exitCodeOf(end: string, pod: string): number {
  if (end === '') throw new Error(`the connection to ${pod} broke before the command ended: try again`);
  const status = JSON.parse(end) as EndStatus;
  if (status.status === 'Success') return 0;
  const code = status.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message;
  if (code !== undefined) return Number(code);
  throw new ApiError(status, `exec in ${pod}`);
}

function upgrade(url: URL, access: ApiAccess): Promise<{ socket: Socket; head: Buffer }> {
  const key = randomBytes(16).toString('base64');
  const token = access.token?.();
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': key,
    'sec-websocket-protocol': PROTOCOL,
    ...(token && { authorization: `Bearer ${token}` }),
  };
  const { authority: ca, certificate: cert, key: privateKey } = access;
  const secure = { ...(ca && { ca }), ...(cert && { cert }), ...(privateKey && { key: privateKey }) };
  return new Promise((resolve, reject) => {
    const options = { headers, agent: false as const, timeout: TIMEOUT };
    const outgoing =
      url.protocol === 'http:' ? http.request(url, options) : https.request(url, { ...options, ...secure });
    outgoing.once('upgrade', (response, socket: Socket, head) => {
      socket.setTimeout(TIMEOUT, () => socket.destroy(new Error('the command did not end within 30 s')));
      if (response.headers['sec-websocket-accept'] === acceptOf(key)) return resolve({ socket, head });
      socket.destroy();
      reject(new Error(`${url.host} answers the upgrade, but not as a WebSocket server`));
    });
    outgoing.once('response', (response) => {
      text(response).then((body) => reject(refusal(response.statusCode!, body, url)), reject);
    });
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer from ${url.origin} in 30 s`)));
    outgoing.once('error', reject);
    outgoing.end();
  });
}

const acceptOf = (key: string): string =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

function refusal(code: number, body: string, url: URL): ApiError {
  try {
    return new ApiError({ ...(JSON.parse(body) as Status), code }, `exec ${url.pathname}`);
  } catch {
    return new ApiError({ code, message: body.slice(0, 200) }, `exec ${url.pathname}`);
  }
}

/** The binary messages of a WebSocket's server side (RFC 6455), until it closes; nothing is ever sent but pongs. */
async function* messages(socket: Socket, head: Buffer): AsyncGenerator<Buffer> {
  let rest = head;
  let parts: Buffer[] = [];
  for await (const chunk of withFirst(rest, socket)) {
    rest = rest === chunk ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      const frame = readFrame(rest);
      if (!frame) break;
      rest = rest.subarray(frame.length);
      if (frame.opcode === 8) return;
      if (frame.opcode === 9) socket.write(pong(frame.payload));
      if (frame.opcode > 2) continue;
      parts.push(frame.payload);
      if (!frame.last) continue;
      const message = Buffer.concat(parts);
      parts = [];
      if (message.length > 1) yield message;
    }
  }
}

async function* withFirst(first: Buffer, socket: Socket): AsyncGenerator<Buffer> {
  yield first;
  yield* socket as AsyncIterable<Buffer>;
}

type Frame = {
  readonly opcode: number;
  readonly last: boolean;
  readonly payload: Buffer;
  readonly length: number;
};

/** A server's frame, which is never masked; undefined when it has not arrived whole. */
function readFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < 2) return undefined;
  const short = bytes[1]! & 0x7f;
  const start = short === 126 ? 4 : short === 127 ? 10 : 2;
  if (bytes.length < start) return undefined;
  const size =
    short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
  if (bytes.length < start + size) return undefined;
  const payload = bytes.subarray(start, start + size);
  return { opcode: bytes[0]! & 0x0f, last: (bytes[0]! & 0x80) !== 0, payload, length: start + size };
}

/** A client's frames are masked. */
function pong(payload: Buffer): Buffer {
  const mask = randomBytes(4);
  const masked = payload.map((byte, at) => byte ^ mask[at % 4]!);
  return Buffer.concat([Buffer.from([0x8a, 0x80 | payload.length]), mask, masked]);
}
