import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCorefile, parseResolvConf, upstreamsOf } from './settings.ts';

const EKS = `.:53 {
    errors
    health {
        lameduck 5s
      }
    ready
    kubernetes lab.local in-addr.arpa ip6.arpa {
      pods insecure
      ttl 9
      fallthrough in-addr.arpa ip6.arpa
    }
    prometheus :9153
    forward . 10.0.0.2 192.0.2.1:5353 # the VPC's
    cache 30
}`;

test('a Corefile says which zone is the cluster’s and who is asked about others', () => {
  assert.deepEqual(parseCorefile(EKS), {
    zone: 'lab.local',
    ttl: 9,
    forward: ['10.0.0.2', '192.0.2.1:5353'],
  });
  assert.deepEqual(parseCorefile(''), { zone: 'cluster.local', ttl: 5, forward: ['/etc/resolv.conf'] });
});

test('a server does not ask itself', () => {
  const servers = parseResolvConf(
    'search x\nnameserver 10.0.0.2\n# nameserver 1.1.1.1\nnameserver ::1\nnameserver 10.0.0.9\n',
  );
  assert.deepEqual(servers, ['10.0.0.2', '::1', '10.0.0.9']);
  assert.deepEqual(upstreamsOf(servers, 53, new Set(['10.0.0.9'])), [{ address: '10.0.0.2', port: 53 }]);
});
