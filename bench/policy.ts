/**
 * Times what network policies cost: traffic between pods of two nodes of a lab with policies and without, packets with 100,000
 * rules and with 10, and beside the same rules as a list of nftables. They are put in the way of the same traffic by turns: two ways that are
 * made alike differ by more than what is to be found. How soon a policy is in force is timed on a lab.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cidr } from '@enid/ip';
import { claimLab, type Host } from '@enid/lab';
import { type NetNamespace, Nftables } from '@enid/linux';
import { DataPlane } from '../packages/agent/src/policy/data-plane/index.ts';
import { type DirectionRules, unbound } from '../packages/agent/src/policy/rules.ts';
import { enforce } from './policy-enforce.ts';
import { makeLabPath, makePath, type Path } from './policy-path.ts';
import { type Kind, Traffic } from './traffic.ts';

/** How much is measured, unless told otherwise. */
export const ROUNDS = 25;
/** Each way has so many turns in a round. */
const TURNS = 10;
const TURN_MS = 20;
const LAB = 'bench';
const LOOPBACK = 1;
const PORTS: Readonly<Record<Kind, number>> = { stream: 10_001, rr: 10_002, crr: 10_003, packets: 20_000 };
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

/** @param progress told what is being done. @param rounds of ten turns each; four times as many policies are made. */
export async function policy(
  host: Host,
  progress: (line: string) => void,
  rounds = ROUNDS,
): Promise<PolicyResult> {
  await claimLab(LAB);
  const few = await traffic(host, progress, rounds);
  const many = await packets(progress, rounds);
  const ratios = (of: 'few' | 'listFew'): Ratios => ({ ...few(of), ...many(of) });
  const enforce_ms = await enforce(LAB, host, progress, 4 * rounds);
  return { ratio: ratios('few'), nftables: ratios('listFew'), enforce_ms };
}

type Compare<Kinds extends keyof Ratios> = (of: 'few' | 'listFew') => Pick<Ratios, Kinds>;

/** What a few rules cost traffic between two nodes. */
async function traffic(
  host: Host,
  progress: (line: string) => void,
  rounds: number,
): Promise<Compare<'stream' | 'rr' | 'crr'>> {
  await using stack = new AsyncDisposableStack();
  const path = await makeLabPath(stack, LAB, host, progress);
  const ways = { open: { path }, few: await guard(stack, path, FEW), listFew: list(path, FEW) };
  const stream = await time('stream', ways, rounds, progress);
  const rr = await time('rr', ways, rounds, progress);
  const crr = await time('crr', ways, rounds, progress);
  return (of) => ({ stream: stream(of, 'open'), rr: rr(of, 'open'), crr: crr(of, 'open') });
}

/** What many rules cost packets more than few do. */
async function packets(progress: (line: string) => void, rounds: number): Promise<Compare<'rules100k'>> {
  await using stack = new AsyncDisposableStack();
  progress(`making pods, with ${MANY} rules and with ${FEW}`);
  const path = makePath(stack);
  // As a list so many take too long to be put there for a turn.
  const listMany = { path: makePath(stack) };
  list(listMany.path, MANY).enter();
  const ways = {
    few: await guard(stack, path, FEW),
    many: await guard(stack, path, MANY),
    listFew: list(path, FEW),
    listMany,
  };
  const ratio = await time('packets', ways, rounds, progress);
  return (few) => ({ rules100k: ratio(few === 'few' ? 'many' : 'listMany', few) });
}

/** Lets traffic flow by each of the ways in turn. @returns the ratio of two ways. */
async function time<Name extends string>(
  kind: Kind,
  ways: Readonly<Record<Name, Way>>,
  rounds: number,
  progress: (line: string) => void,
): Promise<(of: Name, over: Name) => number> {
  progress(`${kind}: ${rounds * TURNS} turns of ${TURN_MS} ms each`);
  await using ends = new AsyncDisposableStack();
  const names = Object.keys(ways) as Name[];
  const flows = new Map<Path, Traffic>();
  for (const { path } of Object.values<Way>(ways)) {
    if (flows.has(path)) continue;
    flows.set(path, ends.use(await Traffic.between(path.client, path.server, kind, PORTS[kind])));
  }
  const rates = new Map<Name, number[]>(names.map((name) => [name, []]));
  for (let turn = -TURNS; turn < rounds * TURNS; turn++) {
    for (const i of names.keys()) {
      const name = names[(i + turn + TURNS) % names.length]!;
      const { path, enter, leave } = ways[name];
      await enter?.();
      const rate = await flows.get(path)!.turn(TURN_MS);
      await leave?.();
      // The first ones warm up.
      if (turn >= 0) rates.get(name)!.push(rate);
    }
  }
  // Of what was measured one after the other: the machine is not the same all the time.
  return (of, over) => ratioOf(rates.get(of)!, rates.get(over)!);
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
  return [...others, '10.0.0.0/16' as Cidr];
}

/** Both pods, by rules of their own in both directions. The kernel holds them all the time: another link has them too. */
async function guard(stack: AsyncDisposableStack, path: Path, count: number): Promise<Way> {
  const peers = blocks(count).map((cidr, rule) => ({ rule, action: 'Accept' as const, cidr }));
  const direction: DirectionRules = {
    ...unbound('allow'),
    networkPolicies: [{ policy: { kind: 'NetworkPolicy', namespace: 'default', name: 'bench' }, peers }],
  };
  const rules = { ingress: direction, egress: direction };
  const planes = new Map<NetNamespace, DataPlane>();
  for (const ns of nodesOf(path)) {
    const directory = mkdtempSync(join(tmpdir(), 'enid-bench-'));
    execFileSync('mount', ['-t', 'bpf', 'bpf', directory]);
    stack.defer(() => {
      execFileSync('umount', [directory]);
      rmdirSync(directory);
    });
    const plane = await DataPlane.open({ directory: join(directory, 'policy'), ns });
    stack.defer(() => plane.close());
    await plane.guard([{ ifindex: LOOPBACK, rules }]);
    planes.set(ns, plane);
  }
  const each = (act: (plane: DataPlane, ifindex: number) => Promise<void>) => () =>
    Promise.all([path.client, path.server].map(({ node, ifindex }) => act(planes.get(node)!, ifindex)));
  return {
    path,
    enter: each((plane, ifindex) => plane.guard([{ ifindex, rules }])),
    leave: each((plane, ifindex) => plane.release(ifindex)),
  };
}

/** The namespaces of one node, or of two. */
const nodesOf = ({ client, server }: Path): Set<NetNamespace> => new Set([client.node, server.node]);

/** What somebody would write who has nothing but nftables: what goes on goes on, and a list for what begins. */
function list(path: Path, count: number): Required<Way> {
  const side = (field: 'saddr' | 'daddr') =>
    blocks(count)
      .map((cidr) => `ip ${field} ${cidr} return`)
      .join('\n');
  const table = `table ip policies {
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
  const all = [...nodesOf(path)].map((node) => new Nftables(node));
  return {
    path,
    enter: () => {
      for (const nftables of all) nftables.applySync(table);
    },
    leave: () => {
      for (const nftables of all) nftables.applySync('delete table ip policies\n');
    },
  };
}
