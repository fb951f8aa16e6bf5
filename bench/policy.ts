/**
 * Times what network policies cost: traffic between pods of two nodes of a lab with policies and without, packets with 100,000
 * rules and with 10, and beside the same rules as a list of nftables. They are put in the way of the same traffic by turns: two ways that are
 * made alike differ by more than what is to be found. How soon a policy is in force is timed on a lab.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cidr } from '@enid/ip';
import { claimEmptyLab, type Host } from '@enid/lab';
import { NetNamespace, Nftables } from '@enid/linux';
import { DataPlane } from '../packages/agent/src/policy/data-plane/index.ts';
import { type DirectionRules, unbound } from '../packages/agent/src/policy/rules.ts';
import { enforce } from './policy-enforce.ts';
import { makeLabPaths, makePath, type Path } from './policy-path.ts';
import { type Kind, Traffic } from './traffic.ts';

/** How much is measured, unless told otherwise. */
export const ROUNDS = 25;
/** Each way has so many turns in a round, and some before that do not count. */
const TURNS = 10;
const WARM_UP = 10;
/** So often the programs are loaded anew: where in memory they and their maps come to lie is worth a percent. */
const LOADS = 5;
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
  /** From the first word of a policy to its being in force on all of 220 pods of two nodes, in milliseconds. */
  enforce_ms: { p50: number; p99: number };
};

/** What may lie in the way of traffic, and is put there for a turn. */
type Way = { readonly path: Path; readonly enter?: () => unknown; readonly leave?: () => unknown };

/** @param scope takes away what is made here, if nobody else has. @param progress told what is being done. @param rounds of ten turns each; four times as many policies are made. */
export async function policy(
  host: Host,
  scope: AsyncDisposableStack,
  progress: (line: string) => void,
  rounds = ROUNDS,
): Promise<PolicyResult> {
  using _claim = await claimEmptyLab(LAB);
  const few = await traffic(host, scope, progress, rounds);
  const many = await packets(scope, progress, rounds);
  const enforce_ms = await enforce(LAB, host, progress, 4 * rounds);
  return {
    ratio: { ...few.maps, ...many.maps },
    nftables: { ...few.lists, ...many.lists },
    enforce_ms,
  };
}

/** Of policies as they are, and as lists of nftables. */
type Both<Names extends keyof Ratios> = { maps: Pick<Ratios, Names>; lists: Pick<Ratios, Names> };

/** What a few rules cost traffic between two nodes. */
async function traffic(
  host: Host,
  scope: AsyncDisposableStack,
  progress: (line: string) => void,
  rounds: number,
): Promise<Both<'stream' | 'rr' | 'crr'>> {
  await using stack = scope.use(new AsyncDisposableStack());
  const { path, beside } = await makeLabPaths(stack, LAB, host, progress);
  const lists: Pair = {
    with: { ...list(nodesOf(path), FEW), path },
    without: { ...list(podsOf(stack, beside), FEW), path },
  };
  const both = async (kind: Kind): Promise<[maps: number, lists: number]> => {
    progress(`${kind}: ${rounds * TURNS} turns of ${TURN_MS} ms each, with policies and with lists`);
    const ratios: number[] = [];
    for (let load = 0; load < LOADS; load++) {
      await using loaded = scope.use(new AsyncDisposableStack());
      // For some time the kernel has work with each change of what is in the way, which alone is worth some percent: without
      // policies they are put where nothing comes by.
      const pair = {
        with: await (await open(loaded, path))(FEW),
        without: { ...(await (await open(loaded, beside))(FEW)), path },
      };
      ratios.push(...(await compare(kind, pair, Math.ceil((rounds * TURNS) / LOADS))));
    }
    return [median(ratios), median(await compare(kind, lists, rounds * TURNS))];
  };
  const [stream, rr, crr] = [await both('stream'), await both('rr'), await both('crr')];
  return {
    maps: { stream: stream[0], rr: rr[0], crr: crr[0] },
    lists: { stream: stream[1], rr: rr[1], crr: crr[1] },
  };
}

/** What many rules cost packets more than few do. */
async function packets(
  scope: AsyncDisposableStack,
  progress: (line: string) => void,
  rounds: number,
): Promise<Both<'rules100k'>> {
  await using stack = scope.use(new AsyncDisposableStack());
  progress(`packets: ${rounds * TURNS} turns of ${TURN_MS} ms each, with ${MANY} rules and with ${FEW}`);
  const path = makePath(stack);
  const guard = await open(stack, path);
  const maps: Pair = { without: await guard(FEW), with: await guard(MANY) };
  // As a list so many take too long to be put there for a turn.
  const listed = makePath(stack);
  list(nodesOf(listed), MANY).enter();
  const lists: Pair = { with: { path: listed }, without: { ...list(nodesOf(path), FEW), path } };
  return {
    maps: { rules100k: median(await compare('packets', maps, rounds * TURNS)) },
    lists: { rules100k: median(await compare('packets', lists, rounds * TURNS)) },
  };
}

