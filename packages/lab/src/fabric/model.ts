/**
 * What the fabric wants the kernel to look like, as plain data. Links are meant by name, since an index is only
 * known once the link exists.
 */
import type { Ipv4, Ipv4Cidr } from '@enid/ip';
import type { Table } from './ruleset.ts';

export type FabricPlan = {
  /** By name under /run/netns. */
  readonly namespaces: ReadonlyMap<string, NamespacePlan>;
  /** In the order in which they are plugged in. */
  readonly cables: readonly Cable[];
};

export type NamespacePlan = {
  /**
   * `whole`: the namespace is the fabric's; what is in it and not in the plan is taken away. `boot`: it is
   * configured as it comes up, then it belongs to what runs in it. `kept`: what the plan has is always there, and what
   * else is in it belongs to what runs there.
   */
  readonly ownership: 'whole' | 'boot' | 'kept';
  /** By key, such as `net.ipv4.ip_forward`. */
  readonly sysctls: Readonly<Record<string, string>>;
  readonly addresses: readonly LinkAddress[];
  /** Permanent neighbours. */
  readonly neighbours: readonly LinkNeighbour[];
  readonly routes: readonly LinkRoute[];
  /** Besides the kernel's own three. */
  readonly rules: readonly RoutingRule[];
  /** nftables: the tables of the fabric; others are nobody's business here. */
  readonly tables: readonly Table[];
};

export type LinkAddress = { readonly link: string; readonly address: Ipv4; readonly prefixLength: number };

export type LinkNeighbour = { readonly link: string; readonly address: Ipv4; readonly mac: string };

export type LinkRoute = { readonly destination: Ipv4Cidr; readonly table: number } & (NextHop | Blackhole);

export type NextHop = {
  readonly link: string;
  /** Absent: the destination is on the link itself. */
  readonly gateway?: Ipv4;
  /** The gateway is on the link though no address says so. */
  readonly onlink?: boolean;
  /** The source of what the namespace itself sends there, such as ICMP errors. */
  readonly prefSource?: Ipv4;
  /** It is for the namespace itself, whoever has the address. */
  readonly local?: boolean;
};

export type Blackhole = { readonly blackhole: true };

export type RoutingRule = {
  readonly priority: number;
  readonly table: number;
  readonly fwmark?: number;
  readonly from?: Ipv4Cidr;
  /** Name of the link that a packet came by. */
  readonly iif?: string;
  /** Name of the link that the sending socket is bound to. */
  readonly oif?: string;
};

/** A veth pair between two namespaces. */
export type Cable = {
  /** The end in a namespace that is the fabric's own. It comes up last: a port that is up is plugged in. */
  readonly port: CableEnd & { readonly sysctls: Readonly<Record<string, string>> };
  readonly plug: CableEnd & {
    /**
     * `exact`: the name must be `name`. `free`: the next free name counting up from it, as a machine names
     * a device that it finds.
     */
    readonly naming: 'exact' | 'free';
    /** Comes up with the cable, and its namespace's plan with it. Otherwise it waits for what runs there. */
    readonly up: boolean;
  };
  readonly mtu: number;
};

export type CableEnd = {
  readonly namespace: string;
  readonly name: string;
  /** The kernel's choice when absent. */
  readonly mac?: string;
};

/** The destination of a default route. */
export const DEFAULT_ROUTE = '0.0.0.0/0' as Ipv4Cidr;
/** The main routing table of a namespace. */
export const MAIN_TABLE = 254;
/** Of the fabric's nftables tables. */
export const TABLE_NAME = 'enid';
