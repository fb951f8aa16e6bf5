/**
 * The nftables table of services: one for each family of addresses, `enid-services`.
 *
 * A new connection is looked up once in the map `frontends`, whatever number of Services there is, and goes on to a
 * chain that is shared by all Services of the same shape: `random/tcp-3` draws one of three slots and translates to what the
 * map `endpoints-tcp` has there. A Service is so some elements of maps. Only what remembers clients has chains of
 * its own, since a map's data cannot be checked before it is used.
 *
 * Maps have a key's port and protocol apart, since nft binds `tcp dport` to a protocol: with `th dport` in a map of
 * translations it refuses (or, worse, narrows to the first protocol) rules that are added later.
 */

export type Family = 'ip' | 'ip6';
export const TABLE = 'enid-services';
/** A packet whose connection the node has to translate the source of; kube-proxy's bit. */
const MASQUERADE_MARK = '0x4000';

/** The address in keys that stands for every address of the node. */
export const ANY: Record<Family, string> = { ip: '0.0.0.0', ip6: '::' };
const LOOPBACK: Record<Family, string> = { ip: '127.0.0.0/8', ip6: '::1' };
const TYPE: Record<Family, string> = { ip: 'ipv4_addr', ip6: 'ipv6_addr' };
export const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
/** IANA's. */
export const PROTOCOL_NUMBERS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };
/** TCP is refused by a reset: of ICMP's errors the kernel sends a client but one a second. */
const REFUSE = ['meta l4proto tcp reject with tcp reset', 'reject'];
/** Clients that are remembered for one port of a Service. */
const AFFINITY_SIZE = 65_536;

export type LayoutOptions = {
  /** Where node ports are served; empty: at all addresses of the node but loopback. Disjoint. */
  readonly nodePortCidrs: readonly string[];
};

/** The names of sets and maps whose elements are planned. */
export const SETS = [
  'frontends',
  ...PROTOCOLS.map((protocol) => `endpoints-${protocol}`),
  'affinity-members',
  'source-ranges',
  'hairpin',
  'cluster-ips',
];

/**
 * What does not depend on Services: sets and chains with hooks. Leaves elements as they are, so that it can be
 * applied over what is there.
 */
export function baseScript(family: Family, { nodePortCidrs }: LayoutOptions): string {
  const table = `${family} ${TABLE}`;
  const type = TYPE[family];
  const sets = [
    `map ${table} frontends { type ${type} . inet_proto . inet_service : verdict; }`,
    ...PROTOCOLS.map(
      (protocol) =>
        `map ${table} endpoints-${protocol} { typeof ${family} daddr . ${protocol} dport . numgen random mod 2 : ` +
        `${family} daddr . ${protocol} dport; }`,
    ),
    `map ${table} affinity-members { type ${type} . inet_proto . inet_service . ${type} . inet_service : verdict; }`,
    `set ${table} source-ranges { type ${type} . inet_proto . inet_service . ${type}; flags interval; }`,
    `set ${table} hairpin { type ${type} . ${type}; }`,
    `set ${table} cluster-ips { type ${type}; }`,
  ];
  const ofFamily = nodePortCidrs.filter((cidr) => cidr.includes(':') === (family === 'ip6'));
  const at = ofFamily.length > 0 ? `${family} daddr { ${ofFamily.join(', ')} } ` : '';
  const anyAddress = `${family} daddr and ${ANY[family]}`;
  const service = 'meta l4proto . th dport vmap @frontends';
  const chains: Record<string, { hook?: string; rules: string[] }> = {
    services: {
      rules: [
        `${family} daddr . ${service}`,
        // A port that a Service does not have.
        ...REFUSE.map((refuse) => `${family} daddr @cluster-ips ${refuse}`),
        ...(nodePortCidrs.length > 0 && ofFamily.length === 0
          ? []
          : [`fib daddr type local ${family} daddr != ${LOOPBACK[family]} ${at}${anyAddress} . ${service}`]),
      ],
    },
    // Once the packet has its new destination.
    remember: {
      rules: PROTOCOLS.flatMap((protocol) =>
        [`ct original ${family} daddr`, `ct original ${family} daddr and ${ANY[family]}`].map(
          (address) =>
            `meta l4proto ${protocol} ${address} . meta l4proto . ct original proto-dst . ` +
            `${family} daddr . th dport vmap @affinity-members`,
        ),
      ),
    },
    prerouting: { hook: 'type nat hook prerouting priority -100', rules: ['jump services'] },
    output: { hook: 'type nat hook output priority -100', rules: ['jump services'] },
    'after-prerouting': {
      hook: 'type filter hook prerouting priority -99',
      rules: ['ct state new ct status dnat jump remember'],
    },
    'after-output': {
      hook: 'type filter hook output priority -99',
      rules: ['ct state new ct status dnat jump remember'],
    },
    // A late packet of an endpoint would reach the client under the endpoint's own address and end the connection.
    forward: { hook: 'type filter hook forward priority 0', rules: ['ct state invalid drop'] },
    // Before what translates traffic to the outside, which would leave the service's client as it is.
    postrouting: {
      hook: 'type nat hook postrouting priority 99',
      rules: [
        // A pod that reached itself would answer itself past the node.
        `ct status dnat ${family} saddr . ${family} daddr @hairpin masquerade fully-random`,
        `meta mark and ${MASQUERADE_MARK} == 0 return`,
        `meta mark set meta mark xor ${MASQUERADE_MARK}`,
        'masquerade fully-random',
      ],
    },
  };
  return [
    `add table ${table}`,
    ...sets.map((set) => `add ${set}`),
    ...Object.entries(chains).flatMap(([name, { hook }]) => [
      `add chain ${table} ${name}${hook ? ` { ${hook}; policy accept; }` : ''}`,
      `flush chain ${table} ${name}`,
    ]),
    ...Object.entries(chains).flatMap(([name, { rules }]) =>
      rules.map((rule) => `add rule ${table} ${name} ${rule}`),
    ),
    '',
  ].join('\n');
}

