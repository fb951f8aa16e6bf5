/** Pods with addresses of delegated prefixes, on the lab's network: the first ENI of a t3.micro holds one prefix. */
import assert from 'node:assert/strict';
import { run } from './enid.ts';
import { labOnly } from './given.ts';

const { after, before, test } = labOnly("the lab's nodes and its internet");

const NAME = 'prefixes';
const INTERNET_HOST = '198.51.100.10';
const lab = async (command: string, ...args: string[]): Promise<string> => {
  const { status, stdout, stderr } = await run('lab', command, '--name', NAME, ...args);
  assert.equal(status, 0, stderr + stdout);
  return stdout;
};
const addressIn = (text: string): string => /has (\S+) on/.exec(text)![1]!;
const block = (address: string): string => address.replace(/\d+$/, (last) => `${Number(last) & ~15}/28`);

before(async () => {
  await run('lab', 'down', '--name', NAME);
});
after(async () => {
  await run('lab', 'down', '--name', NAME);
});

test('pods of prefixes reach other nodes and the internet, those of a second ENI too', async () => {
  await lab(
    'up',
    '--bare',
    '--nodes',
    '2',
    '--instance-type',
    't3.micro',
    '--set',
    'ENABLE_PREFIX_DELEGATION=true',
  );
  const far = addressIn(await lab('run', 'far', '--node', 'node-2'));
  const addresses: string[] = [];
  for (let pod = 0; pod < 17; pod++) {
    addresses.push(addressIn(await lab('run', `pod-${pod}`, '--node', 'node-1')));
  }
  const [first, last] = [block(addresses[0]!), block(addresses.at(-1)!)];
  assert.deepEqual(
    new Set(addresses.slice(0, 16).map(block)),
    new Set([first]),
    'the first prefix is filled first',
  );
  assert.notEqual(last, first);

  const rules = await lab('exec', 'node-1', '--', 'ip', 'rule');
  assert.match(
    rules,
    new RegExp(`1536:\\s+from ${addresses.at(-1)} lookup 2`),
    'the last pod leaves by the second ENI',
  );
  assert.equal(rules.match(/^512:/gm)?.length, 17, 'a rule for each pod, none for the block');
  for (const pod of ['pod-0', 'pod-16']) {
    for (const target of [far, addresses[1]!, INTERNET_HOST]) {
      assert.match(await lab('exec', pod, '--', 'ping', '-c', '1', '-W', '2', target), /1 received/);
    }
  }
  assert.match(await lab('exec', 'far', '--', 'ping', '-c', '1', '-W', '2', addresses.at(-1)!), /1 received/);
  const metrics = await lab('exec', 'node-1', '--', 'curl', '-s', '127.0.0.1:61678/metrics');
  for (const line of [
    `awscni_assigned_ip_per_cidr{cidr="${first}"} 16`,
    `awscni_assigned_ip_per_cidr{cidr="${last}"} 1`,
    'awscni_total_ipv4_prefixes 2',
    'awscni_ip_max 32',
  ]) {
    assert.ok(metrics.includes(line), `${line} is not in\n${metrics}`);
  }
});
