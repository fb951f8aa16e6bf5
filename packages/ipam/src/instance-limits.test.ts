import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INSTANCE_LIMITS, instanceLimits, maxPods } from './instance-limits.ts';

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
  'd3.8xlarge': 59,
  'd3en.12xlarge': 89,
  'g4ad.xlarge': 8,
  'g4dn.xlarge': 29,
  'g4dn.12xlarge': 234,
  'g4dn.16xlarge': 58,
  'g5.12xlarge': 737,
  'g5.16xlarge': 234,
  'g5.48xlarge': 345,
  'g6e.12xlarge': 292,
  'g6e.48xlarge': 492,
  'hpc7g.4xlarge': 198,
  'i3en.3xlarge': 58,
  'i3en.24xlarge': 737,
  'i4i.24xlarge': 437,
  'i7ie.12xlarge': 394,
  'inf1.24xlarge': 321,
  'p3.16xlarge': 234,
  'p4d.24xlarge': 737,
  'p5.48xlarge': 100,
  'p5en.48xlarge': 198,
  'r5.24xlarge': 737,
  'r7iz.metal-16xl': 737,
  'trn1.32xlarge': 247,
  'vt1.3xlarge': 58,
  'x1e.8xlarge': 58,
  'x2iezn.12xlarge': 737,
  'z1d.3xlarge': 234,
};

for (const [type, pods] of Object.entries(PUBLISHED)) {
  test(`${type} takes ${pods} pods`, () => assert.equal(maxPods(type), pods));
}

test('every type takes a second ENI and a second address', () => {
  for (const [type, { enis, ipv4PerEni }] of INSTANCE_LIMITS) assert.ok(enis >= 2 && ipv4PerEni >= 2, type);
});

test('a type that is not in the table is not guessed', () => {
  assert.equal(instanceLimits('t3.colossal'), undefined);
  assert.throws(() => maxPods('t3.colossal'), RangeError);
  assert.ok(INSTANCE_LIMITS.size > 500);
});
