import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ipv4 } from '@enid/ip';
import { addressesOn, makeResult } from './result.ts';

const pod = {
  host: { name: 'eni0d7763386da', mac: '0a:00:00:00:00:01' },
  container: { name: 'eth0', mac: '0a:00:00:00:00:02', sandbox: '/run/netns/pod' },
  mtu: 9001,
  address: '10.0.1.5' as Ipv4,
  gateway: '169.254.1.1' as Ipv4,
};

test('the shape of 1.1.0', () => {
  assert.deepEqual(makeResult('1.1.0', pod), {
    cniVersion: '1.1.0',
    interfaces: [
      { ...pod.host, mtu: 9001 },
      { ...pod.container, mtu: 9001 },
    ],
    ips: [{ address: '10.0.1.5/32', gateway: '169.254.1.1', interface: 1 }],
    routes: [{ dst: '0.0.0.0/0', gw: '169.254.1.1' }],
    dns: {},
  });
});

test('older versions have the IP version and no MTU', () => {
  for (const version of ['0.3.1', '0.4.0'] as const) {
    const { cniVersion, interfaces, ips } = makeResult(version, pod);
    assert.equal(cniVersion, version);
    assert.deepEqual(interfaces, [pod.host, pod.container]);
    assert.deepEqual(ips, [{ version: '4', address: '10.0.1.5/32', gateway: '169.254.1.1', interface: 1 }]);
  }
  const { interfaces, ips } = makeResult('1.0.0', pod);
  assert.deepEqual(interfaces, [pod.host, pod.container]);
  assert.deepEqual(ips, [{ address: '10.0.1.5/32', gateway: '169.254.1.1', interface: 1 }]);
});

test('what came before in the chain is passed on, and ours is counted after it', () => {
  const previous = {
    cniVersion: '1.0.0',
    interfaces: [{ name: 'net1', sandbox: '/run/netns/pod', 'vendor/key': 1 }],
    ips: [{ address: '192.0.2.5/24', interface: 0 }],
    routes: [{ dst: '192.0.2.0/24' }],
    dns: { nameservers: ['192.0.2.53'] },
    'vendor/other': true,
  };
  const result = makeResult('1.0.0', pod, previous, { nameservers: ['10.0.0.2'] });
  assert.deepEqual(result, {
    ...previous,
    interfaces: [...previous.interfaces, pod.host, pod.container],
    ips: [...previous.ips, { address: '10.0.1.5/32', gateway: '169.254.1.1', interface: 2 }],
    routes: [...previous.routes, { dst: '0.0.0.0/0', gw: '169.254.1.1' }],
  });
  assert.deepEqual(addressesOn(result, 'eth0', '/run/netns/pod'), ['10.0.1.5/32']);
  assert.deepEqual(addressesOn(result, 'net1', '/run/netns/pod'), ['192.0.2.5/24']);
  assert.equal(addressesOn(result, 'eth0', '/run/netns/other'), undefined);
});

test("the configuration's DNS is told when nobody else has told one", () => {
  assert.deepEqual(makeResult('1.0.0', pod, {}, { nameservers: ['10.0.0.2'] }).dns, {
    nameservers: ['10.0.0.2'],
  });
});
