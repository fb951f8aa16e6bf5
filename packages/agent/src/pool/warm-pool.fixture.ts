/** For tests: a pool in the fake cloud, and pods that come and go. */
import { pino } from 'pino';
import { readConfig } from '../config.ts';
import type { Assignment } from '../seams.ts';
import { TestClock } from '../test-clock.ts';
import { FakeCloud, type Hook, IDENTITY, type Session } from './fake-cloud.ts';
import type { WarmPoolOptions } from './investigate.ts';
import { WarmPool } from './warm-pool.ts';

export const LOG = pino({ level: process.env.LOG ?? 'silent' });

export const keyOf = (pod: number | string) => ({
  network: 'aws-cni',
  containerId: `c${pod}`,
  ifName: 'eth0',
});

export const meta = (pod: number | string) => ({ k8sPodName: `pod-${pod}`, k8sPodNamespace: 'default' });

export function start(
  session: Session,
  clock: TestClock,
  env: NodeJS.ProcessEnv = {},
  change: Partial<WarmPoolOptions> = {},
): Promise<WarmPool> {
  return WarmPool.start({
    ec2: session,
    metadata: session,
    network: session,
    store: session,
    clock,
    random: () => 0.5,
    log: LOG,
    identity: IDENTITY,
    settings: readConfig(env).pool,
    clusterName: 'demo',
    ...change,
  });
}

/** A node whose agent has run for a while. */
export async function node(
  options: {
    env?: NodeJS.ProcessEnv;
    hook?: Hook;
    prepare?: (cloud: FakeCloud) => void;
    change?: Partial<WarmPoolOptions>;
  } = {},
) {
  const clock = new TestClock();
  const cloud = new FakeCloud(clock);
  options.prepare?.(cloud);
  await clock.advance(5000);
  const pool = await start(cloud.session(options.hook), clock, options.env, options.change);
  await clock.advance(10_000);
  return { clock, cloud, pool };
}

/** Resolves while time passes. */
export async function during<T>(clock: TestClock, work: Promise<T>, milliseconds = 10_000): Promise<T> {
  work.catch(() => {});
  await clock.advance(milliseconds);
  return work;
}

export const add = (pool: WarmPool, ...pods: number[]): Promise<Assignment[]> =>
  Promise.all(pods.map((pod) => pool.assign(keyOf(pod), meta(pod))));

export const enisUp = (cloud: FakeCloud) => cloud.up.map(({ deviceNumber }) => deviceNumber);
