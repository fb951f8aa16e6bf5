/**
 * For tests: an agent in a process of its own, which can be killed. Everything that outlives it is in a folder: the
 * checkpoint, the cloud, the pods' links, and what the runtime was answered.
 *
 * Run as a program with the folder, it lives a life: pods come and go, ENIs are attached, filled and freed.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ipv4 } from '@enid/ip';
import { pino } from 'pino';
import { CniPlugin } from '../cni/plugin.ts';
import type { AttachmentRequest } from '../cni/request.ts';
import { readConfig } from '../config.ts';
import { attachmentId } from '../network/names.ts';
import type { Pods, VethPair } from '../network/pods.ts';
import type { Assignment, SandboxKey } from '../seams.ts';
import { TestClock } from '../test-clock.ts';
import { CheckpointFile } from './checkpoint.ts';
import { FakeCloud, IDENTITY } from './fake-cloud.ts';
import { WarmPool } from './warm-pool.ts';

/** The attachment of a pod by its number. */
export const keyOf = (pod: number): SandboxKey => ({
  network: 'aws-cni',
  containerId: `c${pod}`,
  ifName: 'eth0',
});

/** What the runtime noted: each call before it was made, and its answer. */
export type Note = {
  readonly call: 'ADD' | 'DEL';
  readonly pod: number;
  readonly answer?: 'done' | 'failed';
  /** Of an ADD that was answered. */
  readonly address?: Ipv4;
  readonly at: number;
};

/** How an agent wires pods. */
export type Wiring = {
  readonly pods: Pods;
  /** CNI_NETNS of a pod. */
  readonly netns: (pod: number) => string;
};

/** Pods' links, by address, kept as the kernel keeps them: whatever becomes of the agent. */
export class Links implements Wiring {
  readonly #file: string;
  readonly wired: Map<Ipv4, string>;

  constructor(folder: string) {
    this.#file = join(folder, 'links.json');
    this.wired = new Map(existsSync(this.#file) ? JSON.parse(readFileSync(this.#file, 'utf8')) : []);
  }

  netns(): string {
    return '/run/netns/pod';
  }

  /** What of `Pods` ADD and DEL use. */
  get pods(): Pods {
    const open = (path: string) => ({ path, ns: { inode: 1n }, [Symbol.dispose]() {} });
    const connect = async (pair: VethPair, { key, address }: Assignment) => {
      this.wired.set(address, attachmentId(key));
      this.#keep();
      const container = { name: key.ifName, mac: '02:00:00:00:00:01', sandbox: '/run/netns/pod' };
      return {
        host: { name: pair.name, mac: '02:00:00:00:00:02' },
        container,
        mtu: 9001,
        address,
        gateway: address,
      };
    };
    const remove = async ({ key, address }: Assignment) => {
      if (this.wired.get(address) === attachmentId(key)) this.wired.delete(address);
      this.#keep();
    };
    const prepare = async () => ({ name: 'eni0', mac: '02:00:00:00:00:01', host: { index: 7 } });
    return { open, prepare, connect, remove, discard: async () => {} } as unknown as Pods;
  }

  #keep(): void {
    writeFileSync(this.#file, JSON.stringify([...this.wired]));
  }
}

/** An agent on what the folder holds, new or left by one before. */
export class MortalAgent implements AsyncDisposable {
  readonly clock: TestClock;
  readonly cloud: FakeCloud;
  readonly pool: WarmPool;
  readonly #wiring: Wiring;
  readonly #plugin: CniPlugin;
  readonly #folder: string;

  private constructor(folder: string, cloud: FakeCloud, pool: WarmPool, wiring: Wiring) {
    this.#folder = folder;
    this.clock = cloud.clock;
    this.cloud = cloud;
    this.pool = pool;
    this.#wiring = wiring;
    this.#plugin = new CniPlugin(pool, wiring.pods);
  }

  static async start(folder: string, env: NodeJS.ProcessEnv, wiring: Wiring): Promise<MortalAgent> {
    const clock = new TestClock();
    const file = join(folder, 'cloud.json');
    const cloud = existsSync(file)
      ? await FakeCloud.restored(clock, readFileSync(file, 'utf8'))
      : new FakeCloud(clock);
    await clock.advance(2_000);
    // Whatever the agent saw of the cloud, and whatever it did to it, is there for the next one.
    const session = cloud.session(() => writeFileSync(file, cloud.saved()));
    const started = WarmPool.start({
      ...{ ec2: session, metadata: session, network: session, clock, identity: IDENTITY },
      store: new CheckpointFile(join(folder, 'ipam.json')),
      random: () => 0.5,
      log: pino({ level: process.env.LOG ?? 'silent' }),
      settings: readConfig(env).pool,
    });
    await clock.advance(5_000);
    return new MortalAgent(folder, cloud, await started, wiring);
  }

  /** What the runtime noted so far, by all agents. */
  static notes(folder: string): Note[] {
    const file = join(folder, 'notes');
    if (!existsSync(file)) return [];
    return readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Note);
  }

  /** Calls the plugin as a runtime does. */
  async call(call: 'ADD' | 'DEL', pod: number): Promise<Note> {
    this.#note({ call, pod, at: this.clock.now() });
    const request: AttachmentRequest = {
      command: call,
      key: keyOf(pod),
      netns: this.#wiring.netns(pod),
      args: new Map([['K8S_POD_NAME', `pod-${pod}`]]),
      config: { cniVersion: '1.1.0', name: 'aws-cni' },
    };
    const answer = await this.#plugin.handle(request).then(
      () => 'done' as const,
      () => 'failed' as const,
    );
    const address = call === 'ADD' ? this.pool.lookup(keyOf(pod))?.address : undefined;
    return this.#note({ call, pod, answer, at: this.clock.now(), ...(address && { address }) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    let stopped = false;
    this.pool.stop().finally(() => {
      stopped = true;
    });
    while (!stopped) await pass(this.clock, 500);
  }

  #note(note: Note): Note {
    appendFileSync(join(this.#folder, 'notes'), `${JSON.stringify(note)}\n`);
    return note;
  }
}

/**
 * Lets time pass on the agent's clock, and more until the calls are answered: the disk works by a clock of its own.
 * @returns the answers.
 */
export async function pass(
  clock: TestClock,
  milliseconds: number,
  calls: Promise<Note>[] = [],
): Promise<Note[]> {
  let answered = false;
  const all = Promise.all(calls).finally(() => {
    answered = true;
  });
  for (let passed = 0; passed < milliseconds || !answered; passed += 500) {
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(500);
  }
  return all;
}

/** Pods fill the ENIs in part, most go, what is too much is given back, some come again. */
async function live(agent: MortalAgent, pods: number): Promise<void> {
  const { clock } = agent;
  const all = Array.from({ length: pods }, (_, pod) => pod);
  const calls = (call: 'ADD' | 'DEL', these: number[]) => these.map((pod) => agent.call(call, pod));
  await pass(clock, 15_000, calls('ADD', all));
  await pass(clock, 20_000, calls('DEL', all.slice(3)));
  await pass(clock, 120_000, calls('ADD', [200, 201]));
  await pass(clock, 20_000, calls('DEL', [200]));
}

const [, , folder, pods] = process.argv;
if (import.meta.main && folder) {
  await using agent = await MortalAgent.start(folder, process.env, new Links(folder));
  await live(agent, Number(pods));
}
