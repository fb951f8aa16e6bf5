/**
 * Times what network policies cost: traffic between two pods of a node with policies and without, with 100,000 rules and with
 * 10, and beside the same rules as a list of nftables, in turns. How soon a policy is in force is timed on a lab.
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
import { streams } from './streams.ts';
import { type Kind, measure } from './traffic.ts';

/** What a measurement is repeated, unless told otherwise. */
export const ROUNDS = 25;
const ROUND_MS = 200;
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

type Way = 'open' | 'few' | 'many' | 'listFew' | 'listMany';

/** @param progress told what is being done. @param rounds in which each way is measured once; four times as many policies are made. */
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
  const ways: Record<Way, Path> = {
    open: makePath(stack),
    few: makePath(stack),
    many: makePath(stack),
    listFew: makePath(stack),
    listMany: makePath(stack),
  };
  await guard(stack, ways.few, FEW);
  await guard(stack, ways.many, MANY);
  list(ways.listFew, FEW);
  list(ways.listMany, MANY);
  const time = async (kind: Kind, names: readonly Way[]) => {
    progress(`${kind}: ${rounds} times, in turns`);
    const rates = new Map<Way, number[]>(names.map((name) => [name, []]));
    for (let round = -1; round < rounds; round++) {
      for (const [i] of names.entries()) {
        const name = names[(i + round + names.length) % names.length]!;
        const { client, server } = ways[name];
        const port = 10_000 + 10 * (round + 1) + i;
        const rate = await measure(kind, client, server, port, ROUND_MS);
        // The first ones warm up.
        if (round >= 0) rates.get(name)!.push(rate);
      }
    }
    // Of what was measured one after the other: the machine is not the same all the time.
    return (of: Way, over: Way) => ratioOf(rates.get(of)!, rates.get(over)!);
  };
  const stream = await (async () => {
    const names: readonly Way[] = ['open', 'few', 'listFew'];
    progress(`stream: ${rounds} times, in turns`);
    const rates = await streams(
      names.map((name) => ways[name]),
      9_999,
      20 * rounds,
    );
    return (of: Way, over: Way) => ratioOf(rates[names.indexOf(of)]!, rates[names.indexOf(over)]!);
  })();
  const [rr, crr] = [
    await time('rr', ['open', 'few', 'listFew']),
    await time('crr', ['open', 'few', 'listFew']),
  ];
  const packets = await time('packets', ['few', 'many', 'listFew', 'listMany']);
  const ratios = (few: Way, many: Way): Ratios => ({
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

/** Both pods, by rules of their own in both directions. */
async function guard(
  stack: AsyncDisposableStack,
  { node, client, server }: Path,
  count: number,
): Promise<void> {
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
  await plane.guard([client, server].map(({ ifindex }) => ({ ifindex, rules })));
}

/** What somebody would write who has nothing but nftables: what goes on goes on, and a list for what begins. */
function list({ node }: Path, count: number): void {
  const side = (field: 'saddr' | 'daddr') =>
    blocks(count)
      .map((cidr) => `ip ${field} ${cidr} return`)
      .join('\n');
  new Nftables(node).applySync(`table ip policies {
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
  }`);
}
