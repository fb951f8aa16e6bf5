import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressesIn, type Slot } from '../pool.ts';
import { Ec2Api, Throttled } from './ec2-api.ts';
import { Random } from './random.ts';
import { quantileOf, TimeWeighted } from './statistics.ts';
import { Subnet } from './subnet.ts';
import { VirtualTime } from './virtual-time.ts';
import { churnWorkload, readTrace } from './workload.ts';

test('events happen by time, and those of an instant in their order', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20)), (times) => {
      const time = new VirtualTime();
      const seen: [number, number][] = [];
      for (const [order, at] of times.entries()) time.at(at, () => seen.push([time.now, order]));
      time.runUntil(15);
      const wanted = times.map((at, order) => [at, order] as [number, number]).filter(([at]) => at <= 15);
      assert.deepEqual(
        seen,
        wanted.sort(([a, i], [b, j]) => a - b || i - j),
      );
      assert.equal(time.now, 15);
    }),
  );
});

test('a process waits for what it yields, and events that come meanwhile go first', () => {
  const time = new VirtualTime();
  const seen: string[] = [];
  function* process() {
    yield 10;
    seen.push(`process ${time.now}`);
    yield 5;
    seen.push(`process ${time.now}`);
  }
  time.at(12, () => seen.push('event'));
  time.spawn(process());
  time.runUntil(100);
  assert.deepEqual(seen, ['process 10', 'event', 'process 15']);
});

test('EC2 gives what the bucket holds and then what flows into it, to each call by itself', () => {
  const time = new VirtualTime();
  const api = new Ec2Api(time, new Random(1, 'api'));
  const ask = (name: string, times: number): number => {
    let refused = 0;
    for (let each = 0; each < times; each++) {
      const call = api.call(name);
      if (!call.next().done) refused++;
    }
    return refused;
  };
  assert.equal(ask('AssignPrivateIpAddresses', 120), 20);
  assert.equal(ask('AttachNetworkInterface', 60), 10);
  assert.equal(ask('DescribeSubnets', 110), 10);
  time.runUntil(2000);
  assert.equal(ask('AssignPrivateIpAddresses', 30), 20);
  assert.equal(ask('DescribeSubnets', 50), 10);
  time.runUntil(1_000_000);
  assert.equal(ask('AssignPrivateIpAddresses', 101), 1);
  assert.equal(api.throttles.AssignPrivateIpAddresses, 41);
  assert.equal(api.requests.AssignPrivateIpAddresses, 251);
});

test('a call that is refused three times fails', () => {
  const time = new VirtualTime();
  const api = new Ec2Api(time, new Random(1, 'api'));
  for (let each = 0; each < 100; each++) api.call('CreateNetworkInterface').next();
  const call = api.call('CreateNetworkInterface');
  assert.equal(call.next().done, false);
  assert.equal(call.next().done, false);
  assert.throws(() => call.next(), Throttled);
});

test('a subnet gives no address twice, takes all back, and knows its whole blocks', () => {
  const step = fc.record({ prefix: fc.boolean(), count: fc.nat(6), give: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(9), (steps, seed) => {
      const subnet = new Subnet('a', 0x0a000000, 25, new Random(seed, 'subnet'));
      assert.equal(subnet.size, 123);
      const taken: Slot[][] = [];
      for (const { prefix, count, give } of steps) {
        if (give && taken.length > 0) {
          subnet.returnSlots(taken.shift()!);
        } else {
          const slots = subnet.takeSlots(prefix ? 'prefix' : 'address', count);
          if (slots) taken.push([...slots]);
          else if (!prefix) assert.ok(subnet.free < count);
        }
        const addresses = taken.flat().flatMap((slot) => [...addressesIn(slot)]);
        assert.equal(new Set(addresses).size, addresses.length);
        assert.equal(subnet.free, 123 - addresses.length);
        assert.ok(addresses.every((address) => /^10\.0\.0\.\d+$/.test(address)));
      }
      for (const slots of taken) subnet.returnSlots(slots);
      // 8 blocks, of which the first and the last hold addresses of AWS.
      assert.equal(subnet.takeSlots('prefix', 7), undefined);
      assert.equal(subnet.takeSlots('prefix', 6)?.length, 6);
    }),
  );
});

test('an ENI of which a slot cannot be had takes no address', () => {
  const subnet = new Subnet('a', 0x0a000000, 28, new Random(1, 'subnet'));
  assert.equal(subnet.takeEni('eni', 'address', 11), undefined);
  assert.equal(subnet.free, 11);
  const slots = subnet.takeEni('eni', 'address', 10)!;
  assert.equal(subnet.free, 0);
  subnet.returnEni('eni', slots);
  assert.deepEqual([subnet.free, subnet.leastFree], [11, 0]);
});

test('what has a value for long counts for much', () => {
  const idle = new TimeWeighted();
  idle.add(2, 98_000);
  idle.add(50, 1500);
  idle.add(4, 500);
  assert.deepEqual(
    [idle.mean(), idle.quantile(0.5), idle.quantile(0.98), idle.quantile(0.99)],
    [2.73, 2, 2, 50],
  );
  assert.deepEqual(
    [quantileOf([1, 2, 3, 4], 0.5), quantileOf([1, 2, 3, 4], 0.99), quantileOf([], 0.5)],
    [2, 4, 0],
  );
});

test('pods come and go as often as asked, and stay in number', () => {
  const churn = {
    nodes: 200,
    hours: 24,
    changesPerNodeHour: 6,
    podsPerNode: 10,
    burst: 4,
    podLimit: 27,
    seed: 2,
  };
  const { initial, events } = churnWorkload(churn);
  const changes = events.length / (churn.nodes * churn.hours);
  assert.ok(Math.abs(changes - 6) < 0.3, `${changes} changes per node and hour`);
  const pods = initial.map((names) => new Set(names));
  const means: number[] = [];
  let at = 0;
  for (const event of events) {
    assert.ok(event.at >= at);
    at = event.at;
    if (event.kind === 'add') pods[event.node]!.add(event.pod);
    else assert.ok(pods[event.node]!.delete(event.pod), 'a pod goes that is not there');
    assert.ok(pods[event.node]!.size <= 27);
    means.push(pods.reduce((sum, { size }) => sum + size, 0) / churn.nodes);
  }
  const mean = means.reduce((sum, value) => sum + value, 0) / means.length;
  assert.ok(Math.abs(mean - 10) < 0.5, `${mean} pods per node`);
});

test('what is wrong with a trace is said with its line', () => {
  assert.throws(
    () => readTrace('1,n,add,p\nsoon,n,add,p', 1),
    /line 2 of the trace, "soon,n,add,p", does not begin/,
  );
  assert.throws(() => readTrace('1,n,start,p', 1), /neither add nor delete/);
  assert.throws(() => readTrace('1,n,add', 1), /four cells/);
  assert.throws(() => readTrace('# nothing\n', 1), /has no pods/);
  assert.throws(() => readTrace('1,a,add,p\n1,b,add,q', 1), /2 nodes and there are 1: raise --nodes/);
});
