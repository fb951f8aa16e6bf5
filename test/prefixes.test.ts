/** Pods with addresses of delegated prefixes. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { GIVEN } from './given.ts';
import { mapOf, placeOf } from './maps.ts';
import { givenBed, labBed, type PrefixBed } from './prefix-bed.ts';

const NAME = 'prefixes';
const INTERNET_HOST = '198.51.100.10';
/** One more than a prefix has addresses. */
const PODS = Array.from({ length: 17 }, (_, index) => `pod-${index}`);
const block = (address: string): string => address.replace(/\d+$/, (last) => `${Number(last) & ~15}/28`);

let bed: PrefixBed;
let addresses: string[];

before(async () => {
  bed = await (GIVEN ? givenBed(GIVEN, NAME) : labBed(NAME));
});
after(() => bed?.[Symbol.asyncDispose]());

test('pods of several prefixes reach each other and other nodes, by a rule for each of them', async (t) => {
  if (GIVEN && (await mapOf(GIVEN, bed.node)).mode !== 'prefix')
    return t.skip('needs prefixes: set ENABLE_PREFIX_DELEGATION=true on aws-node');
  if (bed.room < PODS.length)
    return t.skip(`needs room for ${PODS.length} more pods on ${bed.node}, which takes ${bed.room}`);
  const [far] = await bed.pods(['far'], 'elsewhere');
  addresses = await bed.pods(PODS, 'here');
  const rules = await bed.onNode('ip', 'rule');
  for (const address of addresses) assert.match(rules, new RegExp(`^512:\\s+from all to ${address} `, 'm'));
  for (const pod of [PODS[0]!, PODS.at(-1)!])
    for (const target of [far!, addresses[1]!])
      assert.match(await bed.exec(pod, 'ping', '-c', '1', '-W', '2', target), /1 received/);
  assert.match(await bed.exec('far', 'ping', '-c', '1', '-W', '2', addresses.at(-1)!), /1 received/);
  const blocks = Map.groupBy(addresses, block);
  assert.ok(blocks.size >= 2, `${addresses}`);
  const metrics = await bed.onNode('curl', '-s', '127.0.0.1:61678/metrics');
  for (const [cidr, { length }] of blocks) {
    const [, count] = new RegExp(`^awscni_assigned_ip_per_cidr\\{cidr="${cidr}"\\} (\\d+)$`, 'm').exec(
      metrics,
    )!;
    assert.ok(Number(count) >= length, `${count} of ${cidr} are assigned, and ${length} by this test`);
  }
  if (!GIVEN) return;
  const map = await mapOf(GIVEN, bed.node);
  for (const [index, address] of addresses.entries()) {
    const { slot } = placeOf(map, address, NAME, PODS[index]!);
    assert.equal(slot.kind === 'prefix' && slot.cidr, block(address));
  }
});

test('the first prefix is filled first; the pod of a second ENI leaves by it, to the internet too', {
  skip:
    GIVEN &&
    'needs a node without other pods, whose first ENI holds a single prefix, and a known host of the internet',
}, async () => {
  const [first, last] = [block(addresses[0]!), block(addresses.at(-1)!)];
  assert.deepEqual(new Set(addresses.slice(0, 16).map(block)), new Set([first]));
  assert.notEqual(last, first);
  const rules = await bed.onNode('ip', 'rule');
  assert.match(rules, new RegExp(`1536:\\s+from ${addresses.at(-1)} lookup 2`));
  assert.equal(rules.match(/^512:/gm)?.length, PODS.length, 'a rule for each pod, none for the block');
  for (const pod of [PODS[0]!, PODS.at(-1)!])
    assert.match(await bed.exec(pod, 'ping', '-c', '1', '-W', '2', INTERNET_HOST), /1 received/);
  const metrics = await bed.onNode('curl', '-s', '127.0.0.1:61678/metrics');
  for (const line of [
    `awscni_assigned_ip_per_cidr{cidr="${first}"} 16`,
    `awscni_assigned_ip_per_cidr{cidr="${last}"} 1`,
    'awscni_total_ipv4_prefixes 2',
    'awscni_ip_max 32',
  ]) {
    assert.ok(metrics.includes(line), `${line} is not in\n${metrics}`);
  }
});