/** Two ways that differ by one thing. */
type Pair = { readonly with: Way; readonly without: Way };

/** Lets traffic flow by each of two ways in turn. @returns the ratios of its rates. */
async function compare(kind: Kind, pair: Pair, turns: number): Promise<number[]> {
  await using ends = new AsyncDisposableStack();
  const flows = new Map<Path, Traffic>();
  for (const path of new Set([pair.with.path, pair.without.path]))
    flows.set(path, ends.use(await Traffic.between(path.client, path.server, kind, PORTS[kind])));
  const turn = async ({ path, enter, leave }: Way): Promise<number> => {
    await enter?.();
    const rate = await flows.get(path)!.turn(TURN_MS);
    await leave?.();
    return rate;
  };
  const ratios: number[] = [];
  for (let n = -WARM_UP; n < turns; n++) {
    // There and back, so that each follows the other as often as itself; and of what was measured one after the other, as the
    // machine is not the same all the time.
    const [first, second] = n % 2 ? [pair.with, pair.without] : [pair.without, pair.with];
    const rates = new Map([
      [first, await turn(first)],
      [second, await turn(second)],
    ]);
    // The first ones warm up.
    if (n >= 0) ratios.push(rates.get(pair.with)! / rates.get(pair.without)!);
  }
  return ratios;
}

const median = (values: readonly number[]): number =>
  Number(values.toSorted((a, b) => a - b)[values.length >> 1]!.toFixed(3));

/** So many blocks, none of them the pods' but near them, so that theirs is found deep among them; the last one lets them reach each other. */
function blocks(count: number): Cidr[] {
  const others = Array.from({ length: count - 1 }, (_, i) => {
    const n = 128 + i;
    return `${10 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}.0/24` as Cidr;
  });
  return [...others, '10.0.0.0/16' as Cidr];
}

let mounted = 0;

/**
 * Loads the programs for the pods of a path.
 * @returns what guards both by so many rules in both directions. The kernel holds the rules asked for last all the time: another link has them too.
 */
async function open(stack: AsyncDisposableStack, path: Path): Promise<(count: number) => Promise<Way>> {
  const planes = new Map<NetNamespace, DataPlane>();
  for (const ns of nodesOf(path)) {
    const directory = join(tmpdir(), `enid-bench-${process.pid}-${++mounted}`);
    stack.defer(() => {
      execFileSync('umount', [directory]);
      rmdirSync(directory);
    });
    mkdirSync(directory, 0o700);
    execFileSync('mount', ['-t', 'bpf', 'bpf', directory]);
    const plane = await DataPlane.open({ directory: join(directory, 'policy'), ns });
    stack.defer(() => plane.close());
    planes.set(ns, plane);
  }
  const each = (act: (plane: DataPlane, ifindex: number) => Promise<void>) => () =>
    Promise.all([path.client, path.server].map(({ node, ifindex }) => act(planes.get(node)!, ifindex)));
  return async (count) => {
    const peers = blocks(count).map((cidr, rule) => ({ rule, action: 'Accept' as const, cidr }));
    const direction: DirectionRules = {
      ...unbound('allow'),
      networkPolicies: [{ policy: { kind: 'NetworkPolicy', namespace: 'default', name: 'bench' }, peers }],
    };
    const rules = { ingress: direction, egress: direction };
    for (const plane of planes.values()) await plane.guard([{ ifindex: LOOPBACK, rules }]);
    return {
      path,
      enter: each((plane, ifindex) => plane.guard([{ ifindex, rules }])),
      leave: each((plane, ifindex) => plane.release(ifindex)),
    };
  };
}

/** The namespaces of one node, or of two. */
const nodesOf = ({ client, server }: Path): Set<NetNamespace> => new Set([client.node, server.node]);

/** The namespaces of the pods themselves. */
const podsOf = (stack: AsyncDisposableStack, { client, server }: Path): NetNamespace[] =>
  [client, server].map(({ namespace }) => stack.adopt(NetNamespace.named(namespace), (ns) => ns.close()));

/** What somebody would write who has nothing but nftables: what goes on goes on, and a list for what begins. */
function list(where: Iterable<NetNamespace>, count: number): Required<Omit<Way, 'path'>> {
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
  const all = [...where].map((namespace) => new Nftables(namespace));
  return {
    enter: () => {
      for (const nftables of all) nftables.applySync(table);
    },
    leave: () => {
      for (const nftables of all) nftables.applySync('delete table ip policies\n');
    },
  };
}
