/**
 * Times what network policies cost: traffic between two pods of a node with policies and without, with 100,000 rules and with
 * 10, and beside the same rules as a list of nftables. They are put in the way of the same traffic by turns: two ways that are
 * made alike differ by more than what is to be found. How soon a policy is in force is timed on a lab.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cidr } from '@enid/ip';
import type { Host } from '@enid/lab';
import { Nftables } from '@enid/linux';
import { DataPlane } from '../packages/agent/src/policy/data-plane/index.ts';
import { type DirectionRules, unbound } from '../packages/agent/src/policy/rules.ts';
import { enforce } from './policy-enforce.ts';
import { makePath, type Path } from './policy-path.ts';
import { type Kind, Traffic } from './traffic.ts';

/** How much is measured, unless told otherwise. */
export const ROUNDS = 25;
/** Each way has so many turns in a round. */
const TURNS = 10;
const TURN_MS = 20;
const LOOPBACK = 1;
const MANY = 100_000;
const FEW = 10;

export type Ratios = {
  /** Bytes a second of one TCP connection, with policies over without. */
  stream: number;
  /** Questions of one byte a second on one connection. */
  rr: number;
  /** Connections a second with a question each. */
  crr: number;
  /** Packets a second, each the first of its flow, with 100,000 rules over 10. */
  rules100k: number;
};
export type PolicyResult = {
  ratio: Ratios;
  /** The same rules as a list of nftables. */
  nftables: Ratios;
  /** From the first word of a policy to its being in force on 200 pods of a node, in milliseconds. */
  enforce_ms: { p50: number; p99: number };
};

/** What may lie in the way of traffic, and is put there for a turn. */
type Way = { readonly path: Path; readonly enter?: () => unknown; readonly leave?: () => unknown };
type WayName = 'open' | 'few' | 'many' | 'listFew' | 'listMany';

/** @param progress told what is being done. @param rounds of ten turns each; four times as many policies are made. */
export async function policy(
  host: Host,
  progress: (line: string) => void,
  rounds = ROUNDS,
): Promise<PolicyResult> {
  const [ratio, nftables] = await cost(progress, rounds);
  return { ratio, nftables, enforce_ms: await enforce(host, progress, 4 * rounds) };
}

async function cost(progress: (line: string) => void, rounds: number): Promise<[Ratios, Ratios]> {
  await using stack = new AsyncDisposableStack();
  progress(`making pods, with ${MANY} rules and with ${FEW}`);
  const path = makePath(stack);
  const lists = new Nftables(path.node);
  const ways: Record<WayName, Way> = {
    open: { path },
    few: await guard(stack, path, FEW),
    many: await guard(stack, path, MANY),
    listFew: {
      path,
      enter: () => lists.applySync(list(FEW)),
      leave: () => lists.applySync('delete table ip policies\n'),
    },
    // It takes too long to be put there for a turn.
    listMany: { path: makePath(stack) },
  };
  new Nftables(ways.listMany.path.node).applySync(list(MANY));
  let port = 10_000;
  const time = async (kind: Kind, names: readonly WayName[]) => {
    progress(`${kind}: ${rounds * TURNS} turns of ${TURN_MS} ms each`);
    await using ends = new AsyncDisposableStack();
    const traffic = new Map<Path, Traffic>();
    for (const { path } of names.map((name) => ways[name])) {
      if (traffic.has(path)) continue;
      const { client, server } = path;
      traffic.set(path, ends.use(await Traffic.between(client, server, kind, port)));
      port += 5_000;
    }
    const rates = new Map<WayName, number[]>(names.map((name) => [name, []]));
    for (let turn = -TURNS; turn < rounds * TURNS; turn++) {
      for (const i of names.keys()) {
        const name = names[(i + turn + TURNS) % names.length]!;
        const { path, enter, leave } = ways[name];
        await enter?.();
        const rate = await traffic.get(path)!.turn(TURN_MS);
        await leave?.();
        // The first ones warm up.
        if (turn >= 0) rates.get(name)!.push(rate);
      }
    }
    // Of what was measured one after the other: the machine is not the same all the time.
    return (of: WayName, over: WayName) => ratioOf(rates.get(of)!, rates.get(over)!);
  };
  const stream = await time('stream', ['open', 'few', 'listFew']);
  const rr = await time('rr', ['open', 'few', 'listFew']);
  const crr = await time('crr', ['open', 'few', 'listFew']);
  const packets = await time('packets', ['few', 'many', 'listFew', 'listMany']);
  const ratios = (few: WayName, many: WayName): Ratios => ({
    stream: stream(few, 'open'),
    rr: rr(few, 'open'),
    crr: crr(few, 'open'),
    rules100k: packets(many, few),
  });
  return [ratios('few', 'many'), ratios('listFew', 'listMany')];
}

const ratioOf = (of: readonly number[], over: readonly number[]): number => {
  const ratios = of.map((rate, turn) => rate / over[turn]!).sort((a, b) => a - b);
  return Number(ratios[ratios.length >> 1]!.toFixed(3));
};

/** So many blocks, none of them the pods'; the last rule lets them reach each other. */
function blocks(count: number): Cidr[] {
  const others = Array.from(
    { length: count - 1 },
    (_, n) => `${11 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}.0/24` as Cidr,
  );
  return [...others, '10.0.1.0/24' as Cidr];
}

/** Both pods, by rules of their own in both directions. The kernel holds them all the time: another link has them too. */
async function guard(stack: AsyncDisposableStack, path: Path, count: number): Promise<Way> {
  const { node, client, server } = path;
  const directory = mkdtempSync(join(tmpdir(), 'enid-bench-'));
  execFileSync('mount', ['-t', 'bpf', 'bpf', directory]);
  stack.defer(() => {
    execFileSync('umount', [directory]);
    rmdirSync(directory);
  });
  const plane = await DataPlane.open({ directory: join(directory, 'policy'), ns: node });
  stack.defer(() => plane.close());
  const peers = blocks(count).map((cidr, rule) => ({ rule, action: 'Accept' as const, cidr }));
  const direction: DirectionRules = {
    ...unbound('allow'),
    networkPolicies: [{ policy: { kind: 'NetworkPolicy', namespace: 'default', name: 'bench' }, peers }],
  };
  const rules = { ingress: direction, egress: direction };
  await plane.guard([{ ifindex: LOOPBACK, rules }]);
  const pods = [client.ifindex, server.ifindex];
  return {
    path,
    enter: () => plane.guard(pods.map((ifindex) => ({ ifindex, rules }))),
    leave: () => Promise.all(pods.map((ifindex) => plane.release(ifindex))),
  };
}

/** What somebody would write who has nothing but nftables: what goes on goes on, and a list for what begins. */
function list(count: number): string {
  const side = (field: 'saddr' | 'daddr') =>
    blocks(count)
      .map((cidr) => `ip ${field} ${cidr} return`)
      .join('\n');
  return `table ip policies {
    chain from-pod { ${side('daddr')}
      drop
    }
    chain to-pod { ${side('saddr')}
      drop
    }
    chain forward { type filter hook forward priority filter; policy accept;
      ct state established,related accept
      jump from-pod
      jump to-pod
    }
  }
`;
}
