/**
 * Promise under test: kill the agent at any instant, or let any step fail, and no address is lost, none is given out
 * twice, and no ENI is left behind. A life of the agent is played again and again, each time it is killed, or fails,
 * one step later; the agent that follows, or the same one, has to put everything right.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AwsError } from '../aws/errors.ts';
import { keyOf, TestNode } from './test-node.ts';

/** A way to live, and the EC2 calls that must have come up in it. */
type Life = {
  readonly env: NodeJS.ProcessEnv;
  readonly pods: number[];
  readonly calls: readonly string[];
  /** How the node was set, and the pods that it had, in a life before. */
  readonly before?: { readonly env: NodeJS.ProcessEnv; readonly pods: number[] };
};

/**
 * Plays a life in which the agent is killed at the given step, or the step fails.
 * @returns the step's name, or undefined when the life was shorter.
 */
async function play(
  { env, pods, before: past }: Life,
  how: 'kill' | 'fail',
  at: number,
): Promise<string | undefined> {
  const node = new TestNode();
  await node.clock.advance(5000);
  if (past) {
    await node.boot(node.cloud.session(), past.env);
    for (const pod of past.pods) node.add(pod);
    await node.clock.advance(20_000);
    await node.pool!.stop();
  }
  let steps = 0;
  let last: string | undefined;
  const session = node.cloud.session((step) => {
    if (++steps !== at) return;
    last = step;
    if (how === 'fail') throw new AwsError('InternalError', step, `${step} failed`);
    session.kill();
  });
  await node.boot(session, env);
  await node.live(pods);
  if (last === undefined) return undefined;

  if (how === 'kill' || !node.pool) {
    const before = new Map(node.held);
    await node.boot(node.cloud.session(), env);
    for (const [pod, address] of before) assert.equal(node.pool!.lookup(keyOf(pod))?.address, address);
  }
  for (const pod of [140, 141, 142]) node.add(pod);
  await node.clock.advance(300_000);
  node.verify();
  // The runtime repeats the DEL of what it was not answered.
  for (const pod of node.open) node.delete(pod);
  await node.clock.advance(300_000);
  assert.equal(node.pool!.assignments().length, node.held.size);
  node.verify();
  return last;
}

const ENI_CALLS = ['Create', 'Attach', 'Modify', 'Detach', 'Delete'].map((verb) => `${verb}NetworkInterface`);
const LIVES: Readonly<Record<string, Life>> = {
  'of single addresses': {
    env: { WARM_ENI_TARGET: '1' },
    pods: [...Array(12).keys()],
    calls: [...ENI_CALLS, 'AssignPrivateIpAddresses'],
  },
  'of prefixes': {
    env: { ENABLE_PREFIX_DELEGATION: 'true' },
    pods: [...Array(70).keys()].map((pod) => 30 + pod),
    calls: [...ENI_CALLS, 'AssignPrivateIpAddresses', 'UnassignPrivateIpAddresses'],
  },
  'that changes from single addresses to prefixes': {
    before: { env: {}, pods: [200, 201, 202, 203, 204, 205, 206] },
    env: { ENABLE_PREFIX_DELEGATION: 'true' },
    pods: [1, 2, 3, 200, 201, 202, 203, 204, 205],
    calls: ['DeleteNetworkInterface', 'AssignPrivateIpAddresses', 'UnassignPrivateIpAddresses'],
  },
  'that changes from prefixes to single addresses': {
    before: {
      env: { ENABLE_PREFIX_DELEGATION: 'true' },
      pods: [...Array(20).keys()].map((pod) => 200 + pod),
    },
    env: {},
    pods: [1, 2, 3, ...[...Array(19).keys()].map((pod) => 200 + pod)],
    calls: ['CreateNetworkInterface', 'AssignPrivateIpAddresses', 'UnassignPrivateIpAddresses'],
  },
};

for (const [name, life] of Object.entries(LIVES)) {
  for (const [how, title] of [
    ['kill', 'an agent that is killed at any step is put right by the next'],
    ['fail', 'an agent puts right whatever step fails, whether it took effect or not'],
  ] as const) {
    test(`${title}, with a pool ${name}`, async () => {
      const seen = new Set<string>();
      for (let at = 1; ; at++) {
        const step = await play(life, how, at).catch((cause: Error) => {
          throw new Error(`${how} at step ${at}: ${cause.message}`, { cause });
        });
        if (step === undefined) break;
        seen.add(step);
      }
      for (const call of life.calls) {
        for (const when of ['before', 'after']) {
          const step = `${when} ${call}`;
          assert.ok(
            [...seen].some((other) => other.startsWith(step)),
            `no life came to ${step}`,
          );
        }
      }
      for (const step of ['write', 'setEnis']) assert.ok(seen.has(`after ${step}`));
    });
  }
}
