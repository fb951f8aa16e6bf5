/**
 * The unix socket on which the CNI executable hands over its calls.
 *
 * One connection is one call: the executable writes and shuts its side, the answer is written, the connection
 * ends. Only root may connect (mode 0600).
 */
import { createServer, type Server, type Socket } from 'node:net';
import { listenOn, removeSocket } from '../unix-socket.ts';
import { CniCode, CniError } from './error.ts';
import { answerVersion, type CniRequest, decodeFrame, type Frame, parseRequest } from './request.ts';

/** Carries a checked call out; what it returns is printed as JSON, undefined prints nothing. */
export type CniHandler = (request: CniRequest) => Promise<object | undefined>;

/** Called after each call, for logs and metrics. */
export type CniObserver = (call: {
  readonly command: string;
  readonly containerId: string | undefined;
  readonly milliseconds: number;
  readonly error: CniError | undefined;
}) => void;

/** More than any runtime sends: GC's list of a thousand pods has a tenth of a megabyte. */
const maxRequestBytes = 16 << 20;
/** A caller that stops in the middle of its call is let go. */
const requestTimeoutMilliseconds = 30_000;

export class CniServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #path: string;
  readonly #calls: Set<Promise<void>>;

  private constructor(server: Server, path: string, calls: Set<Promise<void>>) {
    this.#server = server;
    this.#path = path;
    this.#calls = calls;
  }

  /**
   * Listens. The socket appears at `path` complete, with its final mode, in place of one that a dead agent left.
   * @throws when another agent answers there, or when what is there is no socket.
   */
  static async listen(
    path: string,
    handler: CniHandler,
    observe: CniObserver = () => {},
  ): Promise<CniServer> {
    const calls = new Set<Promise<void>>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const call = serve(socket, handler, observe);
      calls.add(call);
      call.finally(() => calls.delete(call));
    });
    await listenOn(server, path, 'ENID_CNI_SOCKET');
    return new CniServer(server, path, calls);
  }

  /** Takes the socket away, lets the calls that have begun finish, and ends. */
  async close(): Promise<void> {
    await removeSocket(this.#path);
    this.#server.close();
    await Promise.all(this.#calls);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Reads one call from its connection and answers it. Never rejects. */
async function serve(socket: Socket, handler: CniHandler, observe: CniObserver): Promise<void> {
  const began = performance.now();
  socket.on('error', () => {}); // the caller was killed: there is nobody to answer
  let frame: Frame = { env: new Map(), stdin: '' };
  let error: CniError | undefined;
  let result: object | undefined;
  try {
    const message = await readAll(socket);
    if (message.length === 0) return void socket.destroy(); // a probe whether somebody listens
    frame = decodeFrame(message);
    result = await handler(parseRequest(frame));
  } catch (thrown) {
    error = asCniError(thrown);
  }
  const cniVersion = answerVersion(frame.stdin);
  const body = error
    ? { cniVersion, code: error.code, msg: error.message, ...(error.details && { details: error.details }) }
    : result && { cniVersion, ...result };
  socket.write(`${error ? 1 : 0}${body ? JSON.stringify(body) : ''}\n`);
  socket.destroySoon();
  observe({
    command: frame.env.get('CNI_COMMAND') ?? '',
    containerId: frame.env.get('CNI_CONTAINERID'),
    milliseconds: performance.now() - began,
    error,
  });
}

function readAll(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const fail = (cause: string) => reject(new CniError(CniCode.ioFailure, cause));
    socket.setTimeout(requestTimeoutMilliseconds, () => fail('the call did not arrive whole within 30 s'));
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > maxRequestBytes) fail(`the call is longer than ${maxRequestBytes} bytes`);
    });
    const goneAway = () => fail('the caller went away before its call was whole');
    socket.once('close', goneAway);
    socket.once('end', () => {
      socket.setTimeout(0);
      socket.off('close', goneAway);
      resolve(Buffer.concat(chunks));
    });
  });
}

function asCniError(thrown: unknown): CniError {
  if (thrown instanceof CniError) return thrown;
  const cause = thrown instanceof Error ? thrown.message : String(thrown);
  return new CniError(CniCode.internal, cause, 'See the log of the aws-node pod on this node.', {
    cause: thrown,
  });
}
