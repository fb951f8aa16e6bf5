/**
 * What each EC2 instance type allows of network interfaces, and its CPUs and memory:
 * https://docs.aws.amazon.com/ec2/latest/instancetypes/ (columns "Max network interfaces", "IPv4 addresses per
 * interface", "vCPUs" and "Memory").
 *
 * Within most families the figures follow from the size alone, so the table is the sizes of each family, the rules,
 * and the exceptions to them.
 */

/** Network limits of one instance type. */
export type InstanceLimits = {
  /** ENIs that network card 0 takes, the primary one included. */
  readonly enis: number;
  /** IPv4 addresses that one ENI takes, its own included. A delegated prefix takes the place of one address. */
  readonly ipv4PerEni: number;
  /** Prefixes can be delegated on Nitro only; a bare-metal type counts as such. */
  readonly hypervisor: 'nitro' | 'xen';
  readonly networkCards: number;
};

/** All that the table knows of an instance type. */
export type InstanceSpec = InstanceLimits & {
  /** ENIs that its network cards take together. */
  readonly allEnis: number;
  readonly vcpus: number;
  readonly memoryMib: number;
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

/** Families of later Nitro cards, whose sizes take more. */
const LATER: Readonly<Record<string, Readonly<Record<string, Pair>>>> = {
  'c8i m8i r8i x8i c8id m8id r8id c8i-flex m8i-flex r8i-flex': {
    large: [3, 20],
    xlarge: [4, 30],
    '2xlarge': [4, 30],
    '4xlarge': [8, 50],
    '8xlarge': [10, 50],
    '12xlarge': [12, 50],
    '16xlarge': [16, 64],
    '24xlarge': [16, 64],
    '32xlarge': [24, 64],
    '48xlarge': [24, 64],
    '64xlarge': [24, 64],
    '96xlarge': [24, 64],
    'metal-48xl': [24, 64],
    'metal-96xl': [24, 64],
  },
  'c8ib m8ib m8idb r8ib r8idb c8in m8in m8idn m8ine r8in r8idn': {
    large: [4, 20],
    xlarge: [4, 30],
    '2xlarge': [4, 30],
    '4xlarge': [8, 50],
    '8xlarge': [8, 50],
    '12xlarge': [12, 50],
    '16xlarge': [16, 64],
    '24xlarge': [16, 64],
    '32xlarge': [16, 64],
    '48xlarge': [24, 64],
    '96xlarge': [12, 64],
    'metal-48xl': [24, 64],
    'metal-96xl': [12, 64],
  },
  'c8a m8a r8a': {
    large: [3, 20],
    xlarge: [4, 20],
    '2xlarge': [4, 40],
    '4xlarge': [8, 40],
    '8xlarge': [10, 40],
    '12xlarge': [12, 64],
    '16xlarge': [16, 64],
    '24xlarge': [16, 64],
    '48xlarge': [24, 64],
    'metal-24xl': [16, 64],
    'metal-48xl': [24, 64],
  },
  'm8azn x8aedz': {
    medium: [3, 4],
    large: [4, 20],
    xlarge: [4, 20],
    '3xlarge': [8, 40],
    '6xlarge': [8, 40],
    '12xlarge': [16, 64],
    '24xlarge': [16, 64],
    'metal-12xl': [16, 64],
    'metal-24xl': [16, 64],
  },
  'c9g c9gd m9g m9gd': {
    medium: [2, 20],
    large: [3, 20],
    xlarge: [4, 30],
    '2xlarge': [4, 30],
    '4xlarge': [8, 50],
    '8xlarge': [10, 50],
    '12xlarge': [12, 50],
    '16xlarge': [16, 64],
    '24xlarge': [24, 64],
    '48xlarge': [24, 64],
    'metal-48xl': [24, 64],
  },
  g7e: {
    '2xlarge': [4, 64],
    '4xlarge': [8, 64],
    '8xlarge': [8, 64],
    '12xlarge': [10, 64],
    '24xlarge': [10, 64],
    '48xlarge': [10, 64],
  },
  i8ge: {
    '3xlarge': [6, 30],
    '6xlarge': [10, 30],
    '12xlarge': [12, 30],
    '18xlarge': [16, 50],
    '24xlarge': [16, 50],
    '48xlarge': [24, 50],
    'metal-24xl': [16, 50],
    'metal-48xl': [24, 50],
  },
  'c8gb m8gb r8gb c8gn m8gn r8gn': {
    '8xlarge': [10, 30],
    '12xlarge': [12, 30],
    '16xlarge': [16, 50],
    '24xlarge': [24, 50],
    '48xlarge': [12, 50],
    'metal-24xl': [24, 50],
    'metal-48xl': [12, 50],
  },
};

/** Sizes of each family: `medium large metal` as they are, a number N for `Nxlarge`, 1 for `xlarge`. */
const NITRO: Readonly<Record<string, string>> = {
  't3 t3a t4g': 'nano micro small medium large 1 2',
  a1: 'medium large 1 2 4 metal',
  'c5 c5d': 'large 1 2 4 9 12 18 24 metal',
  'c5a c5ad': 'large 1 2 4 8 12 16 24 metal',
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
  'c8a m8a r8a': 'medium large 1 2 4 8 12 16 24 48 metal-24xl metal-48xl',
  m8azn: 'medium large 1 3 6 12 24 metal-12xl metal-24xl',
  x8aedz: 'large 1 3 6 12 24 metal-12xl metal-24xl',
  'c8g c8gb c8gd c8gn m8g m8gb m8gd m8gn r8g r8gb r8gd r8gn x8g':
    'medium large 1 2 4 8 12 16 24 48 metal-24xl metal-48xl',
  'c8i c8ib c8id c8in m8i m8ib m8id m8idb m8idn m8in r8i r8ib r8id r8idb r8idn r8in':
    'large 1 2 4 8 12 16 24 32 48 96 metal-48xl metal-96xl',
  m8ine: 'large 1 2 4 8 12',
  x8i: 'large 1 2 4 8 12 16 24 32 48 64 96 metal-48xl metal-96xl',
  'c8i-flex m8i-flex r8i-flex': 'large 1 2 4 8 12 16',
  'c9g c9gd m9g m9gd': 'medium large 1 2 4 8 12 16 24 48 metal-48xl',
  d3: '1 2 4 8',
  d3en: '1 2 4 6 8 12',
  'dl1 dl2q p3dn p4d p4de': '24',
  f2: '6 12 48',
  g4ad: '1 2 4 8 16',
  g4dn: '1 2 4 8 12 16 metal',
  'g5 g6 g6e': '1 2 4 8 12 16 24 48',
  g5g: '1 2 4 8 16 metal',
  g6f: 'large 1 2 4',
  g7e: '2 4 8 12 24 48',
  gr6: '4 8',
  gr6f: '4',
  hpc6a: '48',
  hpc6id: '32',
  hpc7a: '12 24 48 96',
  hpc7g: '4 8 16',
  i3: 'metal',
  i3en: 'large 1 2 3 6 12 24 metal',
  i4i: 'large 1 2 4 8 12 16 24 32 metal',
  'i4g im4gn': 'large 1 2 4 8 16',
  i7i: 'large 1 2 4 8 12 16 24 48 metal-24xl metal-48xl',
  i7ie: 'large 1 2 3 6 12 18 24 48 metal-24xl metal-48xl',
  i8g: 'large 1 2 4 8 12 16 24 48 metal-24xl metal-48xl',
  i8ge: 'large 1 2 3 6 12 18 24 48 metal-24xl metal-48xl',
  is4gen: 'medium large 1 2 4 8',
  inf1: '1 2 6 24',
  inf2: '1 8 24 48',
  'mac1 mac2 mac2-m1ultra mac2-m2 mac2-m2pro mac-m4 mac-m4pro mac-m4max': 'metal',
  p5: '4 48',
  'p5e p5en p6-b200 p6-b300': '48',
  trn1: '2 32',
  trn1n: '32',
  trn2: '3 48',
  trn2u: '48',
  'u-3tb1': '56',
  'u-6tb1': '56 112 metal',
  'u-9tb1 u-12tb1 u-18tb1 u-24tb1': '112 metal',
  'u7i-6tb u7i-8tb': '112',
  'u7i-12tb u7in-16tb u7in-24tb u7in-32tb': '224',
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
  f1: '2 4 16',
  g3: '4 8 16',
  g3s: '1',
  h1: '2 4 8 16',
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
  ['g6f.large', [2, 10]],
  ['f1.16xlarge', [8, 50]],
  ['h1.16xlarge', [8, 50]],
  ['hpc6a.48xlarge', [2, 50]],
  ['hpc6id.32xlarge', [1, 50]],
  ...['12', '24', '48', '96'].map((size) => [`hpc7a.${size}xlarge`, [2, 50]] as const),
  ['hpc7g.4xlarge', [4, 50]],
  ['hpc7g.8xlarge', [4, 50]],
  ['hpc7g.16xlarge', [4, 50]],
  ['i4i.24xlarge', [15, 30]],
  ['i7ie.12xlarge', [8, 50]],
  ['inf1.xlarge', [4, 10]],
  ['inf1.2xlarge', [4, 10]],
  ['inf1.24xlarge', [11, 30]],
  ...['mac1', 'mac2', 'mac2-m1ultra', 'mac2-m2', 'mac2-m2pro', 'mac-m4', 'mac-m4pro', 'mac-m4max'].map(
    (family) => [`${family}.metal`, [8, 30]] as const,
  ),
  ['p3.16xlarge', [8, 30]],
  ['p2.16xlarge', [8, 30]],
  ['p5.4xlarge', [4, 30]],
  ['p5.48xlarge', [2, 50]],
  ['p5e.48xlarge', [2, 50]],
  ['p5en.48xlarge', [4, 50]],
  ['p6-b200.48xlarge', [4, 50]],
  ['p6-b300.48xlarge', [4, 50]],
  ['trn1.32xlarge', [5, 50]],
  ['trn1n.32xlarge', [5, 50]],
  ['trn2.3xlarge', [2, 15]],
  ['trn2.48xlarge', [2, 50]],
  ['trn2u.48xlarge', [2, 50]],
  ['u-3tb1.56xlarge', [8, 30]],
  ...['u-6tb1', 'u-9tb1', 'u-12tb1'].map((family) => [`${family}.metal`, [5, 30]] as const),
  ...['u7in-16tb', 'u7in-24tb', 'u7in-32tb'].map((family) => [`${family}.224xlarge`, [8, 50]] as const),
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

/** Types with more than one network card: each takes as many ENIs as card 0. */
const NETWORK_CARDS = new Map<string, number>([
  ['p4d.24xlarge', 4],
  ['p4de.24xlarge', 4],
  ['dl1.24xlarge', 4],
  ['p5.48xlarge', 32],
  ['p5e.48xlarge', 32],
  ['p5en.48xlarge', 16],
  ['p6-b200.48xlarge', 8],
  ['p6-b300.48xlarge', 17],
  ['g6e.24xlarge', 2],
  ['g6e.48xlarge', 4],
  ['g7e.24xlarge', 2],
  ['g7e.48xlarge', 4],
  ['hpc6id.32xlarge', 2],
  ...['12', '24', '48', '96'].map((size) => [`hpc7a.${size}xlarge`, 2] as const),
  ['trn2.48xlarge', 16],
  ['trn2u.48xlarge', 16],
  ...['c8gb', 'm8gb', 'r8gb', 'c8gn', 'm8gn', 'r8gn'].flatMap((family) => [
    [`${family}.48xlarge`, 2] as const,
    [`${family}.metal-48xl`, 2] as const,
  ]),
  ...['c8ib', 'm8ib', 'm8idb', 'r8ib', 'r8idb', 'c8in', 'm8in', 'm8idn', 'r8in', 'r8idn'].flatMap(
    (family) => [[`${family}.96xlarge`, 2] as const, [`${family}.metal-96xl`, 2] as const],
  ),
  ...['u7in-16tb', 'u7in-24tb', 'u7in-32tb'].map((family) => [`${family}.224xlarge`, 2] as const),
  ['trn1.32xlarge', 8],
  ['trn1n.32xlarge', 16],
  ...['c6in', 'm6in', 'm6idn', 'r6in', 'r6idn'].flatMap((family) => [
    [`${family}.32xlarge`, 2] as const,
    [`${family}.metal`, 2] as const,
  ]),
]);

/** CPUs that do not follow from the size, which is 4 for each `xlarge`, 2 for `large` and 1 for `medium`. */
const CPUS = new Map<string, number>([
  ...['t3', 't3a', 't4g'].flatMap((family) => BURSTABLE.map(([size]) => [`${family}.${size}`, 2] as const)),
  ['t2.nano', 1],
  ['t2.micro', 1],
  ['t2.small', 1],
  ['t2.medium', 2],
  ['c4.8xlarge', 36],
  ['d2.8xlarge', 36],
  ['g4dn.metal', 96],
  ['hpc6a.48xlarge', 96],
  ['hpc6id.32xlarge', 64],
  ['hpc7a.12xlarge', 24],
  ['hpc7a.24xlarge', 48],
  ['hpc7a.48xlarge', 96],
  ['hpc7a.96xlarge', 192],
  ['i3.metal', 72],
  ['mac1.metal', 12],
  ['mac2.metal', 8],
  ['mac2-m1ultra.metal', 20],
  ['mac2-m2.metal', 8],
  ['mac2-m2pro.metal', 12],
  ['mac-m4.metal', 10],
  ['mac-m4pro.metal', 14],
  ['mac-m4max.metal', 16],
  ['u-18tb1.metal', 448],
  ['u-24tb1.metal', 448],
]);

/** GiB for each CPU: by family, else by the first letter of the family. */
const GIB_PER_CPU: Readonly<Record<string, number>> = {
  c: 2,
  m: 4,
  r: 8,
  t: 4,
  z: 8,
  'a1 g5g inf1 vt1': 2,
  'c3 c4': 1.875,
  c5n: 2.625,
  'd3 dl1 dl2q g6e g7e gr6 gr6f i3en i4g i4i i7i i7ie i8g i8ge p3dn': 8,
  'd3en g4ad g4dn g5 g6 g6f h1 im4gn inf2 trn1 trn1n': 4,
  'f1 p2 x1': 15.25,
  'f2 p5e p5en p6-b200 trn2 trn2u': 32 / 3,
  'd2 g3 g3s i2 i3 p3 r3 r4': 7.625,
  is4gen: 6,
  m3: 3.75,
  'p4d p4de': 12,
  'p6-b300': 64 / 3,
  x1e: 30.5,
  'x2gd x2idn x8g x8i': 16,
  'x2iedn x2iezn x8aedz': 32,
};
const GIB_BY_FAMILY = new Map(
  Object.entries(GIB_PER_CPU).flatMap(([names, gib]) => names.split(' ').map((name) => [name, gib] as const)),
);

/** GiB of memory that do not follow from the CPUs. */
const GIB = new Map<string, number>([
  ...['t2', 't3', 't3a', 't4g'].flatMap((family) =>
    BURSTABLE.map(([size], index) => [`${family}.${size}`, 2 ** (index - 1)] as const),
  ),
  ['c4.8xlarge', 60],
  ['c5n.9xlarge', 96],
  ['c5n.18xlarge', 192],
  ['c5n.metal', 192],
  ['d2.8xlarge', 244],
  ['hpc6a.48xlarge', 384],
  ['hpc6id.32xlarge', 1024],
  ...['12', '24', '48', '96'].map((size) => [`hpc7a.${size}xlarge`, 768] as const),
  ...['4', '8', '16'].map((size) => [`hpc7g.${size}xlarge`, 128] as const),
  ['i3.metal', 512],
  ['mac1.metal', 32],
  ['mac2.metal', 16],
  ['mac2-m1ultra.metal', 128],
  ['mac2-m2.metal', 24],
  ['mac2-m2pro.metal', 32],
  ['mac-m4.metal', 24],
  ['mac-m4pro.metal', 48],
  ['mac-m4max.metal', 128],
  ['p2.16xlarge', 732],
  ['p5.4xlarge', 256],
  ['p5.48xlarge', 2048],
]);

/** @param largest multiples of xlarge that the family's largest size has: bare metal is the whole machine. */
function cpusOf(type: string, size: string, largest: number): number {
  if (size === 'medium') return CPUS.get(type) ?? 1;
  if (size === 'large') return 2;
  const [, times] = /^(?:metal-)?(\d*)xl(?:arge)?$/.exec(size) ?? [];
  return CPUS.get(type) ?? 4 * (times === undefined ? largest : Number(times || 1));
}

function memoryOf(type: string, family: string, vcpus: number): number {
  const [, terabytes] = /^u7?i?n?-(\d+)tb/.exec(family) ?? [];
  const perCpu = GIB_BY_FAMILY.get(family) ?? GIB_BY_FAMILY.get(family[0]!)!;
  return Math.round(1024 * (GIB.get(type) ?? (terabytes ? 1024 * Number(terabytes) : vcpus * perCpu)));
}

function laterPair(family: string, size: string): Pair | undefined {
  const later = Object.entries(LATER).find(([families]) => families.split(' ').includes(family));
  return later?.[1][size];
}

function* table(): Generator<[string, InstanceSpec]> {
  for (const [families, hypervisor] of [
    [XEN, 'xen'],
    [NITRO, 'nitro'],
  ] as const) {
    for (const [names, sizes] of Object.entries(families)) {
      const largest = Math.max(0, ...(sizes.match(/(?<=^| )\d+(?= |$)/g) ?? []).map(Number));
      for (const family of names.split(' ')) {
        for (const short of sizes.split(' ')) {
          const size = short === '1' ? 'xlarge' : /^\d+$/.test(short) ? `${short}xlarge` : short;
          const type = `${family}.${size}`;
          const [enis, ipv4PerEni] =
            EXCEPTIONS.get(type) ?? laterPair(family, size) ?? BY_SIZE[size] ?? LARGEST;
          const vcpus = cpusOf(type, size, largest);
          const memoryMib = memoryOf(type, family, vcpus);
          const networkCards = NETWORK_CARDS.get(type) ?? 1;
          const allEnis = enis * networkCards;
          yield [type, { enis, allEnis, ipv4PerEni, hypervisor, networkCards, vcpus, memoryMib }];
        }
      }
    }
  }
}

/** Limits by instance type, such as `t3.medium`. */
export const INSTANCE_LIMITS: ReadonlyMap<string, InstanceSpec> = new Map(table());

/** Limits of a type, or undefined for one that is not in the table. */
export function instanceLimits(type: string): InstanceSpec | undefined {
  return INSTANCE_LIMITS.get(type);
}

/** Pods on host addresses that the published figures count for every node: the agent and the service proxy. */
export const HOST_NETWORK_PODS = 2;

/** Addresses of a delegated IPv4 prefix, a /28. */
const PREFIX_ADDRESSES = 16;

/** What changes how many pods a node takes. */
export type MaxPodsOptions = {
  /** Each slot of an ENI holds a /28. */
  readonly prefixDelegation?: boolean;
  /** The primary ENI gives no pod addresses. */
  readonly customNetworking?: boolean;
  /** MAX_ENI: ENIs that the node may have, its primary one included. */
  readonly maxEni?: number;
  /** The ENIs of every network card count (ENABLE_MULTI_NIC), not those of card 0 alone. */
  readonly multiNic?: boolean;
};

/**
 * Max pods of a node, as Amazon publishes it: ENIs x (addresses per ENI - 1) + 2. 17 for t3.medium. With prefixes no
 * more than Amazon recommends to a node: 110 below 30 CPUs, else 250.
 * @throws {RangeError} for the name of a type that is not in the table, and where the options leave no pod an address.
 */
export function maxPods(
  type: string | (Pick<InstanceLimits, 'enis' | 'ipv4PerEni'> & Partial<InstanceSpec>),
  {
    prefixDelegation = false,
    customNetworking = false,
    maxEni = Infinity,
    multiNic = false,
  }: MaxPodsOptions = {},
): number {
  const limits = typeof type === 'string' ? instanceLimits(type) : type;
  const name = typeof type === 'string' ? type : 'this type';
  if (!limits) throw new RangeError(`the limits of the instance type ${type} are not known`);
  if (prefixDelegation && limits.hypervisor === 'xen') {
    throw new RangeError(
      `${name} takes no prefixes, since only Nitro instances do: leave prefix delegation off, or use a Nitro type`,
    );
  }
  const attachable = (multiNic && limits.allEnis) || limits.enis;
  const enis = Math.min(attachable, maxEni) - (customNetworking ? 1 : 0);
  if (enis < 1) {
    throw new RangeError(
      `custom networking leaves ${name} no ENI for pods, since the primary one carries none: allow 2 ENIs or more`,
    );
  }
  const slots = enis * (limits.ipv4PerEni - 1);
  if (!prefixDelegation) return slots + HOST_NETWORK_PODS;
  return Math.min(slots * PREFIX_ADDRESSES + HOST_NETWORK_PODS, (limits.vcpus ?? 0) < 30 ? 110 : 250);
}
