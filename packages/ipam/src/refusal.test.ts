import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressAt, parseIpv4Cidr } from '@enid/ip';
import { assign, emptyPool, type Pool, putEni, release, slotOf } from './pool.ts';
import { explainRefusal, type RefusalContext } from './refusal.ts';

const NOW = Date.parse('2026-01-01T12:00:00Z');
const CONTEXT: RefusalContext = {
  instanceId: 'i-0a',
  instanceType: 't3.medium',
  bounds: { enis: 3, slotsPerEni: 5 },
  typeEnis: 3,
  unmanagedEnis: 0,
  growth: { kind: 'possible' },
};

const sentenceOf = (...input: Parameters<typeof explainRefusal>) => explainRefusal(...input).sentence;
const causeOf = (...input: Parameters<typeof explainRefusal>) => explainRefusal(...input).cause;

const keyOf = (pod: number) => ({ network: 'aws-cni', containerId: `c${pod}`, ifName: 'eth0' });

/** So many full ENIs of five, every address held. */
function full(enis: number): Pool {
  let pool = emptyPool(30_000);
  for (let device = 0; device < enis; device++) {
    const block = parseIpv4Cidr(`10.0.${device}.0/24`);
    const slots = [10, 11, 12, 13, 14].map((n) => slotOf(addressAt(block, n)));
    const eni = {
      id: `eni-${device}`,
      deviceNumber: device,
      primary: device === 0,
      since: 0,
      leaving: false,
    };
    pool = putEni(pool, { ...eni, slots });
  }
  for (let pod = 0; pod < enis * 5; pod++) pool = assign(pool, keyOf(pod), {}, 0)!.pool;
  return pool;
}

test('a full node names the limit of its type', () => {
  assert.equal(
    sentenceOf(full(3), CONTEXT, NOW),
    'no free address on i-0a (t3.medium): 3 of 3 ENIs attached, 15 of 15 addresses assigned, 0 cooling; ' +
      't3.medium holds 15 pods besides host-network pods; use a larger instance type',
  );
});

test('addresses that rest are told with their times', () => {
  const one = release(full(3), keyOf(3), NOW - 10_000).pool;
  assert.equal(
    sentenceOf(one, CONTEXT, NOW),
    'no free address on i-0a (t3.medium): 3 of 3 ENIs attached, 14 of 15 addresses assigned, 1 cooling down ' +
      'until 12:00:20Z (IP_COOLDOWN_PERIOD is 30 s); the pod gets an address when it is tried again after the cooldown',
  );
  const two = release(one, keyOf(4), NOW).pool;
  assert.match(sentenceOf(two, CONTEXT, NOW), /2 cooling down from 12:00:20Z to 12:00:30Z/);
});

test('MAX_ENI is named when it is what limits', () => {
  const context = { ...CONTEXT, bounds: { enis: 2, slotsPerEni: 5 } };
  assert.match(
    sentenceOf(full(2), context, NOW),
    /2 of 2 ENIs attached.*; MAX_ENI allows 2 ENIs of the 3 that t3\.medium takes: raise it$/,
  );
});

test('ENIs of others are named when they take the place', () => {
  const context = { ...CONTEXT, bounds: { enis: 2, slotsPerEni: 5 }, unmanagedEnis: 1 };
  assert.match(
    sentenceOf(full(2), context, NOW),
    /t3\.medium holds 10 pods on the ENIs that the agent manages \(1 it does not\)/,
  );
});

test('what EC2 refused is passed on, with the time of the next attempt', () => {
  const reason = 'subnet-0a has no free address: free some, or use a larger subnet';
  const growth = { kind: 'failed', reason, retryAt: NOW + 1500 } as const;
  assert.match(
    sentenceOf(full(1), { ...CONTEXT, growth }, NOW),
    /1 of 3 ENIs attached, 5 of 5 .*; more cannot be had: subnet-0a has no free .*; next attempt in 2 s$/,
  );
});

test('a pool that grows, and one that must not', () => {
  assert.match(sentenceOf(full(1), CONTEXT, NOW), /more are being fetched: try again in a few seconds$/);
  const growth = { kind: 'disabled', by: 'DISABLE_NETWORK_RESOURCE_PROVISIONING' } as const;
  assert.match(
    sentenceOf(full(1), { ...CONTEXT, growth }, NOW),
    /; DISABLE_NETWORK_RESOURCE_PROVISIONING is set, so the agent adds none/,
  );
});

test('a node that is full of single addresses is told what prefixes would hold', () => {
  const context = { ...CONTEXT, prefixesPossible: true, vcpus: 2 };
  assert.match(
    sentenceOf(full(3), context, NOW),
    /t3\.medium holds 15 pods besides host-network pods; set ENABLE_PREFIX_DELEGATION=true, with which it takes 110 \(set/,
  );
  assert.match(sentenceOf(full(3), { ...context, vcpus: 32 }, NOW), /with which it takes 242 \(/);
});

test('prefixes are counted, and what keeps a pool from growing for good is told', () => {
  const reason = 'm4.large is no Nitro instance';
  const pool = { ...full(1), mode: 'prefix' as const };
  assert.match(
    sentenceOf(pool, { ...CONTEXT, growth: { kind: 'impossible', reason } }, NOW),
    /5 of 5 addresses assigned \(0 prefixes\), 0 cooling; more cannot be had: m4\.large is no Nitro instance$/,
  );
});

test('a cause that does not pass by itself is named before one that does', () => {
  const resting = release(full(3), keyOf(3), NOW).pool;
  const oneRests = release(full(1), keyOf(3), NOW).pool;
  const failed = { kind: 'failed', reason: 'EC2 throttles', retryAt: NOW } as const;
  const growing = (growth: RefusalContext['growth']) => ({ ...CONTEXT, growth });
  assert.equal(causeOf(full(3), CONTEXT, NOW), 'AddressLimit');
  assert.equal(causeOf(full(2), { ...CONTEXT, bounds: { enis: 2, slotsPerEni: 5 } }, NOW), 'ENILimit');
  assert.equal(causeOf(resting, CONTEXT, NOW), 'CoolingDown');
  assert.equal(causeOf(oneRests, growing({ ...failed, cause: 'Throttled' }), NOW), 'Throttled');
  assert.equal(causeOf(oneRests, growing(failed), NOW), 'CoolingDown');
  assert.equal(causeOf(full(1), growing(failed), NOW), 'FailedAssignIP');
  assert.equal(causeOf(full(1), CONTEXT, NOW), 'FailedAssignIP');
  assert.equal(
    causeOf(full(1), growing({ kind: 'disabled', by: 'ENABLE_IMDS_ONLY_MODE' }), NOW),
    'FailedAssignIP',
  );
});
