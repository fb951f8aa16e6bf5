/** `enid max-pods`, `enid plan` and `enid simulate` as they are called. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CREDENTIALS, startCloud } from '../../../lab/src/cloud/cloud.fixture.ts';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));

type Outcome = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** Nothing of the caller's AWS configuration takes part, and nobody is asked who this machine is. */
const alone = {
  PATH: process.env.PATH,
  HOME: '/nonexistent',
  AWS_EC2_METADATA_DISABLED: 'true',
};

function enid(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { env: { ...alone, ...env } }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

const json = async (...args: string[]) => JSON.parse((await enid([...args, '--json'])).stdout);

test('max-pods answers from the table', async () => {
  assert.deepEqual(await json('max-pods', '--instance-type', 't3.medium'), {
    instanceType: 't3.medium',
    enis: 3,
    ipv4PerEni: 6,
    maxPods: 17,
  });
  const several = await json(
    'max-pods',
    '--instance-type',
    'trn1.32xlarge,m5.large',
    '--instance-type',
    't3.nano',
  );
  assert.deepEqual(
    several.map(({ maxPods }: { maxPods: number }) => maxPods),
    [247, 29, 4],
  );
  const options = ['--prefix-delegation', '--custom-networking', '--max-eni', '2'];
  assert.equal((await json('max-pods', '--instance-type', 't3.small', ...options)).maxPods, 50);
  assert.deepEqual(await json('max-pods', '--instance-type', 'trn1.32xlarge', '--multi-nic'), {
    instanceType: 'trn1.32xlarge',
    enis: 40,
    ipv4PerEni: 50,
    maxPods: 1962,
  });
  const { stdout } = await enid(['max-pods', '--instance-type', 'm5.large']);
  assert.match(stdout, /^INSTANCE TYPE .*MAX PODS\nm5\.large +3 +10 +1 +2 +8 GiB +nitro +29\n$/);
});

test('what cannot be is refused with the way out', async () => {
  const refusals: [string[], RegExp][] = [
    [
      ['max-pods', '--instance-type', 'm5.lage'],
      /"m5\.lage" is not in the table\. Near it are m5\.large, .*--from-ec2/,
    ],
    [
      ['max-pods', '--instance-type', 'm4.large', '--prefix-delegation'],
      /m4\.large takes no prefixes, since only Nitro/,
    ],
    [['plan', '--instance-type', 't3.small', '--pods', '10'], /t3\.small takes 9 pods/],
    [['plan', '--instance-type', 't3.small', '--pods', 'few'], /such as 0,5,9/],
    [['plan', '--instance-type', 't3.small', '--pods', '1', '--set', 'WARM=1'], /set WARM_ENI_TARGET/],
    [['simulate', '--nodes', '9', '--subnet', 'a=/30'], /from a=\/16 to a=\/28/],
    [['simulate', '--nodes', '90', '--subnet', 'a=/27'], /subnet a has 27 addresses, too few/],
    [['simulate', '--nodes', '1', '--pods', '40'], /takes 27 pods/],
    [['simulate', '--nodes', '1', '--trace', '/nonexistent'], /the trace cannot be read: ENOENT/],
  ];
  await Promise.all(
    refusals.map(async ([args, message]) => {
      const { code, stdout, stderr } = await enid(args);
      assert.equal(code, 1, args.join(' '));
      assert.equal(stdout, '');
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /^\s+at /m);
    }),
  );
});

test('plan shows where a pool comes to rest', async () => {
  assert.deepEqual(await json('plan', '--instance-type', 't3.small', '--pods', '0,5'), [
    { pods: 0, enis: 1, perEni: [3], attached: 3, unused: 3, ec2Calls: 1 },
    { pods: 5, enis: 3, perEni: [3, 3, 3], attached: 9, unused: 4, ec2Calls: 11 },
  ]);
  const set = ['--set', 'WARM_IP_TARGET=2', '--set', 'MINIMUM_IP_TARGET=5'];
  const { stdout } = await enid(['plan', '--instance-type', 't3.small', '--pods', '5', ...set]);
  assert.match(stdout, /\n +5 +3 +7 +2 +\d+ +3,3,1\n$/);
});

