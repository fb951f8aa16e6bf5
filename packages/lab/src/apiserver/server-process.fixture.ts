/** A test's API server in a process of its own, which has its memory for itself. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:https';
import { type Sent, sendTo, startTestApiServer, type TestAnswer } from './apiserver.fixture.ts';

type Access = { readonly url: string; readonly ca: string; readonly cert: string; readonly key: string };

export type Usage = {
  /** What it has in RAM once its garbage is collected, in bytes. */
  readonly memory: number;
  /** What it has had there at most. */
  readonly most: number;
  readonly connections: number;
};

export type ServerProcess = Access & {
  /** One request, which must be answered with success. */
  must(what: string, sent?: Sent): Promise<TestAnswer>;
  usage(): Promise<Usage>;
  stop(): Promise<void>;
};

/** Starts one on loopback. It ends with this process, however that ends. */
export async function startServerProcess(): Promise<ServerProcess> {
  const child = fork(import.meta.filename, { execArgv: ['--expose-gc'] });
  const access = await answerOf<Access>(child);
  const { url, ca, cert, key } = access;
  const agent = new Agent({ keepAlive: true, ca, cert, key });
  return {
    ...access,
    must: async (what, sent = {}) => {
      const answer = await sendTo(url, what, { agent, ...sent });
      if (answer.code >= 300) throw new Error(`${what}: ${answer.code} ${answer.text}`);
      return answer;
    },
    usage: () => {
      child.send('usage');
      return answerOf(child);
    },
    stop: async () => {
      agent.destroy();
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    },
  };
}

async function answerOf<T>(child: ChildProcess): Promise<T> {
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the server's process has ended with ${code}`);
  });
  const [answer] = (await Promise.race([once(child, 'message'), ended])) as [T];
  return answer;
}

async function serve(): Promise<void> {
  const server = await startTestApiServer();
  const { ca, cert, key } = server.agent.options;
  process.on('message', () => {
    global.gc!();
    const usage: Usage = {
      memory: process.memoryUsage.rss(),
      most: process.resourceUsage().maxRSS * 1024,
      connections: process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length,
    };
    process.send!(usage);
  });
  process.once('disconnect', () => void server.stop());
  process.send!({ url: server.url, ca, cert, key });
}

if (import.meta.main) await serve();
