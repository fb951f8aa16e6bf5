import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { parseIp } from '@enid/ip';
import { bindUdp, listenTcp } from '@enid/linux';
import type { Problem } from './model.ts';
import { listeningPorts } from './taken-ports.ts';
import { bring, makeBed, NODE_IP, service, startProxy } from './testbed.ts';

test('a process that has a NodePort is seen after a restart, and one that takes it later', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const bed = makeBed(t);
  const problems: Problem[] = [];
  const ports = ['TCP', 'UDP'].map((protocol) => ({
    name: protocol.toLowerCase(),
    protocol,
    port: 80,
    nodePort: 30_080,
  }));
  const services = [service('web', { type: 'NodePort', clusterIP: '172.20.0.10', ports })];
  const start = async () => {
    const report = (problem: Problem) => void problems.push(problem);
    const proxy = await startProxy(t, bed, { healthPort: null, report });
    await bring(proxy, services, []);
    return proxy;
  };
  const told = () => problems.splice(0).map(({ reason, message }) => `${reason} ${message.split(',')[0]}`);
  const tcp = 'NodePortInUse a process on this node has TCP port 30080';
  const udp = 'NodePortInUse a process on this node has UDP port 30080';
  const first = await start();
  assert.deepEqual(told(), []);
  const listener = listenTcp(bed.node, parseIp(NODE_IP), 30_080);
  t.mock.timers.tick(60_000);
  assert.deepEqual(told(), [tcp]);
  t.mock.timers.tick(60_000);
  assert.deepEqual(told(), []);
  await first.stop();

  await start();
  assert.deepEqual(told(), [tcp]);
  closeSync(listener);
  const socket = bindUdp(bed.node, parseIp('0.0.0.0'), 30_080);
  t.mock.timers.tick(60_000);
  assert.deepEqual(told(), [udp]);
  closeSync(socket);
  t.mock.timers.tick(60_000);
  const again = listenTcp(bed.node, parseIp(NODE_IP), 30_080);
  t.after(() => closeSync(again));
  t.mock.timers.tick(60_000);
  assert.deepEqual(told(), [tcp]);
});

test('ports of SCTP, as the kernel lists its sockets', () => {
  const header = ' ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS\n';
  assert.deepEqual(listeningPorts(header), new Set());
  const table = `${header}ffff8801 ffff8802 2   10  29   30085   0 299689357 10.0.0.102 10.0.0.70 \nffff8803 ffff8804 0   7   31   30086   0 299689358 0.0.0.0 \n`;
  assert.deepEqual(listeningPorts(table), new Set([30_085]));
});
