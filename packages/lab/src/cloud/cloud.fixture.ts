/** A cloud for tests: on loopback alone, over a network that only takes note. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { EC2Client } from '@aws-sdk/client-ec2';
import type { Clock } from './clock.ts';
import { Cloud, type CloudOptions } from './cloud.ts';
import type { NetworkFabric } from './fabric.ts';
import type { CloudState } from './state.ts';

export const CREDENTIALS = { accessKeyId: 'AKIATEST000000000000', secretAccessKey: 'test-secret' };

/** A clock that stands until it is turned. */
export class TestClock implements Clock {
  #now = Date.now();
  readonly #timers = new Set<{ at: number; task: () => void }>();

  now(): number {
    return this.#now;
  }

  after(ms: number, task: () => void): () => void {
    const timer = { at: this.#now + ms, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Turns the clock, and lets what was due happen. */
  async advance(ms: number): Promise<void> {
    this.#now += ms;
    for (const timer of [...this.#timers].filter(({ at }) => at <= this.#now).sort((a, b) => a.at - b.at)) {
      this.#timers.delete(timer);
      timer.task();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A network that takes note of the states that it is to match, and refuses when it is told to. */
export class NullFabric implements NetworkFabric {
  readonly synced: CloudState[] = [];
  refusal: Error | undefined;

  async sync(state: CloudState): Promise<void> {
    const error = this.refusal;
    this.refusal = undefined;
    if (error) throw error;
    this.synced.push(state);
  }

  vpcNamespace(): undefined {
    return undefined;
  }
}

/** A directory that is gone after the test. */
export function temporaryDirectory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'enid-cloud-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export type TestCloud = {
  cloud: Cloud;
  ec2: EC2Client;
  clock: TestClock;
  fabric: NullFabric;
  stateDir: string;
};

/** A cloud that runs until the test is over, and a client of it that does not try again. */
export async function startCloud(t: TestContext, options: Partial<CloudOptions> = {}): Promise<TestCloud> {
  const clock = new TestClock();
  const fabric = new NullFabric();
  const stateDir = options.stateDir ?? temporaryDirectory(t);
  const cloud = new Cloud({ fabric, clock, stateDir, credentials: CREDENTIALS, ...options });
  await cloud.start();
  const ec2 = clientOf(cloud);
  t.after(async () => {
    ec2.destroy();
    await cloud.stop();
  });
  return { cloud, ec2, clock, fabric, stateDir };
}

export function clientOf(cloud: Cloud, credentials: object = CREDENTIALS): EC2Client {
  return new EC2Client({
    endpoint: cloud.endpoint,
    region: cloud.state.region,
    credentials: credentials as typeof CREDENTIALS,
    maxAttempts: 1,
  });
}
