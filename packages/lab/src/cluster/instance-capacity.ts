/**
 * CPUs and memory by instance type, as AWS names types: within a family memory follows the CPUs, and CPUs follow the size
 * (https://docs.aws.amazon.com/ec2/latest/instancetypes/).
 */

/** GiB of memory to a CPU, by the first letter of the family. */
const MEMORY_PER_CPU: Readonly<Record<string, number>> = { c: 2, m: 4, r: 8, x: 16, z: 8, t: 4 };
const OTHER_MEMORY_PER_CPU = 4;
/** Burstable types have two CPUs up to `large`, and memory in GiB of their own. */
const BURSTABLE_MEMORY: Readonly<Record<string, number>> = {
  nano: 0.5,
  micro: 1,
  small: 2,
  medium: 4,
  large: 8,
};
const METAL_CPUS = 96;

/** @param instanceType such as `m5.4xlarge`. @returns quantities of Kubernetes. */
export function instanceCapacity(instanceType: string): { cpu: string; memory: string } {
  const [family = '', size = ''] = instanceType.split('.');
  const burstable = family.startsWith('t') ? BURSTABLE_MEMORY[size] : undefined;
  const cpus = burstable === undefined ? cpusOf(size) : 2;
  const gib = burstable ?? cpus * (MEMORY_PER_CPU[family[0] ?? ''] ?? OTHER_MEMORY_PER_CPU);
  return { cpu: String(cpus), memory: `${gib * 1024}Mi` };
}

function cpusOf(size: string): number {
  if (size === 'medium') return 1;
  if (size === 'large') return 2;
  const [, times] = /^(\d*)xlarge$/.exec(size) ?? [];
  if (times !== undefined) return 4 * Number(times || 1);
  const [, metal] = /^metal-(\d+)xl$/.exec(size) ?? [];
  return metal ? 4 * Number(metal) : METAL_CPUS;
}
