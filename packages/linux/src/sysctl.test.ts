import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addLink } from './rtnetlink/link.ts';
import { Rtnetlink } from './rtnetlink/rtnetlink.ts';
import * as sysctl from './sysctl.ts';
import { testNamespace } from './testing.ts';

test('a parameter has a value per namespace', (t) => {
  const a = testNamespace(t);
  const b = testNamespace(t);
  sysctl.set(a, 'net.ipv4.ip_forward', 1);
  sysctl.set(b, 'net.ipv4.ip_forward', '0');
  assert.equal(sysctl.get(a, 'net.ipv4.ip_forward'), '1');
  assert.equal(sysctl.get(b, 'net.ipv4.ip_forward'), '0');
  assert.equal(sysctl.get(a, 'net.ipv4.ip_local_port_range'), '32768\t60999');
});

test('slashes separate where a name has a dot', (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  rtnetlink.execute([addLink({ kind: 'bridge', name: 'eth0.100' })]);
  sysctl.set(ns, 'net/ipv4/conf/eth0.100/rp_filter', 2);
  assert.equal(sysctl.get(ns, 'net/ipv4/conf/eth0.100/rp_filter'), '2');
});

test('errors name the parameter', (t) => {
  const ns = testNamespace(t);
  assert.throws(() => sysctl.get(ns, 'net.ipv4.nothing'), {
    code: 'ENOENT',
    message: 'read sysctl net.ipv4.nothing: does not exist (ENOENT)',
  });
  assert.throws(() => sysctl.set(ns, 'net.ipv4.nothing', 1), { code: 'ENOENT' });
  assert.throws(() => sysctl.set(ns, 'net.ipv4.ip_forward', 'yes'), { code: 'EINVAL' });
  assert.throws(() => sysctl.get(ns, 'net/../../../etc/hostname'), TypeError);
  assert.throws(() => sysctl.get(ns, 'net..ipv4'), TypeError);
});
