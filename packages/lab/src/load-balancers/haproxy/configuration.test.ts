import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import type { Action, RuleCondition } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Ipv4 } from '@enid/ip';
import fc from 'fast-check';
import { collect } from '../../base/output.ts';
import { temporaryDirectory } from '../../cloud/cloud.fixture.ts';
import {
  attributesOf,
  listenerAttributes,
  loadBalancerAttributes,
  targetGroupAttributes,
} from '../../cloud/elbv2/attributes.ts';
import type {
  ServingListener,
  ServingLoadBalancer,
  ServingTarget,
  ServingTargetGroup,
} from '../../cloud/elbv2/serving.ts';
import { SSL_POLICIES } from '../../cloud/elbv2/ssl-policies.ts';
import { CertificateAuthority } from '../../pki/index.ts';
import type { ZoneNode } from '../targets.ts';
import { type Configuration, configurationOf, HaproxyDirectory, textOf } from './configuration.ts';

const NODES: ZoneNode[] = [
  { zone: 'us-east-1a', address: '10.0.1.5' as Ipv4, link: 'eth0' },
  { zone: 'us-east-1b', address: '10.0.2.5' as Ipv4, link: 'eth1' },
];

const target = (address: string, zone: string, draining = false): ServingTarget => ({
  ...{ id: address, address: address as Ipv4, port: 8080, zone, draining },
});

function group(name: string, more: Partial<ServingTargetGroup> = {}): ServingTargetGroup {
  const { protocol = 'HTTP', targetType = 'ip', attributes } = more;
  return {
    arn: `arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/${name}/0123456789abcdef`,
    ...{ name, protocol, targetType, crossZone: true },
    healthCheck: {
      ...{ enabled: true, protocol: 'TCP', port: 'traffic-port', intervalSeconds: 30, timeoutSeconds: 5 },
      ...{ healthyThreshold: 5, unhealthyThreshold: 2 },
    },
    targets: [target('10.0.1.10', 'us-east-1a'), target('10.0.2.10', 'us-east-1b')],
    ...more,
    attributes: attributesOf(targetGroupAttributes({ protocol, targetType }), attributes ?? {}),
  };
}

const forward = ({ arn }: ServingTargetGroup): Action => ({
  Type: 'forward',
  ForwardConfig: { TargetGroups: [{ TargetGroupArn: arn, Weight: 1 }] },
});

function listener(port: number, action: Action, more: Partial<ServingListener> = {}): ServingListener {
  const { protocol = 'HTTP', rules = [] } = more;
  return {
    ...{ arn: `listener/${port}`, port, certificates: [], ...more, protocol },
    attributes: attributesOf(listenerAttributes({ protocol }), more.attributes ?? {}),
    rules: [...rules, { conditions: [], actions: [action] }],
  };
}

function balancer(
  type: 'application' | 'network',
  listeners: ServingListener[],
  groups: ServingTargetGroup[],
): ServingLoadBalancer {
  return {
    ...{ arn: 'arn', id: '0123456789abcdef', name: 'web', type, zones: NODES, listeners },
    attributes: attributesOf(loadBalancerAttributes({ type }), {}),
    targetGroups: Object.fromEntries(groups.map((each) => [each.arn, each])),
  };
}

const directory = new HaproxyDirectory('/run/enid/test');
const planned = (loadBalancer: ServingLoadBalancer, isHealthy = () => true): Configuration | undefined =>
  configurationOf(loadBalancer, NODES, isHealthy, directory);
const linesOf = ({ backends }: Configuration, name: string): readonly string[] =>
  backends.find((each) => each.name === name)!.lines;

/** Has HAProxy read a configuration. @throws with what it finds wrong. */
async function check(t: TestContext, loadBalancer: ServingLoadBalancer): Promise<void> {
  const own = new HaproxyDirectory(temporaryDirectory(t));
  const configuration = configurationOf(loadBalancer, NODES, () => true, own)!;
  mkdirSync(own.certificates);
  for (const [path, content] of configuration.files) writeFileSync(path, content);
  writeFileSync(own.file, textOf(configuration, own));
  const { status, stderr } = await collect(spawn('haproxy', ['-c', '-f', own.file], { stdio: 'pipe' }));
  assert.equal(status, 0, stderr);
  assert.doesNotMatch(stderr, /WARNING/);
}

