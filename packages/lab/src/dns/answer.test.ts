import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type Answer, encode, type Question, type RecordType } from 'dns-packet';
import { answer } from './answer.ts';
import { endpointSlice, namespace, service } from './cluster.fixture.ts';
import { ClusterRecords } from './records.ts';

const ZONE = { name: 'cluster.local', ttl: 5 };
const records = new ClusterRecords(
  [namespace('shop'), namespace('default')],
  [
    service('web', '10.100.0.7', {
      ports: [
        { name: 'http', port: 80 },
        { name: 'dns', protocol: 'UDP', port: 53 },
      ],
    }),
    service('db', 'None'),
    service('idle', 'None'),
    service('dual', '10.100.0.8', { clusterIPs: ['10.100.0.8', 'fd00::8'] }),
    service('elsewhere', '', { type: 'ExternalName', externalName: 'example.com' }),
  ],
  [
    endpointSlice('web', [{ addresses: ['10.0.1.5'] }]),
    endpointSlice('db', [
      { addresses: ['10.0.1.20'], hostname: 'db-0' },
      { addresses: ['10.0.1.21'], hostname: 'db-1', conditions: { ready: false } },
      { addresses: ['10.0.1.22'] },
    ]),
    endpointSlice('db', [{ addresses: ['10.0.1.9'], hostname: 'db-2', conditions: { ready: true } }], 'db-y'),
    { ...endpointSlice('db', [{ addresses: ['fd00::1'] }], 'db-6'), addressType: 'IPv6' },
  ],
);

function ask(name: string, type: RecordType = 'A') {
  const question: Question = { name, type, class: 'IN' };
  const resolution = answer(question, records, ZONE);
  if (!resolution) return undefined;
  // What cannot be written as a message is no answer.
  encode({ type: 'response', questions: [question], ...mutable(resolution) });
  return resolution;
}

const mutable = ({
  answers,
  authorities,
  additionals,
}: { [key in 'answers' | 'authorities' | 'additionals']: readonly Answer[] }) => ({
  answers: [...answers],
  authorities: [...authorities],
  additionals: [...additionals],
});

const data = (name: string, type?: RecordType) =>
  ask(name, type)?.answers.map((each) => ('data' in each ? each.data : undefined));
const missing = (name: string, type?: RecordType) => {
  const { rcode, answers, authorities } = ask(name, type)!;
  assert.deepEqual([rcode, answers, authorities.map((each) => each.type)], ['NXDOMAIN', [], ['SOA']], name);
};
const empty = (name: string, type?: RecordType) => {
  const { rcode, answers, authorities } = ask(name, type)!;
  assert.deepEqual([rcode, answers, authorities.map((each) => each.type)], ['NOERROR', [], ['SOA']], name);
};

suite('names of the cluster', () => {
  test('a service has its cluster address, in any spelling, and no IPv6', () => {
    assert.deepEqual(data('web.shop.svc.cluster.local'), ['10.100.0.7']);
    assert.deepEqual(data('dual.shop.svc.cluster.local'), ['10.100.0.8']);
    const [found] = ask('WEB.Shop.svc.cluster.LOCAL')!.answers;
    assert.deepEqual(found, { type: 'A', name: 'WEB.Shop.svc.cluster.LOCAL', ttl: 5, data: '10.100.0.7' });
    empty('web.shop.svc.cluster.local', 'AAAA');
  });

  test('a headless service has the addresses of its ready pods, of all slices', () => {
    assert.deepEqual(data('db.shop.svc.cluster.local'), ['10.0.1.20', '10.0.1.22', '10.0.1.9']);
    assert.deepEqual(data('db-0.db.shop.svc.cluster.local'), ['10.0.1.20']);
    assert.deepEqual(data('10-0-1-22.db.shop.svc.cluster.local'), ['10.0.1.22']);
    missing('db-1.db.shop.svc.cluster.local');
    missing('10-0-1-20.db.shop.svc.cluster.local');
    empty('idle.shop.svc.cluster.local');
  });

  test('SRV tells ports: of the service, or of each pod behind a headless one', () => {
    assert.deepEqual(data('_http._tcp.web.shop.svc.cluster.local', 'SRV'), [
      { priority: 0, weight: 100, port: 80, target: 'web.shop.svc.cluster.local' },
    ]);
    assert.deepEqual(data('_dns._udp.web.shop.svc.cluster.local', 'SRV')?.length, 1);
    const { answers, additionals } = ask('_http._tcp.db.shop.svc.cluster.local', 'SRV')!;
    assert.deepEqual(
      answers.map((each) => each.type === 'SRV' && `${each.data.target}:${each.data.port}`),
      ['db-0', '10-0-1-22', 'db-2'].map((host) => `${host}.db.shop.svc.cluster.local:8080`),
    );
    assert.deepEqual(
      additionals.map((each) => each.type === 'A' && each.data),
      ['10.0.1.20', '10.0.1.22', '10.0.1.9'],
    );
    missing('_http._udp.web.shop.svc.cluster.local', 'SRV');
    missing('_https._tcp.web.shop.svc.cluster.local', 'SRV');
  });

  test('a pod has a name made of its address, in a namespace that there is', () => {
    assert.deepEqual(data('10-0-1-5.shop.pod.cluster.local'), ['10.0.1.5']);
    missing('10-0-1-5.nowhere.pod.cluster.local');
    missing('10-0-1-256.shop.pod.cluster.local');
    missing('web.shop.pod.cluster.local');
  });

  test('an external service is an alias, to be followed for addresses', () => {
    const { answers, follow } = ask('elsewhere.shop.svc.cluster.local')!;
    assert.deepEqual([answers[0]?.type, follow], ['CNAME', 'example.com']);
    assert.equal(ask('elsewhere.shop.svc.cluster.local', 'CNAME')!.follow, undefined);
  });

  test('addresses have the names of services and pods; others are for others to tell', () => {
    assert.deepEqual(data('7.0.100.10.in-addr.arpa', 'PTR'), ['web.shop.svc.cluster.local']);
    assert.deepEqual(data('20.1.0.10.in-addr.arpa', 'PTR'), ['db-0.db.shop.svc.cluster.local']);
    assert.deepEqual(data('5.1.0.10.in-addr.arpa', 'PTR'), ['10-0-1-5.web.shop.svc.cluster.local']);
    assert.equal(ask('21.1.0.10.in-addr.arpa', 'PTR'), undefined);
    assert.equal(ask('8.8.8.8.in-addr.arpa', 'PTR'), undefined);
  });

  test('what is not there is denied with an SOA, and what others are under is empty', () => {
    for (const name of ['none.shop.svc', 'web.nowhere.svc', 'x.web.shop.svc', 'other', 'web.shop'])
      missing(`${name}.cluster.local`);
    for (const name of ['shop.svc.', 'svc.', 'pod.', 'shop.pod.', '']) empty(`${name}cluster.local`);
    assert.deepEqual(data('dns-version.cluster.local', 'TXT'), ['1.1.0']);
    assert.equal(ask('cluster.local', 'SOA')!.answers[0]?.type, 'SOA');
    assert.equal(ask('example.com'), undefined);
    assert.equal(ask('mycluster.local'), undefined);
  });
});
