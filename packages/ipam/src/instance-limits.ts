/**
 * What each EC2 instance type allows of network interfaces: https://docs.aws.amazon.com/ec2/latest/instancetypes/
 * (columns "Max network interfaces" and "IPv4 addresses per interface").
 *
 * Within most families the limits follow from the size alone, so the table is the sizes of each family, the rule,
 * and the exceptions to it.
 */

/** Network limits of one instance type. */
export type InstanceLimits = {
  /** ENIs that network card 0 takes, the primary one included. Those of further cards carry no ordinary pods. */
  readonly enis: number;
  /** IPv4 addresses that one ENI takes, its own included. A delegated prefix takes the place of one address. */
  readonly ipv4PerEni: number;
  /** Prefixes can be delegated on Nitro only; a bare-metal type counts as such. */
  readonly hypervisor: 'nitro' | 'xen';
  readonly networkCards: number;
};

type Pair = readonly [enis: number, ipv4PerEni: number];

/** ENIs and addresses per ENI by size; every larger size, and bare metal, has 15 x 50. */
const BY_SIZE: Readonly<Record<string, Pair>> = {
  medium: [2, 4],
  large: [3, 10],
  xlarge: [4, 15],
  '2xlarge': [4, 15],
  '3xlarge': [4, 15],
  '4xlarge': [8, 30],
  '6xlarge': [8, 30],
  '8xlarge': [8, 30],
  '9xlarge': [8, 30],
  '10xlarge': [8, 30],
  '12xlarge': [8, 30],
};
const LARGEST: Pair = [15, 50];

/** Sizes of each family: `medium large metal` as they are, a number N for `Nxlarge`, 1 for `xlarge`. */
const NITRO: Readonly<Record<string, string>> = {
  't3 t3a t4g': 'nano micro small medium large 1 2',
  a1: 'medium large 1 2 4 metal',
  'c5 c5d': 'large 1 2 4 9 12 18 24 metal',
  'c5a c5ad': 'large 1 2 4 8 12 16 24',
  c5n: 'large 1 2 4 9 18 metal',
  'm5 m5d m5n m5dn r5 r5b r5d r5n r5dn': 'large 1 2 4 8 12 16 24 metal',
  'm5a m5ad r5a r5ad': 'large 1 2 4 8 12 16 24',
  'm5zn z1d': 'large 1 2 3 6 12 metal',
  'c6a m6a r6a': 'large 1 2 4 8 12 16 24 32 48 metal',
  'c6i c6id c6in m6i m6id m6in m6idn r6i r6id r6in r6idn': 'large 1 2 4 8 12 16 24 32 metal',
  'c6g c6gd m6g m6gd r6g r6gd x2gd c7g c7gd c7gn m7g m7gd r7g r7gd': 'medium large 1 2 4 8 12 16 metal',
  c6gn: 'medium large 1 2 4 8 12 16',
  'c7a m7a r7a': 'medium large 1 2 4 8 12 16 24 32 48 metal-48xl',
  'c7i m7i r7i': 'large 1 2 4 8 12 16 24 48 metal-24xl metal-48xl',
  'c7i-flex m7i-flex': 'large 1 2 4 8 12 16',
  r7iz: 'large 1 2 4 8 12 16 32 metal-16xl metal-32xl',
  'c8g m8g r8g': 'medium large 1 2 4 8 12 16 24 48 metal-24xl metal-48xl',
  d3: '1 2 4 8',
  d3en: '1 2 4 6 8 12',
  'g4ad g5g': '1 2 4 8 16',
  g4dn: '1 2 4 8 12 16 metal',
  'g5 g6 g6e': '1 2 4 8 12 16 24 48',
  gr6: '4 8',
  hpc7g: '4 8 16',
  i3: 'metal',
  i3en: 'large 1 2 3 6 12 24 metal',
  i4i: 'large 1 2 4 8 12 16 24 32 metal',
  'i4g im4gn': 'large 1 2 4 8 16',
  i7ie: 'large 1 2 3 6 12 18 24 48 metal-24xl metal-48xl',
  is4gen: 'medium large 1 2 4 8',
  inf1: '1 2 6 24',
  inf2: '1 8 24 48',
  mac1: 'metal',
  'p3dn p4d p4de dl1': '24',
  'p5 p5e p5en': '48',
  trn1: '2 32',
  trn1n: '32',
  vt1: '3 6 24',
  x2idn: '16 24 32 metal',
  x2iedn: '1 2 4 8 16 24 32 metal',
  x2iezn: '2 4 6 8 12 metal',
};
const XEN: Readonly<Record<string, string>> = {
  t2: 'nano micro small medium large 1 2',
  'c3 c4': 'large 1 2 4 8',
  m3: 'medium large 1 2',
  m4: 'large 1 2 4 10 16',
  'd2 i2': '1 2 4 8',
  r3: 'large 1 2 4 8',
  'i3 r4': 'large 1 2 4 8 16',
  p2: '1 8 16',
  p3: '2 8 16',
  x1: '16 32',
  x1e: '1 2 4 8 16 32',
};

