/** What the data plane takes and gives; see {@link DataPlane}. */
import type { Ip } from '@enid/ip';
import type { NetNamespace } from '@enid/linux';
import type { Decision, Direction, PodRules, RuleRef, Verdict } from '../rules.ts';

/** Which verdicts on new flows become events: `denied` ones alone, or `all`. */
export type LogLevel = 'none' | 'denied' | 'all';

export type DataPlaneOptions = {
  /** Where links and the maps of flows are pinned, on a BPF file system; made when it is missing. */
  readonly directory: string;
  /** The node's network namespace, in which the pods' links are; the calling thread's by default. */
  readonly ns?: NetNamespace;
  /** How programs are attached, clsact by default; see `Hooks`. */
  readonly hook?: 'tcx' | 'clsact';
  /** Largest numbers of entries. That of `flows` takes memory at once, and that which is pinned already is kept. */
  readonly sizes?: { readonly peers?: number; readonly verdicts?: number; readonly flows?: number };
  /** How many events a second the kernel lets through for each verdict, {@link EVENTS_PER_SECOND} unless given; the others are counted as lost. */
  readonly eventsPerSecond?: number;
  /** The compiled programs, by default those of the checkout or the image. */
  readonly object?: Uint8Array;
};

/** A pod's link on the node, and what binds it. */
export type Guard = {
  /** Of the pod's link on the node. */
  readonly ifindex: number;
  readonly rules: PodRules;
  readonly log?: LogLevel;
};

/** A packet as the pod's side sees it; `port` is the destination's, 0 for protocols that have none. */
export type Question = {
  readonly ifindex: number;
  readonly direction: Direction;
  /** The other side's. */
  readonly address: Ip;
  /** IP's protocol number: 6 TCP, 17 UDP, 132 SCTP, 1 ICMP. */
  readonly protocol: number;
  readonly port: number;
};

/** What the kernel's maps hold for a packet; each step is missing where the one before led nowhere. */
export type Explanation = {
  /** Undefined: the pod is not guarded, everything passes. */
  readonly decision?: Decision;
  /** Set and revision that bind the direction. */
  readonly set?: number;
  readonly revision?: number;
  /** What the address belongs to. */
  readonly peerClass?: number;
};

/** A flow that is let through at the moment. */
export type Flow = {
  readonly ifindex: number;
  readonly protocol: number;
  readonly remoteAddress: Ip;
  readonly remotePort: number;
  readonly localPort: number;
  /** In which it began. */
  readonly direction: Direction;
  /** What let it through; undefined when an agent before this one did. */
  readonly by?: RuleRef;
  /** Begun by the node itself, or by the pod with itself: no policy is asked. */
  readonly exempt: boolean;
  /** Whether it was judged by the rules that hold now; otherwise its next packet is judged anew. */
  readonly current: boolean;
  /** Seconds since its last packet. */
  readonly idle: number;
};

/** A flow that was let through, told by its first packet, or a packet that was denied. */
export type PolicyEvent = {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly ifindex: number;
  readonly direction: Direction;
  readonly verdict: Verdict;
  /** `rule`, or why no rule was asked: a later piece of a datagram without its first one, or a packet that cannot be read. */
  readonly reason: 'rule' | 'fragment' | 'malformed';
  /** Undefined when no rule was asked, or when an agent before this one had set it. */
  readonly by?: RuleRef;
  readonly source: Ip;
  readonly destination: Ip;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
};

/** Sums since the maps were made, of all pods and processors. */
export type Counters = {
  /** Packets that passed and were denied. */
  readonly packets: { readonly [D in Direction]: { readonly [V in Verdict]: number } };
  /** Flows that were judged, by verdict; a denied one is counted with each packet. */
  readonly flows: { readonly [D in Direction]: { readonly [V in Verdict]: number } };
  /** Events that were left out by the limit, or because the ring was full. */
  readonly lostEvents: number;
  /** Flows that could not be remembered. */
  readonly untracked: number;
};

/** How full the maps are. */
export type Usage = {
  readonly [M in 'pods' | 'peers' | 'verdicts']: { readonly used: number; readonly most: number };
};
