import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { AdaptiveThrottle } from '@enid/aws';
import { TestClock } from '../test-clock.ts';
import { AwsEc2 } from './ec2.ts';

/** Makes as many calls as it can for so long. @returns how many. */
async function calls(clock: TestClock, throttle: AdaptiveThrottle, milliseconds: number, answered = false) {
  const end = clock.now() + milliseconds;
  let count = 0;
  const run = async () => {
    while (clock.now() < end) {
      await throttle.acquire();
      if (clock.now() >= end) return;
      count++;
      if (answered) throttle.succeeded();
    }
  };
  run(); // Its last call would be made after the end.
  await clock.advance(milliseconds);
  return count;
}

test('a burst goes through, then ten calls a second', async () => {
  const clock = new TestClock();
  const throttle = new AdaptiveThrottle(clock, { fastest: 10, burst: 20 });
  assert.equal(await calls(clock, throttle, 10_000), 20 + 99);
});

test('each throttling halves the pace, and answers bring it back', async () => {
  const clock = new TestClock();
  const throttle = new AdaptiveThrottle(clock, { fastest: 10, burst: 20 });
  throttle.slowDown();
  assert.equal(throttle.rate, 5);
  throttle.slowDown();
  assert.equal(throttle.rate, 2.5);
  assert.ok((await calls(clock, throttle, 10_000)) <= 25);
  for (let n = 0; n < 20; n++) throttle.slowDown();
  assert.equal(throttle.rate, 0.2);
  assert.ok((await calls(clock, throttle, 60_000)) >= 11, 'it never stops to ask');
  await calls(clock, throttle, 60_000, true);
  assert.equal(throttle.rate, 10);
  assert.equal(throttle.throttles, 22);
});

test('every request of the SDK counts, its repetitions too, and a throttling is noticed in the middle of them', async (t) => {
  let requests = 0;
  const server = createServer((_, response) => {
    requests++;
    if (requests > 2) return response.end('<DescribeSubnetsResponse><subnetSet/></DescribeSubnetsResponse>');
    response.writeHead(503);
    response.end(
      '<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>too many</Message></Error></Errors></Response>',
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const before = { ...process.env };
  process.env.AWS_ENDPOINT_URL_EC2 = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.env.AWS_ACCESS_KEY_ID = 'key';
  process.env.AWS_SECRET_ACCESS_KEY = 'secret';
  const observed: string[] = [];
  const ec2 = AwsEc2.open(await AwsEc2.load(), {
    region: 'us-east-1',
    instanceId: 'i-1',
    observe: ({ operation, error }) => observed.push(`${operation} ${error?.code ?? 'fine'}`),
  });
  t.after(() => {
    process.env = before;
    ec2.close();
    server.closeAllConnections();
    server.close();
  });
  assert.deepEqual(await ec2.subnets('vpc-1', 'us-east-1a'), []);
  assert.equal(requests, 3);
  assert.deepEqual(observed, [
    'DescribeSubnets RequestLimitExceeded',
    'DescribeSubnets RequestLimitExceeded',
    'DescribeSubnets fine',
  ]);
  assert.deepEqual([ec2.pace.throttles, ec2.pace.rate < 5], [2, true]);
});
