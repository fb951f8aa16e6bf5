import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { get } from 'node:http';
import { test } from 'node:test';
import { parseIp } from '@enid/ip';
import { eventually } from '@enid/kube/testing';
import { connectTcp, listenTcp, type NetNamespace, Nftables } from '@enid/linux';
import { nodePortCidrs } from './service-module.ts';
import { AgentBed } from './services/agent-testbed.ts';
import { TABLE } from './services/layout.ts';
import { call, makeBed, open, serveTcp, service, slice } from './services/testbed.ts';

test('NODEPORT_ADDRESSES: blocks of either family, none in another; anything else is named', () => {
  assert.deepEqual(nodePortCidrs(), []);
  assert.deepEqual(nodePortCidrs(''), []);
  assert.deepEqual(nodePortCidrs(' 10.0.0.0/16, 100.64.0.0/10,'), ['100.64.0.0/10', '10.0.0.0/16']);
  assert.deepEqual(nodePortCidrs('10.0.1.0/24,10.0.0.0/16,10.0.1.0/24,fd00::1/8'), [
    'fd00::/8',
    '10.0.0.0/16',
  ]);
  for (const wrong of ['10.0.0.1', 'primary', '10.0.0.0/16;10.1.0.0/16', '10.0.0.0/33', 'fd00::/129']) {
    assert.throws(
      () => nodePortCidrs(`10.1.0.0/16,${wrong}`),
      new Error(`NODEPORT_ADDRESSES="10.1.0.0/16,${wrong}" is no list of CIDR blocks, such as 10.0.0.0/16`),
    );
  }
});

test('Services, and connections by them, go on without the process, and what happens meanwhile is made up for', async (t) => {
  const bed = makeBed(t);
  const pods = ['10.0.1.1', '10.0.1.2'];
  for (const [index, address] of pods.entries())
    serveTcp(t, bed.pod(address), address, 8080, `pod-${index + 1}`);
  const web = slice('web', 8080, [pods[0]!]);
  await using agent = await AgentBed.open(bed);
  agent.putServices([
    service('web', { clusterIP: '172.20.0.10', ports: [{ port: 80 }], sessionAffinity: 'ClientIP' }),
  ]);
  agent.putSlices([web]);
  const answering = async () => {
    const outcome = await call(bed.node, '172.20.0.10', 80, { timeout: 200 });
    return typeof outcome === 'object' ? outcome.by : outcome;
  };
  agent.start();
  await eventually(async () => assert.equal(await answering(), 'pod-1', agent.log), 20_000);
  const connection = open(bed.node, '172.20.0.10', 80);
  t.after(() => connection.socket.destroy());
  await connection.outcome;
  const echo = async (text: string) => {
    const answer = once(connection.socket, 'data', { signal: AbortSignal.timeout(2000) });
    connection.socket.write(text);
    assert.equal(String((await answer)[0]), text);
  };
  await echo('before');
  await agent.stop('SIGKILL');
  await echo('without');
  assert.equal(await answering(), 'pod-1');
  agent.putSlices([{ ...slice('web', 8080, [pods[1]!]), metadata: web.metadata }]);
  agent.start();
  await eventually(async () => assert.equal(await answering(), 'pod-2', agent.log), 20_000);
  await echo('after');
});

/** What is served at a port of loopback, or the error's code. */
function fetchFrom(ns: NetNamespace, port: number, path: string): Promise<string> {
  return new Promise((resolve) => {
    const createConnection = () => connectTcp(ns, parseIp('127.0.0.1'), port);
    get({ path, headers: { host: 'node' }, createConnection }, async (response) => {
      resolve((await response.setEncoding('utf8').toArray()).join(''));
    }).on('error', (error: NodeJS.ErrnoException) => resolve(error.code!));
  });
}

test('the process serves Services beside somebody who has its port, and while kube-proxy is away', async (t) => {
  const bed = makeBed(t);
  const pod = '10.0.1.1';
  serveTcp(t, bed.pod(pod), pod, 8080, 'pod');
  const nftables = new Nftables(bed.node);
  await using agent = await AgentBed.open(bed);
  agent.putServices([service('web', { clusterIP: '172.20.0.10', ports: [{ port: 80 }] })]);
  agent.putSlices([slice('web', 8080, [pod])]);
  const predecessor = listenTcp(bed.node, parseIp('127.0.0.1'), 10_249);
  const isServed = async () => {
    const outcome = await call(bed.node, '172.20.0.10', 80, { timeout: 200 });
    assert.equal(typeof outcome, 'object', `${outcome}: ${agent.log}`);
  };
  agent.start();
  await eventually(isServed, 20_000);
  assert.deepEqual(agent.nodeEvents(), ['MetricsUnavailable'], agent.log);
  closeSync(predecessor);
  await eventually(async () => {
    const metrics = await fetchFrom(bed.node, 10_249, '/metrics');
    assert.match(metrics, /^kubeproxy_sync_proxy_rules_duration_seconds_count 1$/m);
  });

  await nftables.apply('table ip kube-proxy {\n chain services { }\n}\n');
  await eventually(() => assert.deepEqual(agent.nodeEvents(), ['MetricsUnavailable', 'KubeProxyFound']));
  await eventually(async () => assert.equal(await nftables.list({ family: 'ip', name: TABLE }), undefined));
  assert.ok(await nftables.list({ family: 'ip', name: 'kube-proxy' }));
  assert.notEqual(typeof (await call(bed.node, '172.20.0.10', 80, { timeout: 200 })), 'object');
  await nftables.apply('delete table ip kube-proxy\n');
  await eventually(isServed);
  assert.equal(agent.nodeEvents().length, 2);
});