const BURSTABLE: readonly (readonly [string, Pair])[] = [
  ['nano', [2, 2]],
  ['micro', [2, 2]],
  ['small', [3, 4]],
  ['medium', [3, 6]],
  ['large', [3, 12]],
];

/** Types, or families, whose limits do not follow from the size. */
const EXCEPTIONS = new Map<string, Pair>([
  ...['t2', 't3', 't3a', 't4g'].flatMap((family) =>
    BURSTABLE.map(([size, pair]) => [`${family}.${size}`, pair] as const),
  ),
  ['t3a.small', [2, 4]],
  ['t2.xlarge', [3, 15]],
  ['t2.2xlarge', [3, 15]],
  ['a1.metal', [8, 30]],
  ['m3.medium', [2, 6]],
  ['m3.2xlarge', [4, 30]],
  ['m4.large', [2, 10]],
  ['m4.16xlarge', [8, 30]],
  ['d3.xlarge', [4, 3]],
  ['d3.2xlarge', [4, 5]],
  ['d3.4xlarge', [4, 10]],
  ['d3.8xlarge', [3, 20]],
  ['d3en.xlarge', [4, 3]],
  ['d3en.2xlarge', [4, 5]],
  ['d3en.4xlarge', [4, 10]],
  ['d3en.6xlarge', [4, 15]],
  ['d3en.8xlarge', [4, 20]],
  ['d3en.12xlarge', [3, 30]],
  ['g4ad.xlarge', [2, 4]],
  ['g4ad.2xlarge', [2, 4]],
  ['g4ad.4xlarge', [3, 10]],
  ['g4ad.8xlarge', [4, 15]],
  ['g4ad.16xlarge', [8, 30]],
  ['g4dn.xlarge', [3, 10]],
  ['g4dn.2xlarge', [3, 10]],
  ['g4dn.4xlarge', [3, 10]],
  ['g4dn.8xlarge', [4, 15]],
  ['g4dn.16xlarge', [4, 15]],
  ['g5.12xlarge', [15, 50]],
  ['g5.16xlarge', [8, 30]],
  ['g5.48xlarge', [7, 50]],
  ['g6e.12xlarge', [10, 30]],
  ['g6e.24xlarge', [10, 50]],
  ['g6e.48xlarge', [10, 50]],
  ['hpc7g.4xlarge', [4, 50]],
  ['hpc7g.8xlarge', [4, 50]],
  ['hpc7g.16xlarge', [4, 50]],
  ['i4i.24xlarge', [15, 30]],
  ['i7ie.12xlarge', [8, 50]],
  ['inf1.xlarge', [4, 10]],
  ['inf1.2xlarge', [4, 10]],
  ['inf1.24xlarge', [11, 30]],
  ['mac1.metal', [8, 30]],
  ['p3.16xlarge', [8, 30]],
  ['p2.16xlarge', [8, 30]],
  ['p5.48xlarge', [2, 50]],
  ['p5e.48xlarge', [2, 50]],
  ['p5en.48xlarge', [4, 50]],
  ['trn1.32xlarge', [5, 50]],
  ['trn1n.32xlarge', [5, 50]],
  ['m5zn.3xlarge', [8, 30]],
  ['m5zn.12xlarge', [15, 50]],
  ['z1d.3xlarge', [8, 30]],
  ['z1d.12xlarge', [15, 50]],
  ['x1.16xlarge', [8, 30]],
  ['x1.32xlarge', [8, 30]],
  ['x1e.xlarge', [3, 10]],
  ['x1e.4xlarge', [4, 15]],
  ['x1e.8xlarge', [4, 15]],
  ['x1e.16xlarge', [8, 30]],
  ['x1e.32xlarge', [8, 30]],
  ['x2iezn.12xlarge', [15, 50]],
  ...['c6in', 'm6in', 'm6idn', 'r6in', 'r6idn'].flatMap((family) => [
    [`${family}.32xlarge`, [8, 50]] as const,
    [`${family}.metal`, [8, 50]] as const,
  ]),
]);

