/**
 * Amazon's arithmetic of warm targets written down a second time, with nothing but counters, and compared with where the
 * agent's own decisions lead: over instance types, settings, and every number of pods.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instanceLimits, maxPods } from '../instance-limits.ts';
import { poolSettings } from '../settings.ts';
import { nodeShape } from './node-shape.ts';
import { planToRest } from './rest.ts';

type Env = Readonly<Record<string, string>>;

/** Slots of each ENI after so many pods came one by one. */
function counted(type: string, pods: number, env: Env): number[] {
  const { ipv4PerEni, enis, ...rest } = instanceLimits(type)!;
  const number = (name: string, otherwise: number) => Number(env[name] ?? otherwise);
  const prefixes = env.ENABLE_PREFIX_DELEGATION === 'true';
  const custom = env.AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG === 'true';
  const [warmIps, minimum] = [number('WARM_IP_TARGET', 0), number('MINIMUM_IP_TARGET', 0)];
  const room = ipv4PerEni - 1;
  const size = prefixes ? 16 : 1;
  const allowed = Math.min(enis, number('MAX_ENI', enis));
  const most = maxPods(
    { ...rest, ipv4PerEni, enis: allowed },
    { prefixDelegation: prefixes, customNetworking: custom },
  );
  const slots = [0];
  const total = () => size * slots.reduce((sum, count) => sum + count, 0);
  const wanted = (assigned: number, waits: boolean): number => {
    const available = total() - assigned;
    if (waits && available <= 0) return 1;
    if (total() >= most) return 0;
    if (warmIps + minimum > 0) return Math.ceil(Math.max(warmIps - available, minimum - total(), 0) / size);
    const warm = prefixes ? number('WARM_PREFIX_TARGET', 1) : number('WARM_ENI_TARGET', 1);
    const low = available < warm * (prefixes ? 16 : room) || available === 0;
    if (!low || !prefixes) return low ? room : 0;
    const empty = total() / 16 - Math.ceil(assigned / 16);
    return Math.max(warm - empty, 1);
  };
  const grow = (assigned: number, waits: boolean): void => {
    for (let want = wanted(assigned, waits); want > 0; want = wanted(assigned, waits)) {
      const first = slots.findIndex((count, eni) => count < room && !(custom && eni === 0));
      if (first >= 0) slots[first]! += Math.min(want, room - slots[first]!);
      else if (slots.length < allowed) slots.push(Math.min(want, room));
      else return;
    }
  };
  grow(0, false);
  for (let pod = 0; pod < pods; pod++) {
    grow(pod, true);
    grow(pod + 1, false);
  }
  return slots;
}

const CUSTOM = { AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG: 'true' };
const PREFIXES = { ENABLE_PREFIX_DELEGATION: 'true' };
const ADDRESS_SETTINGS: readonly Env[] = [
  {},
  { WARM_ENI_TARGET: '0' },
  { WARM_ENI_TARGET: '2' },
  { WARM_ENI_TARGET: '3', MAX_ENI: '3' },
  { WARM_IP_TARGET: '1' },
  { WARM_IP_TARGET: '3', WARM_ENI_TARGET: '4' },
  { WARM_IP_TARGET: '5', MINIMUM_IP_TARGET: '12' },
  { MINIMUM_IP_TARGET: '8' },
  { MAX_ENI: '2' },
  CUSTOM,
  { ...CUSTOM, WARM_IP_TARGET: '2', MINIMUM_IP_TARGET: '6' },
  { ...CUSTOM, MAX_ENI: '2' },
];
const PREFIX_SETTINGS: readonly Env[] = [
  {},
  { WARM_PREFIX_TARGET: '2' },
  { WARM_PREFIX_TARGET: '0', WARM_IP_TARGET: '1' },
  { WARM_IP_TARGET: '5' },
  { WARM_IP_TARGET: '17', MINIMUM_IP_TARGET: '40' },
  { MINIMUM_IP_TARGET: '33' },
  { MAX_ENI: '1' },
  CUSTOM,
].map((env) => ({ ...PREFIXES, ...env }));

for (const type of [
  't3.small',
  't3.medium',
  'm5.large',
  'm5.4xlarge',
  'c5.18xlarge',
  'p4d.24xlarge',
  'trn1.32xlarge',
  'm5.metal',
  't2.medium',
  'm4.large',
]) {
  test(`${type} holds what Amazon's arithmetic says`, () => {
    const spec = instanceLimits(type)!;
    const settings =
      spec.hypervisor === 'nitro' ? [...ADDRESS_SETTINGS, ...PREFIX_SETTINGS] : ADDRESS_SETTINGS;
    let compared = 0;
    for (const env of settings) {
      for (const pods of [0, 1, 2, 3, 5, 8, 9, 10, 16, 17, 18, 33, 50, 90, 108]) {
        const set = poolSettings(env);
        if (pods > nodeShape(type, spec, set).podLimit) break;
        const { perEni } = planToRest(type, spec, set, pods);
        assert.deepEqual(perEni, counted(type, pods, env), `${pods} pods with ${JSON.stringify(env)}`);
        compared++;
      }
    }
    assert.ok(compared > settings.length);
  });
}
