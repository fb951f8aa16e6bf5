/** The runtime API of a running HAProxy: https://docs.haproxy.org/2.6/management.html#9.3 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** What ends an answer in interactive mode. */
const PROMPT = '\n> ';

/** A connection that is open as long as the process on the other side runs. */
export class RuntimeApi implements Disposable {
  /** When the process is gone, or this is closed. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  #received = '';
  #waiting: ((answer: string | undefined) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8').on('data', (text) => {
      this.#received += text;
      if (!this.#received.endsWith(PROMPT)) return;
      this.#answer(this.#received.slice(0, -PROMPT.length));
    });
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#answer(undefined);
        resolve();
      });
    });
  }

  /** @returns undefined when nobody is there. */
  static async connect(path: string): Promise<RuntimeApi | undefined> {
    const socket = connect(path);
    try {
      await once(socket, 'connect');
    } catch {
      return undefined;
    }
    const api = new RuntimeApi(socket);
    await api.ask('prompt');
    return api;
  }

  /** Runs a command, one at a time. @returns what it prints. @throws when the process is gone. */
  async ask(command: string): Promise<string> {
    const answer = await new Promise<string | undefined>((resolve) => {
      if (this.#socket.destroyed) return resolve(undefined);
      this.#waiting = resolve;
      this.#socket.write(`${command}\n`);
    });
    if (answer === undefined) throw new Error('HAProxy is gone');
    return answer.trim();
  }

  /** @throws with what it prints, unless it prints nothing or what is expected. */
  async order(command: string, expected = ''): Promise<void> {
    const answer = await this.ask(command);
    if (answer !== '' && answer !== expected) throw new Error(`HAProxy refused "${command}": ${answer}`);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #answer(text: string | undefined): void {
    this.#received = '';
    this.#waiting?.(text);
    this.#waiting = undefined;
  }
}
