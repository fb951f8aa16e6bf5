/**
 * A node under fire: EC2 throttles, delays, fails, does half of what it is asked, and loses answers of calls that it has
 * carried out; the disk and the kernel refuse; the agent is killed now and then. Pods come and go all the while, and after
 * each of them the promises must hold.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AwsError, explainAwsError } from '../aws/errors.ts';
import type { Hook, Session } from './fake-cloud.ts';
import { keyOf, TestNode } from './test-node.ts';

const OPERATIONS = 10_000;
const LOCAL = new Set(['read', 'write', 'setEnis']);
const CODES = [
  'RequestLimitExceeded',
  'InternalError',
  'Unavailable',
  'InsufficientFreeAddressesInSubnet',
  'InsufficientCidrBlocks',
  'NetworkInterfaceLimitExceeded',
];

/** The same numbers for the same seed (xorshift32). @returns from 0 up to 1. */
function numbers(seed: number): () => number {
  let state = seed * 2_654_435_761 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** What happens at each step that leaves the process. */
function faultsOf(node: TestNode, random: () => number, count: (fault: string) => void): Hook {
  return async (step) => {
    const [when, operation = ''] = step.split(' ');
    const chance = random();
    if (LOCAL.has(operation)) {
      if (chance > (operation === 'setEnis' ? 0.1 : 0.005)) return;
      count(`${operation} fails`);
      throw new Error(`${operation} fails`);
    }
    if (chance < 0.1) {
      count('delay');
      await node.clock.sleep(random() * 5_000);
    } else if (chance < 0.3 && when === 'before') {
      const code = CODES[Math.floor(random() * CODES.length)]!;
      count(code);
      throw explainAwsError(Object.assign(new Error(code), { name: code }), { operation, target: 'eni-x' });
    } else if (chance < 0.2) {
      count('lost answer');
      throw new AwsError('TimeoutError', operation, 'the answer was lost');
    }
  };
}

/** What must hold at every instant while an agent runs. */
function check(node: TestNode): void {
  const { pool, cloud, held } = node;
  if (!pool) return;
  const assigned = pool.assignments().map(({ address }) => address);
  assert.equal(new Set(assigned).size, assigned.length, 'two allocations have one address');
  const real = new Set<string>();
  for (const { attachment, addresses, prefixes } of cloud.enis.values()) {
    assert.ok(addresses.length + prefixes.length <= 5, 'an ENI carries more than it may');
    if (attachment?.status !== 'attached') continue;
    for (const block of prefixes) {
      const [, network, first] = /^(.+\.)(\d+)\/28$/.exec(block)!;
      for (let host = 0; host < 16; host++) real.add(`${network}${Number(first) + host}`);
    }
    for (const address of addresses) real.add(address);
  }
  for (const [pod, address] of held) {
    assert.equal(pool.lookup(keyOf(pod))?.address, address, `the allocation of pod ${pod} is lost`);
    assert.ok(real.has(address), `pod ${pod} lost ${address}: EC2 has it on no ENI`);
  }
}

async function play(env: NodeJS.ProcessEnv, pods: number): Promise<Map<string, number>> {
  const random = numbers(Number(process.env.ENID_TEST_SEED ?? 1));
  const node = new TestNode();
  const seen = new Map<string, number>();
  const count = (fault: string) => seen.set(fault, (seen.get(fault) ?? 0) + 1);
  await node.clock.advance(5_000);
  let session: Session;
  const boot = async () => {
    for (;;) {
      session = node.cloud.session(faultsOf(node, random, count));
      session.grant = (wanted) => {
        if (wanted < 2 || random() > 0.2) return wanted;
        count('partial success');
        return Math.ceil(random() * (wanted - 1));
      };
      await node.boot(session, env);
      await node.clock.advance(20_000);
      if (node.pool) break;
      session.kill(); // It did not come up: the kubelet starts the next.
    }
    // What it was not answered, the runtime repeats.
    for (const pod of [...node.open]) node.delete(pod);
  };
  await boot();
  for (let operations = 0, turn = 0; operations < OPERATIONS; turn++) {
    const pod = Math.floor(random() * pods);
    // The number of pods swings, so that ENIs come and go.
    const wanted = random() < 0.5 + 0.45 * Math.sin(turn / 100);
    if (!node.open.has(pod) && node.held.has(pod) !== wanted) {
      operations++;
      if (wanted) node.add(pod);
      else node.delete(pod);
    }
    await node.clock.advance(random() * 3_000);
    check(node);
    if (random() < 0.006) {
      count('kill');
      session!.kill();
      await boot();
      check(node);
    }
  }
  session!.kill();
  await node.boot(node.cloud.session(), env);
  for (const pod of [...node.open]) node.delete(pod);
  await node.clock.advance(600_000);
  check(node);
  node.verify();
  return seen;
}

for (const [name, env, pods] of [
  ['single addresses', {}, 18],
  ['single addresses by WARM_IP_TARGET', { WARM_IP_TARGET: '6' }, 18],
  ['prefixes', { ENABLE_PREFIX_DELEGATION: 'true' }, 120],
] as const) {
  test(`${OPERATIONS} pod operations on a node of ${name}, whatever EC2, the disk and the kernel do`, async () => {
    const seen = await play(env, pods);
    for (const fault of [...CODES, 'delay', 'lost answer', 'write fails', 'setEnis fails', 'kill']) {
      assert.ok((seen.get(fault) ?? 0) > 0, `no ${fault} came up`);
    }
    // The others ask for one at a time, or for a whole ENI.
    if ('WARM_IP_TARGET' in env) assert.ok(seen.has('partial success'), 'no partial success came up');
  });
}
