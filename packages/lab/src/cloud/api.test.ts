import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import * as ec2 from '@aws-sdk/client-ec2';
import { Sha256 } from '@smithy/core/checksum';
import { HttpRequest } from '@smithy/core/protocols';
import { SignatureV4 } from '@smithy/signature-v4';
import { buildNetwork, CREDENTIALS, clientOf, createInterface, launch, startCloud } from './cloud.fixture.ts';
import type { Cloud } from './cloud.ts';
import { faultSchema } from './faults.ts';
import type { Settings } from './settings.ts';

const describeVpcs = new ec2.DescribeVpcsCommand({});
const create = (cidr = '10.0.0.0/16') => new ec2.CreateVpcCommand({ CidrBlock: cidr });

/** Sends a form as it is, signed by the lab's keys; `body`: what is sent in its place. @returns status and XML. */
async function post(
  cloud: Cloud,
  form: string,
  change: (headers: Record<string, string>) => void = () => {},
  body = form,
) {
  const { host } = new URL(cloud.endpoint);
  const signer = new SignatureV4({
    credentials: CREDENTIALS,
    region: 'us-east-1',
    service: 'ec2',
    sha256: Sha256,
  });
  const headers = { host, 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' };
  const signed = await signer.sign(new HttpRequest({ method: 'POST', path: '/', headers, body: form }));
  change(signed.headers);
  const response = await fetch(`${cloud.endpoint}/`, { method: 'POST', headers: signed.headers, body });
  return { status: response.status, xml: await response.text() };
}

const fault = (given: object) => faultSchema.parse(given);

const VERSION = 'Version=2016-11-15';

suite('requests', () => {
  test('are answered with the id of the request', async (t) => {
    const { cloud } = await startCloud(t);
    const { status, xml } = await post(cloud, `Action=DescribeRegions&${VERSION}`);
    assert.equal(status, 200);
    assert.match(
      xml,
      /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<DescribeRegionsResponse xmlns="http:\/\/ec2\.amazonaws\.com\/doc\/2016-11-15\/"><requestId>[0-9a-f-]{36}<\/requestId><regionInfo><item>/,
    );
  });

  for (const [form, status, code] of [
    [VERSION, 400, 'MissingAction'],
    [`Action=DescribeUnicorns&${VERSION}`, 400, 'InvalidAction'],
    [`Action=CreateImage&${VERSION}`, 400, 'UnsupportedOperation'],
    ['Action=DescribeVpcs', 400, 'NoSuchVersion'],
    ['Action=DescribeVpcs&Version=2008-01-01', 400, 'NoSuchVersion'],
    [`Action=DescribeVpcs&${VERSION}&Colour=red`, 400, 'UnknownParameter'],
    [`Action=DeleteVpc&${VERSION}`, 400, 'MissingParameter'],
    [`Action=DeleteVpc&${VERSION}&VpcId=vpc-1&DryRun=true`, 412, 'DryRunOperation'],
    [`Action=DeleteVpc&${VERSION}&VpcId=vpc-1`, 400, 'InvalidVpcID.NotFound'],
    [`Action=DeleteVpc&${VERSION}&VpcId=subnet-1`, 400, 'InvalidVpcID.Malformed'],
  ] as const) {
    test(`"${form}" is answered ${status} ${code}`, async (t) => {
      const { cloud } = await startCloud(t);
      const response = await post(cloud, form);
      assert.equal(response.status, status);
      assert.match(response.xml, new RegExp(`<Response><Errors><Error><Code>${code}</Code><Message>`));
    });
  }

  test('a dry run changes nothing', async (t) => {
    const { ec2: client, cloud } = await startCloud(t);
    const command = new ec2.CreateVpcCommand({ CidrBlock: '10.0.0.0/16', DryRun: true });
    await assert.rejects(client.send(command), { name: 'DryRunOperation' });
    assert.deepEqual(cloud.state.vpcs, {});
  });
});

suite('signatures', () => {
  for (const [what, change, status, code] of [
    [
      'no signature',
      (headers: Record<string, string>) => delete headers.authorization,
      403,
      'MissingAuthenticationToken',
    ],
    ['another signature', tamper(/Signature=./, 'Signature=x'), 401, 'AuthFailure'],
    ['unknown keys', tamper(/AKIA\w+/, 'AKIAOTHER'), 401, 'AuthFailure'],
    ['another region', tamper('us-east-1', 'eu-west-1'), 401, 'AuthFailure'],
    ['another service', tamper('/ec2/', '/s3/'), 401, 'AuthFailure'],
    [
      'a session token of nobody',
      (headers: Record<string, string>) => {
        headers['x-amz-security-token'] = 'i-0/0/x';
      },
      401,
      'AuthFailure',
    ],
    [
      'a header that was changed',
      (headers: Record<string, string>) => {
        headers['content-type'] = 'application/x-www-form-urlencoded';
      },
      401,
      'AuthFailure',
    ],
  ] as const) {
    test(`${what}: ${status} ${code}`, async (t) => {
      const { cloud } = await startCloud(t);
      const response = await post(cloud, `Action=DescribeVpcs&${VERSION}`, change);
      assert.deepEqual([response.status, response.xml.match(/<Code>(.*)<\/Code>/)?.[1]], [status, code]);
    });
  }

  test('a body that was changed', async (t) => {
    const { cloud } = await startCloud(t);
    const form = `Action=DescribeVpcs&${VERSION}`;
    const { status, xml } = await post(cloud, form, () => {}, `${form}&DryRun=false`);
    assert.equal(status, 401);
    assert.match(xml, /<Code>AuthFailure</);
  });

  test('a wrong secret', async (t) => {
    const { cloud } = await startCloud(t);
    const client = clientOf(cloud, { ...CREDENTIALS, secretAccessKey: 'guess' });
    t.after(() => client.destroy());
    await assert.rejects(client.send(describeVpcs), { name: 'AuthFailure' });
  });

  test('a request that is too old', async (t) => {
    const { ec2: client, clock } = await startCloud(t);
    await clock.advance(6 * 60_000);
    await assert.rejects(client.send(describeVpcs), { name: 'RequestExpired' });
  });
});

function tamper(from: string | RegExp, to: string) {
  return (headers: Record<string, string>) => {
    headers.authorization = headers.authorization!.replace(from, to);
  };
}

suite('throttling', () => {
  const rates = (capacity: number, refillPerSecond: number): Settings['throttle'] => ({
    read: { capacity: 100, refillPerSecond: 100 },
    readAll: { capacity, refillPerSecond },
    write: { capacity, refillPerSecond },
  });

  test('each operation has a bucket that fills with time', async (t) => {
    const { ec2: client, clock } = await startCloud(t, { settings: { throttle: rates(2, 1) } });
    const limited = { name: 'RequestLimitExceeded', message: 'Request limit exceeded.' };
    await client.send(describeVpcs);
    await client.send(describeVpcs);
    await assert.rejects(client.send(describeVpcs), limited);
    await client.send(new ec2.DescribeVpcsCommand({ MaxResults: 5 }));
    await client.send(create());
    await client.send(create());
    await assert.rejects(client.send(create()), limited);
    await clock.advance(1000);
    await client.send(create());
    await assert.rejects(client.send(create()), limited);
  });

  test("the SDK's client tries again, and succeeds", async (t) => {
    const { cloud, clock } = await startCloud(t, { settings: { throttle: rates(1, 1) } });
    const client = new ec2.EC2Client({
      endpoint: cloud.endpoint,
      region: 'us-east-1',
      credentials: CREDENTIALS,
      retryStrategy: {
        async acquireInitialRetryToken() {
          return { getRetryCount: () => 0, getRetryDelay: () => 0 };
        },
        async refreshRetryTokenForRetry() {
          await clock.advance(1000);
          return { getRetryCount: () => 1, getRetryDelay: () => 0 };
        },
        recordSuccess() {},
      },
    });
    t.after(() => client.destroy());
    await client.send(describeVpcs);
    const { $metadata } = await client.send(describeVpcs);
    assert.equal($metadata.attempts, 2);
  });
});

suite('faults', () => {
  async function start(t: TestContext) {
    const lab = await startCloud(t, { settings: { throttle: null } });
    const call = async (method: string, path: string, body?: object) => {
      const response = await fetch(`${lab.cloud.endpoint}/_lab${path}`, {
        method,
        ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
    };
    return { ...lab, call };
  }

  test('strike as often as they are told to', async (t) => {
    const { ec2: client, call } = await start(t);
    const fault = { operation: 'Create*', code: 'UnauthorizedOperation', times: 2 };
    assert.equal((await call('POST', '/faults', fault)).status, 201);
    const denied = {
      name: 'UnauthorizedOperation',
      message: 'You are not authorized to perform this operation.',
    };
    await client.send(describeVpcs);
    await assert.rejects(client.send(create()), denied);
    assert.deepEqual((await call('GET', '/faults')).body[0].times, 1);
    await assert.rejects(client.send(create()), denied);
    await client.send(create());
    assert.deepEqual((await call('GET', '/faults')).body, []);
  });

  test('have any code, message and status', async (t) => {
    const { ec2: client, cloud } = await start(t);
    cloud.faults.add(fault({ operation: '*', code: 'Weird', message: 'so & so', status: 418 }));
    await assert.rejects(client.send(describeVpcs), (error: ec2.EC2ServiceException) => {
      assert.deepEqual(
        [error.name, error.message, error.$metadata.httpStatusCode],
        ['Weird', 'so & so', 418],
      );
      return true;
    });
  });

  test('lose the answer of what was done', async (t) => {
    const { ec2: client, cloud } = await start(t);
    cloud.faults.add(fault({ operation: 'CreateVpc', drop: true, when: 'after', times: 1 }));
    await assert.rejects(client.send(create()), { code: 'ECONNRESET' });
    assert.equal(Object.keys(cloud.state.vpcs).length, 1);
    cloud.faults.add(fault({ operation: 'CreateVpc', drop: true, times: 1 }));
    await assert.rejects(client.send(create()), { code: 'ECONNRESET' });
    assert.equal(Object.keys(cloud.state.vpcs).length, 1);
  });

  test('delay', async (t) => {
    const { ec2: client, cloud, clock } = await start(t);
    cloud.faults.add(fault({ operation: 'CreateVpc', delayMs: 60_000, times: 1 }));
    const created = client.send(create());
    while (cloud.faults.list().length > 0) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(cloud.state.vpcs, {});
    await clock.advance(60_000);
    await created;
    assert.equal(Object.keys(cloud.state.vpcs).length, 1);
  });

  test('strike at random, the same way for the same seed', async (t) => {
    const strikes = async () => {
      const { ec2: client, cloud } = await start(t);
      cloud.faults.add(fault({ operation: '*', code: 'InternalError', probability: 0.5 }));
      const outcomes: boolean[] = [];
      for (let count = 0; count < 20; count++) {
        outcomes.push(
          await client.send(describeVpcs).then(
            () => false,
            () => true,
          ),
        );
      }
      return outcomes;
    };
    const [first, second] = [await strikes(), await strikes()];
    assert.deepEqual(first, second);
    assert.ok(first.includes(true) && first.includes(false));
  });

  test('strike one node alone', async (t) => {
    const lab = await start(t);
    const { subnetId } = await buildNetwork(lab.ec2);
    const [one, two] = [await launch(lab, subnetId), await launch(lab, subnetId)];
    lab.cloud.faults.add(fault({ operation: '*', code: 'UnauthorizedOperation', instanceId: one }));
    await createInterface(lab, subnetId);
    for (const [instanceId, isDenied] of [
      [one, true],
      [two, false],
    ] as const) {
      const client = clientOf(lab.cloud, lab.cloud.credentialsOf(instanceId));
      t.after(() => client.destroy());
      const sent = createInterface({ ec2: client }, subnetId);
      if (isDenied) await assert.rejects(sent, { name: 'UnauthorizedOperation' });
      else await sent;
    }
  });

  test('are listed and deleted', async (t) => {
    const { call } = await start(t);
    const { body } = await call('POST', '/faults', { operation: 'CreateVpc', code: 'A' });
    await call('POST', '/faults', { operation: 'CreateVpc', code: 'B' });
    assert.equal((await call('DELETE', `/faults/${body.id}`)).status, 204);
    assert.equal((await call('DELETE', `/faults/${body.id}`)).status, 404);
    assert.deepEqual(
      (await call('GET', '/faults')).body.map(({ code }: { code: string }) => code),
      ['B'],
    );
    assert.equal((await call('DELETE', '/faults')).status, 204);
    assert.deepEqual((await call('GET', '/faults')).body, []);
  });

  test('and settings are checked', async (t) => {
    const { call, cloud } = await start(t);
    const wrong = await call('POST', '/faults', { operation: 'CreateVpc', color: 'red' });
    assert.equal(wrong.status, 400);
    assert.match(wrong.body.message, /color/);
    assert.equal((await call('POST', '/faults', { operation: 'x', probability: 2 })).status, 400);
    assert.equal((await call('POST', '/settings', { attachDelayMs: -1 })).status, 400);
    const changed = await call('POST', '/settings', { attachDelayMs: 2500 });
    assert.deepEqual(
      [changed.status, changed.body.attachDelayMs, cloud.settings.attachDelayMs],
      [200, 2500, 2500],
    );
    assert.deepEqual((await call('GET', '/settings')).body, cloud.settings);
    assert.deepEqual((await call('GET', '/state')).body, cloud.state);
  });
});