/** Types with more than one network card. */
const NETWORK_CARDS = new Map<string, number>([
  ['p4d.24xlarge', 4],
  ['p4de.24xlarge', 4],
  ['dl1.24xlarge', 4],
  ['p5.48xlarge', 32],
  ['p5e.48xlarge', 32],
  ['p5en.48xlarge', 16],
  ['trn1.32xlarge', 8],
  ['trn1n.32xlarge', 16],
  ...['c6in', 'm6in', 'm6idn', 'r6in', 'r6idn'].flatMap((family) => [
    [`${family}.32xlarge`, 2] as const,
    [`${family}.metal`, 2] as const,
  ]),
]);

function* table(): Generator<[string, InstanceLimits]> {
  for (const [families, hypervisor] of [
    [XEN, 'xen'],
    [NITRO, 'nitro'],
  ] as const) {
    for (const [names, sizes] of Object.entries(families)) {
      for (const family of names.split(' ')) {
        for (const short of sizes.split(' ')) {
          const size = short === '1' ? 'xlarge' : /^\d+$/.test(short) ? `${short}xlarge` : short;
          const type = `${family}.${size}`;
          const [enis, ipv4PerEni] = EXCEPTIONS.get(type) ?? BY_SIZE[size] ?? LARGEST;
          yield [type, { enis, ipv4PerEni, hypervisor, networkCards: NETWORK_CARDS.get(type) ?? 1 }];
        }
      }
    }
  }
}

/** Limits by instance type, such as `t3.medium`. */
export const INSTANCE_LIMITS: ReadonlyMap<string, InstanceLimits> = new Map(table());

/** Limits of a type, or undefined for one that is not in the table. */
export function instanceLimits(type: string): InstanceLimits | undefined {
  return INSTANCE_LIMITS.get(type);
}

/** Pods on host addresses that the published figures count for every node: the agent and the service proxy. */
const HOST_NETWORK_PODS = 2;

/**
 * Max pods of a node with an address for each pod, as Amazon publishes it: ENIs x (addresses per ENI - 1) + 2.
 * 17 for t3.medium.
 * @throws {RangeError} for the name of a type that is not in the table.
 */
export function maxPods(type: string | Pick<InstanceLimits, 'enis' | 'ipv4PerEni'>): number {
  const limits = typeof type === 'string' ? instanceLimits(type) : type;
  if (!limits) throw new RangeError(`the limits of the instance type ${type} are not known`);
  return limits.enis * (limits.ipv4PerEni - 1) + HOST_NETWORK_PODS;
}
