import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sysctl } from '@enid/linux';
import { setConnectionTracking } from './connection-tracking.ts';
import type { Problem } from './model.ts';
import { bring, makeBed, service, startProxy } from './testbed.ts';

test('connections are tracked for as long as with kube-proxy, and room is only added', async (t) => {
  const bed = makeBed(t);
  const value = (name: string) => Number(sysctl.get(bed.node, `net.netfilter.nf_conntrack_${name}`));
  const problems: Problem[] = [];
  const room = value('max');
  const proxy = await startProxy(t, bed, {
    healthPort: null,
    report: (problem) => void problems.push(problem),
  });
  await bring(proxy, [service('web', { clusterIP: '172.20.0.10', ports: [{ port: 80 }] })], []);
  assert.deepEqual([value('tcp_timeout_established'), value('tcp_timeout_close_wait')], [86_400, 3600]);
  if (problems.length === 0) assert.ok(value('max') >= Math.max(room, 131_072));
  // A kernel may keep the room of all namespaces in one: then it is told.
  const [problem] = setConnectionTracking(bed.node, 1000);
  if (problem) assert.match(problem.message, /for 32768000 connections.*nf_conntrack_(max|buckets)/);
  else assert.equal(value('max'), 32_768_000);
  assert.equal(Number(sysctl.get(bed.outside, 'net.netfilter.nf_conntrack_max')), room);
});
