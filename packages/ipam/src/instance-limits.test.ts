import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INSTANCE_LIMITS, instanceLimits, maxPods } from './instance-limits.ts';
import { similarTypes } from './planner/similar-types.ts';

/** Max pods as Amazon publishes them: by size where the size decides, then types that differ. */
const PUBLISHED: Readonly<Record<string, number>> = {
  't2.micro': 4,
  't2.small': 11,
  't2.medium': 17,
  't2.large': 35,
  't2.xlarge': 44,
  't3.nano': 4,
  't3.small': 11,
  't3.medium': 17,
  't3.large': 35,
  't3.xlarge': 58,
  't3a.small': 8,
  't4g.small': 11,
  't4g.2xlarge': 58,
  'a1.medium': 8,
  'a1.4xlarge': 234,
  'm4.large': 20,
  'm4.16xlarge': 234,
  'm5.large': 29,
  'm5.xlarge': 58,
  'm5.4xlarge': 234,
  'm5.12xlarge': 234,
  'm5.16xlarge': 737,
  'm5.metal': 737,
  'm5zn.3xlarge': 234,
  'm5zn.12xlarge': 737,
  'm6g.medium': 8,
  'm7i.metal-48xl': 737,
  'm7i-flex.2xlarge': 58,
  'c5.9xlarge': 234,
  'c5.18xlarge': 737,
  'c6in.32xlarge': 394,
  'c7g.medium': 8,
  'c7i-flex.16xlarge': 737,
  'c8gn.4xlarge': 234,
  'c8gn.12xlarge': 350,
  'c8gn.16xlarge': 786,
  'c8gn.metal-24xl': 1178,
  'c8gn.48xlarge': 590,
  'c8a.large': 59,
  'c8id.96xlarge': 1514,
  'c9g.medium': 40,
  'd3.8xlarge': 59,
  'd3en.12xlarge': 89,
  'f1.16xlarge': 394,
  'f2.6xlarge': 234,
  'g3.16xlarge': 737,
  'g4ad.xlarge': 8,
  'g4dn.xlarge': 29,
  'g4dn.12xlarge': 234,
  'g4dn.16xlarge': 58,
  'g5.12xlarge': 737,
  'g5.16xlarge': 234,
  'g5.48xlarge': 345,
  'g6e.12xlarge': 292,
  'g6e.48xlarge': 492,
  'g6f.large': 20,
  'gr6f.4xlarge': 234,
  'g7e.48xlarge': 632,
  'h1.16xlarge': 394,
  'hpc6a.48xlarge': 100,
  'hpc6id.32xlarge': 51,
  'hpc7a.96xlarge': 100,
  'hpc7g.4xlarge': 198,
  'i3en.3xlarge': 58,
  'i3en.24xlarge': 737,
  'i4i.24xlarge': 437,
  'i7ie.12xlarge': 394,
  'i8ge.3xlarge': 176,
  'i8ge.48xlarge': 1178,
  'inf1.24xlarge': 321,
  'm8a.medium': 8,
  'm8a.2xlarge': 158,
  'm8a.12xlarge': 758,
  'm8azn.medium': 11,
  'm8azn.3xlarge': 314,
  'm8gn.48xlarge': 590,
  'm8in.large': 78,
  'm8in.96xlarge': 758,
  'm9g.24xlarge': 1514,
  'mac-m4max.metal': 234,
  'p3.16xlarge': 234,
  'p4d.24xlarge': 737,
  'p5.48xlarge': 100,
  'p5.4xlarge': 118,
  'p5en.48xlarge': 198,
  'p6-b200.48xlarge': 198,
  'p6-b300.48xlarge': 198,
  'r5.24xlarge': 737,
  'r7iz.metal-16xl': 737,
  'r8i.large': 59,
  'r8i.2xlarge': 118,
  'r8i.4xlarge': 394,
  'r8i.8xlarge': 492,
  'r8i.12xlarge': 590,
  'r8i-flex.16xlarge': 1010,
  'r8i.metal-96xl': 1514,
  'trn1.32xlarge': 247,
  'trn2.3xlarge': 30,
  'trn2.48xlarge': 100,
  'u-3tb1.56xlarge': 234,
  'u-12tb1.metal': 147,
  'u7i-12tb.224xlarge': 737,
  'u7in-32tb.224xlarge': 394,
  'vt1.3xlarge': 58,
  'x1e.8xlarge': 58,
  'x2iezn.12xlarge': 737,
  'z1d.3xlarge': 234,
};

for (const [type, pods] of Object.entries(PUBLISHED)) {
  test(`${type} takes ${pods} pods`, () => assert.equal(maxPods(type), pods));
}