test('each zone has a backend of its own, with the targets that its node reaches', () => {
  const web = group('web', {
    crossZone: false,
    targets: [
      target('10.0.1.10', 'us-east-1a'),
      target('10.0.2.10', 'us-east-1b'),
      target('10.0.2.11', 'us-east-1b', true),
    ],
  });
  const { backends } = planned(balancer('application', [listener(80, forward(web))], [web]))!;
  assert.deepEqual(
    backends.map(({ name, servers }) => [name, servers]),
    [
      ['web-0123456789abcdef:us-east-1a', ['10.0.1.10:8080']],
      ['web-0123456789abcdef:us-east-1b', ['10.0.2.10:8080']],
    ],
  );
});

test('attributes of a target group decide how it is sent to', () => {
  const web = group('web', {
    protocol: 'HTTPS',
    protocolVersion: 'HTTP2',
    attributes: {
      'slow_start.duration_seconds': '30',
      'load_balancing.algorithm.type': 'least_outstanding_requests',
    },
  });
  const found = planned(balancer('application', [listener(80, forward(web))], [web]))!;
  assert.ok(linesOf(found, 'web-0123456789abcdef:us-east-1b').includes('balance leastconn'));
  assert.ok(linesOf(found, 'web-0123456789abcdef:us-east-1b').includes('source 10.0.2.5'));
  assert.equal(found.backends[0]!.options, 'ssl verify none alpn h2 slowstart 30s');
});

test('a target that comes or goes changes nothing but servers; the first and the last change what is answered', () => {
  const frame = (...addresses: string[]) => {
    const web = group('web', { targets: addresses.map((address) => target(address, 'us-east-1a')) });
    const found = planned(balancer('application', [listener(80, forward(web))], [web]))!;
    return textOf(found, directory, false);
  };
  assert.equal(frame('10.0.1.10'), frame('10.0.1.11', '10.0.1.12'));
  assert.notEqual(frame('10.0.1.10'), frame());
});

test('a network load balancer has only what it cannot pass on, and keeps clients where their addresses are kept', () => {
  const passed = group('passed', { protocol: 'TCP' });
  const announced = group('announced', {
    protocol: 'TCP',
    attributes: { 'proxy_protocol_v2.enabled': 'true', 'stickiness.enabled': 'true' },
  });
  const kept = group('kept', { protocol: 'TCP', targetType: 'instance' });
  const tcp = { protocol: 'TCP' } as const;
  const first = listener(80, forward(passed), tcp);
  assert.equal(planned(balancer('network', [first], [passed])), undefined);
  const second = listener(81, forward(announced), tcp);
  const hidden = planned(balancer('network', [first, second], [passed, announced]))!;
  assert.deepEqual(
    hidden.backends.map(({ name, options }) => [name, options]),
    [
      ['81:us-east-1a', 'send-proxy-v2'],
      ['81:us-east-1b', 'send-proxy-v2'],
    ],
  );
  assert.ok(linesOf(hidden, '81:us-east-1a').includes('balance source'));
  assert.equal(hidden.isTransparent, false);
  assert.match(textOf(hidden, directory), /^ {2}user haproxy$/m);
  const sslPolicy = SSL_POLICIES.get('ELBSecurityPolicy-2016-08')!;
  const secure = listener(443, forward(kept), { protocol: 'TLS', sslPolicy });
  const open = planned(balancer('network', [secure], [kept]))!;
  assert.ok(linesOf(open, '443:us-east-1b').includes('source 0.0.0.0 usesrc clientip interface eth1'));
  assert.equal(open.isTransparent, true);
});