test('simulate compares settings, and reads a trace', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'enid-trace-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const trace = join(folder, 'pods.csv');
  const lines = Array.from({ length: 12 }, (_, pod) => `5,ip-10-0-0-1,add,web-${pod}\n`);
  writeFileSync(trace, `seconds,node,event,pod\n${lines.join('')}`);
  const sets = ['--set', 'defaults', '--set', 'WARM_IP_TARGET=1,MINIMUM_IP_TARGET=2'];
  const [byEni, byIp] = await json('simulate', '--nodes', '2', '--hours', '1', '--trace', trace, ...sets);
  assert.deepEqual([byEni.pods.added, byIp.settings], [12, { WARM_IP_TARGET: '1', MINIMUM_IP_TARGET: '2' }]);
  assert.ok(byIp.pods.waited > byEni.pods.waited);
  const { stdout } = await enid(['simulate', '--nodes', '5', '--hours', '2', ...sets]);
  assert.match(
    stdout,
    /defaults +WARM_IP_TARGET=1 MINIMUM_IP_TARGET=2\n[\s\S]*idle addresses per node, mean +\d[\s\S]*never/,
  );
});

test('max-pods --from-ec2 takes the figures of EC2', async (t) => {
  const { cloud } = await startCloud(t);
  const env = {
    AWS_REGION: cloud.state.region,
    AWS_ENDPOINT_URL_EC2: cloud.endpoint,
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
  };
  const args = ['max-pods', '--from-ec2', '--json', '--instance-type'];
  const known = await enid([...args, 'trn1.32xlarge,t3.medium'], env);
  assert.deepEqual(JSON.parse(known.stdout || known.stderr), [
    { instanceType: 'trn1.32xlarge', enis: 5, ipv4PerEni: 50, maxPods: 247 },
    { instanceType: 't3.medium', enis: 3, ipv4PerEni: 6, maxPods: 17 },
  ]);
  const unknown = await enid([...args, 'm5.lage'], env);
  assert.match(unknown.stderr, /do not exist: \[m5\.lage\]\. Near: m5\.lage: m5\.large/);
  const stranger = await enid([...args, 'm5.large'], { ...env, AWS_SECRET_ACCESS_KEY: 'wrong' });
  assert.match(stranger.stderr, /EC2 cannot be asked .*leave --from-ec2 out/);
  assert.match((await enid([...args, 'm5.large'])).stderr, /set AWS_REGION/);
});

test('max-pods --from-ec2 knows a type that the table does not', async (t) => {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/xml');
    response.end(`<DescribeInstanceTypesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><instanceTypeSet><item>
      <instanceType>z9.huge</instanceType><hypervisor>nitro</hypervisor><vCpuInfo><defaultVCpus>64</defaultVCpus></vCpuInfo>
      <networkInfo><maximumNetworkInterfaces>13</maximumNetworkInterfaces><maximumNetworkCards>2</maximumNetworkCards>
      <defaultNetworkCardIndex>0</defaultNetworkCardIndex><networkCards>
      <item><networkCardIndex>0</networkCardIndex><maximumNetworkInterfaces>7</maximumNetworkInterfaces></item>
      <item><networkCardIndex>1</networkCardIndex><maximumNetworkInterfaces>6</maximumNetworkInterfaces></item>
      </networkCards><ipv4AddressesPerInterface>21</ipv4AddressesPerInterface></networkInfo></item></instanceTypeSet>
      </DescribeInstanceTypesResponse>`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const env = {
    AWS_REGION: 'us-east-1',
    AWS_ENDPOINT_URL_EC2: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    AWS_ACCESS_KEY_ID: 'any',
    AWS_SECRET_ACCESS_KEY: 'any',
  };
  const { stdout } = await enid(['max-pods', '--from-ec2', '--json', '--instance-type', 'z9.huge'], env);
  assert.deepEqual(JSON.parse(stdout), { instanceType: 'z9.huge', enis: 7, ipv4PerEni: 21, maxPods: 142 });
  const prefixes = await enid(
    ['max-pods', '--from-ec2', '--json', '--prefix-delegation', '--instance-type', 'z9.huge'],
    env,
  );
  assert.equal(JSON.parse(prefixes.stdout).maxPods, 250);
  const cards = await enid(
    ['max-pods', '--from-ec2', '--json', '--multi-nic', '--instance-type', 'z9.huge'],
    env,
  );
  assert.equal(JSON.parse(cards.stdout).maxPods, 13 * 20 + 2);
});