/** CPUs and GiB as AWS publishes them: by the rules, then types that differ. */
const MACHINES: Readonly<Record<string, readonly [number, number]>> = {
  't2.small': [1, 2],
  't3.nano': [2, 0.5],
  't4g.medium': [2, 4],
  't3.2xlarge': [8, 32],
  'm6g.medium': [1, 4],
  'm5.large': [2, 8],
  'c6i.32xlarge': [128, 256],
  'c5.metal': [96, 192],
  'c5n.large': [2, 5.25],
  'c5n.18xlarge': [72, 192],
  'r5.24xlarge': [96, 768],
  'r7iz.metal-16xl': [64, 512],
  'm7i.metal-48xl': [192, 768],
  'c6a.metal': [192, 384],
  'd3en.12xlarge': [48, 192],
  'g4dn.metal': [96, 384],
  'g6e.48xlarge': [192, 1536],
  'hpc7a.12xlarge': [24, 768],
  'i3.metal': [72, 512],
  'inf2.48xlarge': [192, 768],
  'is4gen.large': [2, 12],
  'p2.16xlarge': [64, 732],
  'p4d.24xlarge': [96, 1152],
  'p5.48xlarge': [192, 2048],
  'p6-b300.48xlarge': [192, 4096],
  'x8aedz.3xlarge': [12, 384],
  'x8i.64xlarge': [256, 4096],
  'trn1.32xlarge': [128, 512],
  'u-6tb1.56xlarge': [224, 6144],
  'u7in-32tb.224xlarge': [896, 32768],
  'x1e.32xlarge': [128, 3904],
  'x2iedn.metal': [128, 4096],
  'z1d.3xlarge': [12, 96],
};

test('CPUs and memory are those that AWS publishes', () => {
  for (const [type, [vcpus, gib]] of Object.entries(MACHINES)) {
    const spec = instanceLimits(type)!;
    assert.deepEqual([type, spec.vcpus, spec.memoryMib], [type, vcpus, gib * 1024]);
  }
});

test('every type has figures that can be', () => {
  for (const [type, { enis, ipv4PerEni, vcpus, memoryMib }] of INSTANCE_LIMITS) {
    assert.ok(enis >= 1 && ipv4PerEni >= 2, type);
    assert.ok(Number.isInteger(vcpus) && vcpus >= 1 && vcpus <= 896, type);
    const perCpu = memoryMib / vcpus / 1024;
    assert.ok(perCpu >= 0.25 && perCpu <= 64, `${type} has ${perCpu} GiB to a CPU`);
  }
});

test('with prefixes a node takes what Amazon recommends at most', () => {
  const prefixDelegation = true;
  assert.equal(maxPods('t3.medium', { prefixDelegation }), 110);
  assert.equal(maxPods('t3.nano', { prefixDelegation }), 34);
  assert.equal(maxPods('z1d.6xlarge', { prefixDelegation }), 110);
  assert.equal(maxPods('m5.8xlarge', { prefixDelegation }), 250);
  assert.equal(maxPods('t3.nano', { prefixDelegation, customNetworking: true }), 18);
  assert.throws(() => maxPods('m4.large', { prefixDelegation }), /only Nitro/);
});

test('custom networking and MAX_ENI take ENIs away', () => {
  assert.equal(maxPods('t3.medium', { customNetworking: true }), 12);
  assert.equal(maxPods('t3.medium', { maxEni: 2 }), 12);
  assert.equal(maxPods('t3.medium', { maxEni: 99 }), 17);
  assert.equal(maxPods('m5.large', { customNetworking: true, maxEni: 2 }), 11);
  assert.throws(() => maxPods('m5.large', { customNetworking: true, maxEni: 1 }), /allow 2 ENIs/);
});

test('network cards but the first count where they are asked for', () => {
  assert.equal(maxPods('trn1.32xlarge', { multiNic: true }), 40 * 49 + 2);
  assert.equal(maxPods('p5.48xlarge', { multiNic: true }), 64 * 49 + 2);
  assert.equal(maxPods('trn1.32xlarge', { multiNic: true, maxEni: 8 }), 8 * 49 + 2);
  assert.equal(maxPods('m5.large', { multiNic: true }), maxPods('m5.large'));
});

test('an unknown type has types near it', () => {
  assert.equal(similarTypes('m5.lage')[0], 'm5.large');
  assert.equal(similarTypes('m5large')[0], 'm5.large');
  assert.equal(similarTypes('T3.Medium')[0], 't3.medium');
  assert.ok(similarTypes('m5.7xlarge').every((type) => type.startsWith('m5.')));
  assert.deepEqual(similarTypes('n2-standard-8'), []);
});

test('a type that is not in the table is not guessed', () => {
  assert.equal(instanceLimits('t3.colossal'), undefined);
  assert.throws(() => maxPods('t3.colossal'), RangeError);
  assert.ok(INSTANCE_LIMITS.size > 1000);
});