test('HAProxy takes each security policy and each attribute', async (t) => {
  const { authority } = await CertificateAuthority.create('tests');
  const { certificate, key: privateKey } = await authority.issueServer(['web.test']);
  const certificates = [{ arn: 'a', names: ['web.test'], certificate, privateKey }];
  const groups = ['HTTP1', 'HTTP2', 'GRPC'].flatMap((protocolVersion) =>
    (['HTTP', 'HTTPS'] as const).map((protocol) =>
      group(`${protocol}-${protocolVersion}`, {
        protocol,
        protocolVersion: protocolVersion as 'HTTP1',
        attributes: {
          'stickiness.enabled': 'true',
          'stickiness.type': protocol === 'HTTP' ? 'lb_cookie' : 'app_cookie',
          'stickiness.app_cookie.cookie_name': 'my.session-1',
          'slow_start.duration_seconds': '30',
        },
      }),
    ),
  );
  const listeners = [...SSL_POLICIES.values()].map((sslPolicy, index) =>
    listener(8000 + index, forward(groups[index % groups.length]!), {
      ...{ protocol: 'HTTPS', sslPolicy, certificates },
      attributes: {
        'routing.http.response.content_security_policy.header_value': `default-src 'self'; 100%`,
      },
    }),
  );
  await check(t, balancer('application', listeners, groups));
  const tcp = group('tls', { protocol: 'TLS', attributes: { 'proxy_protocol_v2.enabled': 'true' } });
  const flows = [...SSL_POLICIES.values()].map((sslPolicy, index) =>
    listener(8000 + index, forward(tcp), {
      ...{ protocol: 'TLS', sslPolicy, certificates, alpnPolicy: 'HTTP2Optional' },
    }),
  );
  await check(t, balancer('network', flows, [tcp]));
});

/** Texts of characters that the API lets through. */
const textOfCharacters = (characters: string, maxLength = 40) =>
  fc.string({ unit: fc.constantFrom(...characters), minLength: 1, maxLength });
const printable = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('');
const letters = 'abcXYZ019_-.*?';

const condition: fc.Arbitrary<RuleCondition> = fc.oneof(
  textOfCharacters(`${letters}:`).map((value) => ({
    Field: 'host-header',
    HostHeaderConfig: { Values: [value] },
  })),
  textOfCharacters(`${letters}$/~"'@:+&()!,;=%`).map((value) => ({
    Field: 'path-pattern',
    PathPatternConfig: { Values: [value, `/${value}`] },
  })),
  fc
    .tuple(textOfCharacters("abcXYZ019_!#$%&'*+.^`|~-"), textOfCharacters(printable))
    .map(([HttpHeaderName, value]) => ({
      Field: 'http-header',
      HttpHeaderConfig: { HttpHeaderName, Values: [value] },
    })),
  textOfCharacters('ABZ_-').map((value) => ({
    Field: 'http-request-method',
    HttpRequestMethodConfig: { Values: [value, 'GET'] },
  })),
  fc.tuple(fc.string({ maxLength: 20 }), fc.string({ minLength: 1, maxLength: 20 })).map(([Key, Value]) => ({
    Field: 'query-string',
    QueryStringConfig: { Values: [{ ...(Key && { Key }), Value }] },
  })),
  fc.ipV6().map((address) => ({
    Field: 'source-ip',
    SourceIpConfig: { Values: ['192.0.2.0/24', `${address}/64`] },
  })),
);

const action: fc.Arbitrary<Action> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 100 }).map((MessageBody) => ({
    Type: 'fixed-response' as const,
    FixedResponseConfig: { StatusCode: '404', MessageBody: MessageBody.replaceAll('\0', '') },
  })),
  fc.tuple(textOfCharacters(printable), textOfCharacters(printable)).map(([text, query]) => ({
    Type: 'redirect' as const,
    RedirectConfig: {
      ...{ StatusCode: 'HTTP_302' as const, Protocol: '#{protocol}', Port: '#{port}' },
      ...{ Host: `#{host}${text}`, Path: `/${text}#{path}`, Query: query },
    },
  })),
);

test('HAProxy takes whatever rules can have in them', async (t) => {
  const rules = fc.array(
    fc.record({ conditions: fc.array(condition, { minLength: 1, maxLength: 3 }), actions: fc.tuple(action) }),
    { minLength: 20, maxLength: 40 },
  );
  const property = fc.asyncProperty(rules, async (each) => {
    const last: Action = { Type: 'fixed-response', FixedResponseConfig: { StatusCode: '404' } };
    await check(t, balancer('application', [listener(80, last, { rules: each })], []));
  });
  const seed = Number(process.env.ENID_TEST_SEED ?? 1);
  await fc.assert(property, { seed, numRuns: 10 });
});