/** The names of the chains of {@link baseScript}. */
export const BASE_CHAINS = new Set([
  'services',
  'remember',
  'prerouting',
  'output',
  'after-prerouting',
  'after-output',
  'forward',
  'postrouting',
]);

/** How a frontend's connections are balanced. */
export type Balance = {
  readonly protocol: (typeof PROTOCOLS)[number];
  /** Whether the frontend is at all addresses of the node. */
  readonly nodePort: boolean;
  readonly from: number;
  readonly count: number;
  /** The memory of clients that it goes by, see {@link affinityMaps}. */
  readonly sticky: string | undefined;
};

/** The chains that frontends lead to, by name: each with its rules, one a line. */
export class Chains {
  readonly all = new Map<string, string>();
  readonly #family: Family;

  constructor(family: Family) {
    this.#family = family;
  }

  #chain(name: string, rules: readonly string[]): string {
    this.all.set(name, rules.join('\n'));
    return name;
  }

  /** To one of the slots, at random. */
  balance({ protocol, nodePort, from, count, sticky }: Balance): string {
    const family = this.#family;
    const shape = `${protocol}-${count}${from > 0 ? `-from-${from}` : ''}`;
    const address = nodePort ? `${family} daddr and ${ANY[family]}` : `${family} daddr`;
    const random = this.#chain(`${nodePort ? 'node-random' : 'random'}/${shape}`, [
      `dnat ${family} to ${address} . ${protocol} dport . numgen random mod ${count} offset ${from} ` +
        `map @endpoints-${protocol}`,
    ]);
    if (sticky === undefined) return random;
    return this.#chain(`${nodePort ? 'node-sticky' : 'sticky'}/${sticky}/${shape}`, [
      `meta l4proto ${protocol} dnat ${family} to ` +
        affinityMaps(sticky)
          .map((map) => `${family} saddr map @${map}`)
          .join(' : '),
      `goto ${random}`,
    ]);
  }

  /** On to `target`, with the node as the source. */
  masquerade(target: string): string {
    return this.#chain(`masquerade/${target}`, [
      `meta mark set meta mark or ${MASQUERADE_MARK}`,
      `goto ${target}`,
    ]);
  }

  /**
   * externalTrafficPolicy Local: clients outside get local endpoints or nothing; what comes from the node and its pods
   * may go anywhere, since its source is not a client's.
   */
  local(cluster: string, local: string | undefined, podLinks: string | undefined): string {
    const name = local === undefined ? `none/${cluster}` : `${local}/${cluster.split('/').at(-1)}`;
    const others = local === undefined ? 'drop' : `goto ${local}`;
    return this.#chain(
      `local/${name}`,
      byOrigin(podLinks, `goto ${cluster}`, `goto ${this.masquerade(cluster)}`, others),
    );
  }

  /** Only sources that the set `source-ranges` has for the frontend. */
  restricted(target: string): string {
    const family = this.#family;
    return this.#chain(`restricted/${target}`, [
      `${family} daddr . meta l4proto . th dport . ${family} saddr @source-ranges goto ${target}`,
      'drop',
    ]);
  }

  reject(): string {
    return this.#chain('rejected', REFUSE);
  }

  drop(): string {
    return this.#chain('dropped', ['drop']);
  }

  /** Keeps the client's endpoint in mind. The packet has its new destination by now. */
  remember(sticky: string, protocol: Balance['protocol'], seconds: number): string {
    const family = this.#family;
    const [addresses, ports] = affinityMaps(sticky);
    const client = `${family} saddr timeout ${seconds}s`;
    return this.#chain(`remember/${sticky}`, [
      `meta l4proto ${protocol} update @${addresses} { ${client} : ${family} daddr } ` +
        `update @${ports} { ${client} : th dport }`,
    ]);
  }

  /** Keeps the node and its pods in mind by one chain, everybody else by another: those whom {@link local} binds. */
  rememberApart(id: string, own: string, others: string, podLinks: string | undefined): string {
    return this.#chain(
      `remember/${id}.apart`,
      byOrigin(podLinks, `goto ${own}`, `goto ${own}`, `goto ${others}`),
    );
  }
}

/** Rules for packets of the node's pods, of the node itself, and of everybody else. */
function byOrigin(podLinks: string | undefined, pods: string, node: string, others: string): string[] {
  return [...(podLinks ? [`iifname "${podLinks}" ${pods}`] : []), `fib saddr type local ${node}`, others];
}

/**
 * The maps from clients to the address and the port of their endpoint: one memory of one port of a Service. They are two, as
 * nft's update of a map ends with an assertion where a value is larger than an IPv6 address.
 */
export function affinityMaps(id: string): [addresses: string, ports: string] {
  return [`affinity/${id}`, `affinity-port/${id}`];
}

/** The id of the memory that an affinity map belongs to. */
export function memoryOfMap(map: string): string {
  return map.slice(map.indexOf('/') + 1);
}

/** The declaration of an affinity map. */
export function affinityDeclaration(family: Family, map: string): string {
  const value = map.startsWith('affinity-port/') ? 'inet_service' : TYPE[family];
  return `{ type ${TYPE[family]} : ${value}; size ${AFFINITY_SIZE}; flags dynamic,timeout; }`;
}
