import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { TestClock } from '../test-clock.ts';
import { Imds } from './metadata.ts';

const MAC = '02:00:00:00:00:01';
const ENI: Readonly<Record<string, string>> = {
  'interface-id': 'eni-1',
  'device-number': '0',
  'subnet-id': 'subnet-1',
  'subnet-ipv4-cidr-block': '10.0.1.0/24',
  'vpc-id': 'vpc-1',
  'vpc-ipv4-cidr-blocks': '10.0.0.0/16\n100.64.0.0/16',
  'security-group-ids': 'sg-1\nsg-2',
  'local-ipv4s': '10.0.1.5\n10.0.1.6\n10.0.1.7',
  'ipv4-prefix': '10.0.1.16/28\n10.0.1.64/28',
};

const LISTS: Readonly<Record<string, string>> = {
  'network/interfaces/macs/': `${MAC}/`,
  [`network/interfaces/macs/${MAC}/`]: Object.keys(ENI).join('\n'),
};

/** A metadata service; `answer` may answer a path in its own way. */
async function service(t: TestContext, answer: (path: string, response: ServerResponse) => boolean) {
  const seen = { tokens: 0, paths: [] as string[] };
  const server = createServer((request, response) => {
    if (request.method === 'PUT' && request.url === '/latest/api/token') {
      seen.tokens++;
      return response.end(`token-${seen.tokens}`);
    }
    const path = request.url!.replace('/latest/meta-data/', '');
    seen.paths.push(path);
    assert.equal(request.headers['x-aws-ec2-metadata-token'], `token-${seen.tokens}`);
    if (answer(path, response)) return;
    const [, entry] = /^network\/interfaces\/macs\/02:00:00:00:00:01\/(.+)$/.exec(path) ?? [];
    const body = LISTS[path] ?? ENI[entry ?? ''];
    response.writeHead(body === undefined ? 404 : 200).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const before = process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT;
  process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  t.after(() => {
    if (before === undefined) delete process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT;
    else process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT = before;
    server.closeAllConnections();
    server.close();
  });
  return seen;
}

test('an ENI is read with one token, its own address apart from the secondary ones', async (t) => {
  const seen = await service(t, () => false);
  const clock = new TestClock();
  const imds = await Imds.open(clock);
  const [eni, ...others] = await imds.enis();
  assert.deepEqual(others, []);
  assert.equal(eni!.primaryIp, '10.0.1.5');
  assert.deepEqual(eni!.addresses, ['10.0.1.6', '10.0.1.7']);
  assert.deepEqual(eni!.prefixes, ['10.0.1.16/28', '10.0.1.64/28']);
  assert.deepEqual([eni!.id, eni!.mac, eni!.deviceNumber, eni!.networkCard], ['eni-1', MAC, 0, 0]);
  assert.deepEqual(eni!.securityGroups, ['sg-1', 'sg-2']);
  assert.deepEqual(await imds.vpcCidrs(MAC), ['10.0.0.0/16', '100.64.0.0/16']);
  assert.equal(seen.tokens, 1);
  assert.ok(!seen.paths.some((path) => path.endsWith('network-card')), 'what is not listed is not asked for');
  await clock.advance(5 * 3600_000 + 1);
  await imds.enis();
  assert.equal(seen.tokens, 2);
});

test('an ENI whose entries are not complete yet is left out', async (t) => {
  await service(t, (path, response) => {
    if (!path.endsWith('subnet-ipv4-cidr-block')) return false;
    response.writeHead(404).end();
    return true;
  });
  assert.deepEqual(await (await Imds.open(new TestClock())).enis(), []);
});

test('metadata that is refused says what to look at', async (t) => {
  await service(t, (_, response) => {
    response.writeHead(403).end();
    return true;
  });
  await assert.rejects(
    (await Imds.open(new TestClock())).vpcCidrs(MAC),
    /instance metadata does not give .*switched on/,
  );
});
