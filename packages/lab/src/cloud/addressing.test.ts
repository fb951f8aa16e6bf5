import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressesOf,
  cidrOf,
  contains,
  type Ipv4,
  networkOf,
  parseIpv4Cidr,
  prefixLength,
  sizeOf,
} from '@enid/ip';
import fc from 'fast-check';
import type { Draft } from 'immer';
import { availableAddresses, takeAddresses, takePrefixes } from './addressing.ts';
import { Ec2Error } from './errors.ts';
import { type CloudState, emptyState, type NetworkInterface } from './state.ts';

type Step = { kind: 'addresses' | 'prefixes'; count: number } | { kind: 'free'; index: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('addresses' as const), count: fc.integer({ min: 0, max: 20 }) }),
    fc.record({ kind: fc.constant('prefixes' as const), count: fc.integer({ min: 0, max: 3 }) }),
    fc.record({ kind: fc.constant('free' as const), index: fc.nat(50) }),
  ),
  { maxLength: 60 },
);

/** A subnet, with one interface for whatever is taken. */
function stateWith(cidr: string): Draft<CloudState> {
  const state = emptyState({ region: 'r', zones: [], accountId: '1' }) as Draft<CloudState>;
  state.subnets.s = {
    id: 's',
    vpcId: 'v',
    cidr: parseIpv4Cidr(cidr),
    availabilityZone: 'z',
    mapPublicIpOnLaunch: false,
    nextOffset: 0,
    nextPrefixOffset: 0,
    tags: {},
  };
  return state;
}

const interfaceWith = (id: string, [primaryIp, ...secondaryIps]: Ipv4[]): Draft<NetworkInterface> => ({
  id,
  vpcId: 'v',
  subnetId: 's',
  availabilityZone: 'z',
  description: '',
  kind: 'interface',
  mac: '',
  primaryIp: primaryIp!,
  secondaryIps,
  prefixes: [],
  publicIps: {},
  groups: [],
  sourceDestCheck: true,
  tags: {},
});

test('nothing is given out twice, what is free is counted, and refused only when there is not enough', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('10.0.0.0/28', '10.0.0.0/26', '10.0.1.192/26', '10.0.0.0/24'),
      steps,
      (cidr, history) => {
        const state = stateWith(cidr);
        const subnet = state.subnets.s!;
        const all = [...addressesOf(subnet.cidr)];
        const usable = new Set<string>(all.slice(4, -1));
        const owned = () =>
          Object.values(state.networkInterfaces).flatMap((eni) => [
            eni.primaryIp,
            ...eni.secondaryIps,
            ...eni.prefixes.flatMap((prefix) => [...addressesOf(prefix)]),
          ]);
        let made = 0;
        for (const step of history) {
          const before = new Set(owned());
          if (step.kind === 'free') {
            const ids = Object.keys(state.networkInterfaces);
            delete state.networkInterfaces[ids[step.index % ids.length] ?? ''];
            continue;
          }
          made += 1;
          try {
            if (step.kind === 'addresses') {
              const taken = takeAddresses(state, subnet, step.count + 1);
              assert.equal(taken.length, step.count + 1);
              state.networkInterfaces[made] = interfaceWith(`${made}`, taken);
            } else {
              const [own] = takeAddresses(state, subnet, 1);
              state.networkInterfaces[made] = interfaceWith(`${made}`, [own!]);
              before.add(own!);
              const prefixes = takePrefixes(state, subnet, step.count);
              assert.ok(
                prefixes.every(
                  (prefix) => prefixLength(prefix) === 28 && cidrOf(networkOf(prefix), 28) === prefix,
                ),
              );
              state.networkInterfaces[made]!.prefixes = prefixes;
            }
          } catch (error) {
            assert.ok(error instanceof Ec2Error, String(error));
            if (error.code === 'InsufficientFreeAddressesInSubnet') {
              const wanted = step.kind === 'addresses' ? step.count + 1 : 1;
              assert.ok(usable.size - before.size < wanted, 'addresses were free');
            } else {
              const blocks = new Set(all.map((address) => cidrOf(address, 28)));
              const free = [...blocks].filter((block) =>
                [...addressesOf(block)].every((address) => usable.has(address) && !before.has(address)),
              );
              assert.ok(step.kind === 'prefixes' && free.length < step.count, 'prefixes were free');
            }
          }
          const now = owned();
          assert.equal(new Set(now).size, now.length, 'given out twice');
          assert.ok(now.every((address) => usable.has(address) && contains(subnet.cidr, address)));
          assert.equal(availableAddresses(state, subnet), sizeOf(subnet.cidr) - 5 - now.length);
        }
      },
    ),
  );
});

test('a freed address is given out again only after all others', () => {
  const state = stateWith('10.0.0.0/27');
  const subnet = state.subnets.s!;
  const [first] = takeAddresses(state, subnet, 1);
  const others = Array.from({ length: 26 }, () => takeAddresses(state, subnet, 1)[0]);
  assert.equal(first, '10.0.0.4');
  assert.ok(!others.includes(first));
  assert.deepEqual(takeAddresses(state, subnet, 1), [first]);
});
