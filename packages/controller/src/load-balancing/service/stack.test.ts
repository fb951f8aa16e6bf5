/** Scenarios of the AWS Load Balancer Controller's documentation, and what a stack must be for each. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type AccountFixture, account, DEFAULTS, PRIVATE, subnet } from '../account.fixture.ts';
import { InvalidObject } from '../model/errors.ts';
import { emptyStack, type Stack } from '../model/stack.ts';
import { PREFIX, type ServiceFixture, service, stackOf } from './services.fixture.ts';
import { stackOfService } from './stack.ts';

/** Any part of a value. */
type Part<T> = T extends string
  ? string
  : T extends readonly (infer E)[]
    ? readonly Part<E>[]
    : T extends object
      ? { readonly [K in keyof T]?: Part<T[K]> }
      : T;

const CERTIFICATE = 'arn:aws:acm:us-east-1:123456789012:certificate/11111111-2222-3333-4444-555555555555';
const OTHER = 'arn:aws:acm:us-east-1:123456789012:certificate/99999999-2222-3333-4444-555555555555';
const certificates = [CERTIFICATE, OTHER].map((arn) => ({
  arn,
  names: ['example.com'],
  importedOrIssuedAt: 0,
}));

const ip = { 'nlb-target-type': 'ip' };
const tcpAndUdp = [
  { name: 'dns', port: 53, targetPort: 5353, nodePort: 30_053 },
  { name: 'dns-udp', port: 53, protocol: 'UDP', targetPort: 5353, nodePort: 30_053 },
];
const backend = { securityGroup: { backend: true } } as const;
const first = <T>(part: T): readonly [T] => [part];

type Case = readonly [what: string, of: ServiceFixture, expected: Part<Stack>, account?: AccountFixture];

const CASES: Readonly<Record<string, readonly Case[]>> = {
  'a Service with no annotation': [
    [
      'has an internal load balancer with a group of its own, and instances behind it',
      {},
      {
        id: { kind: 'service', namespace: 'shop-prod', name: 'web-server' },
        loadBalancer: {
          name: 'k8s-shopprod-webserve-7822db32c3',
          type: 'network',
          scheme: 'internal',
          subnets: [{ subnetId: 'subnet-priv-a' }, { subnetId: 'subnet-priv-b' }],
          securityGroups: [{ managed: true }, { backend: true }],
          attributes: {},
          listeners: first({
            protocol: 'TCP',
            port: 80,
            certificates: [],
            defaultActions: first({
              type: 'forward',
              targetGroups: first({ group: { id: 'shop-prod/web-server:80' } }),
            }),
            rules: [],
          }),
        },
        securityGroup: {
          name: 'k8s-shopprod-webserve-687e5e55c8',
          ingress: [{ protocol: 'tcp', ports: [80, 80], from: { cidr: '0.0.0.0/0' } }],
        },
        targetGroups: first({
          id: 'shop-prod/web-server:80',
          name: 'k8s-shopprod-webserve-fd80697f70',
          targetType: 'instance',
          protocol: 'TCP',
          port: 31_080,
          healthCheck: {
            protocol: 'TCP',
            port: 'traffic-port',
            intervalSeconds: 10,
            timeoutSeconds: 10,
            healthyThreshold: 3,
            unhealthyThreshold: 3,
          },
          attributes: { 'proxy_protocol_v2.enabled': 'false' },
          binding: {
            namespace: 'shop-prod',
            service: { name: 'web-server', port: 80 },
            networking: [{ from: [backend], ports: [{ protocol: 'TCP', port: 31_080 }] }],
          },
        }),
      },
    ],
  ],

  targets: [
    [
      'are pods by ip',
      { annotations: ip },
      {
        targetGroups: first({
          targetType: 'ip',
          port: 8080,
          binding: { networking: [{ from: [backend], ports: [{ protocol: 'TCP', port: 8080 }] }] },
        }),
      },
    ],
    [
      'are pods for the old word nlb-ip, whatever else is said',
      {
        annotations: { type: 'nlb-ip', 'nlb-target-type': 'instance' },
        spec: { loadBalancerClass: undefined },
      },
      { targetGroups: first({ targetType: 'ip' }) },
    ],
    [
      'are by ip also without NodePorts',
      { annotations: ip, ports: [{ nodePort: undefined }], spec: { allocateLoadBalancerNodePorts: false } },
      { targetGroups: first({ port: 8080 }) },
    ],
    [
      'may have a port by its name, which the group has no number for',
      { annotations: ip, ports: [{ targetPort: 'http' }] },
      {
        targetGroups: first({
          port: 1,
          binding: { networking: first({ ports: [{ protocol: 'TCP', port: 'http' }] }) },
        }),
      },
    ],
    [
      'are the nodes with these labels',
      { annotations: { 'target-node-labels': 'pool=edge, tier=front' } },
      {
        targetGroups: first({ binding: { nodeSelector: { matchLabels: { pool: 'edge', tier: 'front' } } } }),
      },
    ],
  ],

  'health checks': [
    [
      'ask kube-proxy on nodes that answer for their own pods alone',
      { spec: { externalTrafficPolicy: 'Local', healthCheckNodePort: 32_000 } },
      {
        targetGroups: first({
          healthCheck: {
            protocol: 'HTTP',
            port: '32000',
            path: '/healthz',
            matcher: '200-399',
            intervalSeconds: 10,
            timeoutSeconds: 6,
            healthyThreshold: 2,
            unhealthyThreshold: 2,
          },
          binding: {
            networking: first({
              ports: [
                { protocol: 'TCP', port: 31_080 },
                { protocol: 'TCP', port: 32_000 },
              ],
            }),
          },
        }),
      },
    ],
    [
      'ask pods directly, whatever the traffic policy',
      { annotations: ip, spec: { externalTrafficPolicy: 'Local', healthCheckNodePort: 32_000 } },
      { targetGroups: first({ healthCheck: { protocol: 'TCP', port: 'traffic-port' } }) },
    ],
    [
      'are as annotations say, protocols in any letters',
      {
        annotations: {
          ...ip,
          'healthcheck-protocol': 'http',
          'healthcheck-port': '9000',
          'healthcheck-path': '/ready',
          'healthcheck-success-codes': '200,204',
          'healthcheck-interval': '30',
          'healthcheck-timeout': '4',
          'healthcheck-healthy-threshold': '2',
          'healthcheck-unhealthy-threshold': '5',
        },
      },
      {
        targetGroups: first({
          healthCheck: {
            protocol: 'HTTP',
            port: '9000',
            path: '/ready',
            matcher: '200,204',
            intervalSeconds: 30,
            timeoutSeconds: 4,
            healthyThreshold: 2,
            unhealthyThreshold: 5,
          },
          binding: {
            networking: first({
              ports: [
                { protocol: 'TCP', port: 8080 },
                { protocol: 'TCP', port: 9000 },
              ],
            }),
          },
        }),
      },
    ],
    [
      'end before the next begins, however short the interval',
      { annotations: { 'healthcheck-interval': '5' } },
      { targetGroups: first({ healthCheck: { intervalSeconds: 5, timeoutSeconds: 5 } }) },
    ],
    [
      'may name a port of the Service',
      {
        annotations: { 'healthcheck-port': 'admin' },
        ports: [{}, { name: 'admin', port: 8000, nodePort: 31_800 }],
      },
      { targetGroups: [{ healthCheck: { port: '31800' } }, { healthCheck: { port: '31800' } }] },
    ],
  ],

  protocols: [
    [
      'UDP is checked by TCP, and let in for that too',
      { annotations: ip, ports: [{ port: 514, protocol: 'UDP', targetPort: 5514 }] },
      {
        loadBalancer: { listeners: first({ protocol: 'UDP', port: 514 }) },
        securityGroup: { ingress: [{ protocol: 'udp', ports: [514, 514] }] },
        targetGroups: first({
          protocol: 'UDP',
          binding: {
            networking: first({
              ports: [
                { protocol: 'UDP', port: 5514 },
                { protocol: 'TCP', port: 5514 },
              ],
            }),
          },
        }),
      },
    ],
    [
      'TCP and UDP on one port are one listener',
      { annotations: { 'enable-tcp-udp-listener': 'true' }, ports: tcpAndUdp },
      {
        loadBalancer: { listeners: first({ protocol: 'TCP_UDP', port: 53 }) },
        securityGroup: {
          ingress: [
            { protocol: 'tcp', ports: [53, 53] },
            { protocol: 'udp', ports: [53, 53] },
          ],
        },
        targetGroups: first({
          id: 'shop-prod/web-server:53',
          protocol: 'TCP_UDP',
          port: 30_053,
          binding: {
            networking: first({
              ports: [
                { protocol: 'TCP', port: 30_053 },
                { protocol: 'UDP', port: 30_053 },
              ],
            }),
          },
        }),
      },
    ],
    [
      'TLS ends at all ports of TCP when there is a certificate',
      {
        annotations: { ...ip, 'ssl-cert': `${CERTIFICATE}, ${OTHER}` },
        ports: [{ port: 443 }, { port: 514, protocol: 'UDP', nodePort: 30_514 }],
      },
      {
        loadBalancer: {
          listeners: [
            {
              protocol: 'TLS',
              port: 443,
              certificates: [CERTIFICATE, OTHER],
              sslPolicy: 'ELBSecurityPolicy-2016-08',
            },
            { protocol: 'UDP', port: 514, certificates: [] },
          ],
        },
        targetGroups: [{ protocol: 'TCP' }, { protocol: 'UDP' }],
      },
      { certificates },
    ],
    [
      'TLS ends at the named ports alone, and goes on by TLS when the back end does',
      {
        annotations: {
          'ssl-cert': CERTIFICATE,
          'ssl-ports': '443,secure',
          'ssl-negotiation-policy': 'ELBSecurityPolicy-TLS13-1-2-2021-06',
          'backend-protocol': 'ssl',
          'alpn-policy': 'HTTP2Preferred',
        },
        ports: [
          { port: 443, nodePort: 30_443 },
          { port: 8443, name: 'secure', nodePort: 30_844 },
          { port: 80 },
        ],
      },
      {
        loadBalancer: {
          listeners: [
            {
              protocol: 'TLS',
              alpnPolicy: 'HTTP2Preferred',
              sslPolicy: 'ELBSecurityPolicy-TLS13-1-2-2021-06',
            },
            { protocol: 'TLS', port: 8443 },
            { protocol: 'TCP', port: 80, certificates: [] },
          ],
        },
        targetGroups: [{ protocol: 'TLS' }, { protocol: 'TLS' }, { protocol: 'TCP' }],
      },
      { certificates },
    ],
    [
      'a certificate of IAM is taken as it is, and words of old for back ends mean TCP',
      {
        annotations: {
          'ssl-cert': 'arn:aws:iam::123456789012:server-certificate/web',
          'backend-protocol': 'http',
        },
      },
      { loadBalancer: { listeners: first({ protocol: 'TLS' }) }, targetGroups: first({ protocol: 'TCP' }) },
    ],
  ],

  'the load balancer': [
    [
      'stands on the internet, with addresses of its user',
      { annotations: { scheme: 'internet-facing', 'eip-allocations': 'eipalloc-1, eipalloc-2' } },
      {
        loadBalancer: {
          scheme: 'internet-facing',
          subnets: [
            { subnetId: 'subnet-pub-a', allocationId: 'eipalloc-1' },
            { subnetId: 'subnet-pub-b', allocationId: 'eipalloc-2' },
          ],
        },
      },
    ],
    [
      'has private addresses, each in its subnet',
      { annotations: { 'private-ipv4-addresses': '10.0.11.7,10.0.10.7' } },
      {
        loadBalancer: {
          subnets: [
            { subnetId: 'subnet-priv-a', privateAddress: '10.0.10.7' },
            { subnetId: 'subnet-priv-b', privateAddress: '10.0.11.7' },
          ],
        },
      },
    ],
    [
      'may have them in a subnet that is full but for them',
      { annotations: { 'private-ipv4-addresses': '10.0.10.7' } },
      { loadBalancer: { subnets: first({ subnetId: 'subnet-1' }) } },
      { subnets: [subnet('subnet-1', 'us-east-1a', '10.0.10.0/24', PRIVATE, 1)] },
    ],
    [
      'is called and placed as annotations say',
      { annotations: { name: 'shop-front', subnets: 'public-b, subnet-priv-a' } },
      {
        loadBalancer: {
          name: 'shop-front',
          subnets: [{ subnetId: 'subnet-priv-a' }, { subnetId: 'subnet-pub-b' }],
        },
      },
    ],
    [
      'is internet-facing by the old annotation, unless the new one says otherwise',
      { annotations: { internal: 'false' } },
      { loadBalancer: { scheme: 'internet-facing' } },
    ],
    [
      'is internal where the new annotation says so',
      { annotations: { internal: 'false', scheme: 'internal' } },
      { loadBalancer: { scheme: 'internal' } },
    ],
    [
      'stays as it is where nothing is said, also where its subnets are full',
      {},
      {
        loadBalancer: {
          scheme: 'internet-facing',
          subnets: first({ subnetId: 'subnet-old' }),
          securityGroups: [{ managed: true }, { backend: true }],
        },
      },
      {
        subnets: [subnet('subnet-old', 'us-east-1a', '10.0.9.0/24', {}, 0)],
        loadBalancer: {
          scheme: 'internet-facing',
          subnetIds: ['subnet-old'],
          securityGroupIds: ['sg-1'],
        },
      },
    ],
    [
      'has the attributes of both kinds of annotations, those of their own first',
      {
        annotations: {
          attributes: 'load_balancing.cross_zone.enabled=false,deletion_protection.enabled=true',
          'cross-zone-load-balancing-enabled': 'true',
          'access-log-enabled': 'true',
          'access-log-s3-bucket-name': 'logs',
          'access-log-s3-bucket-prefix': 'web',
        },
      },
      {
        loadBalancer: {
          attributes: {
            'load_balancing.cross_zone.enabled': 'true',
            'deletion_protection.enabled': 'true',
            'access_logs.s3.enabled': 'true',
            'access_logs.s3.bucket': 'logs',
            'access_logs.s3.prefix': 'web',
          },
        },
      },
    ],
    [
      'has listeners with attributes of their own',
      {
        annotations: { 'listener-attributes.TCP-81': 'tcp.idle_timeout.seconds=400' },
        ports: [{}, { port: 81, nodePort: 31_081 }],
      },
      {
        loadBalancer: {
          listeners: [{ attributes: {} }, { attributes: { 'tcp.idle_timeout.seconds': '400' } }],
        },
      },
    ],
  ],

  'target group attributes': [
    [
      'are those of the annotation',
      {
        annotations: {
          'target-group-attributes': 'deregistration_delay.timeout_seconds=20,stickiness.enabled=true',
        },
      },
      {
        targetGroups: first({
          attributes: {
            'proxy_protocol_v2.enabled': 'false',
            'deregistration_delay.timeout_seconds': '20',
            'stickiness.enabled': 'true',
          },
        }),
      },
    ],
    [
      'have proxy protocol where its own annotation says so, whatever the list says',
      {
        annotations: {
          'proxy-protocol': '*',
          'target-group-attributes': 'proxy_protocol_v2.enabled=false',
        },
      },
      { targetGroups: first({ attributes: { 'proxy_protocol_v2.enabled': 'true' } }) },
    ],
  ],

  tags: [
    [
      'are on everything, and those of the cluster cannot be changed',
      { annotations: { 'additional-resource-tags': 'Team=web, Stage=test' } },
      {
        loadBalancer: { tags: { Team: 'web', Stage: 'test' }, listeners: first({ tags: { Team: 'web' } }) },
        securityGroup: { tags: { Team: 'web' } },
        targetGroups: first({ tags: { Team: 'web', Stage: 'test' } }),
      },
    ],
  ],

  'security groups': [
    [
      'let in the source ranges of the Service, from each to each port',
      {
        ports: [{}, { port: 81, nodePort: 31_081 }],
        spec: { loadBalancerSourceRanges: ['192.0.2.0/24', '198.51.100.7/32'] },
        annotations: { 'service.beta.kubernetes.io/load-balancer-source-ranges': '203.0.113.0/24' },
      },
      {
        securityGroup: {
          ingress: [
            { ports: [80, 80], from: { cidr: '192.0.2.0/24' } },
            { ports: [80, 80], from: { cidr: '198.51.100.7/32' } },
            { ports: [81, 81], from: { cidr: '192.0.2.0/24' } },
            { ports: [81, 81], from: { cidr: '198.51.100.7/32' } },
          ],
        },
      },
    ],
    [
      'let in the ranges of the annotation, and senders learn of the MTU of the path',
      {
        annotations: {
          'service.beta.kubernetes.io/load-balancer-source-ranges': '192.0.2.0/24',
          'enable-icmp-for-path-mtu-discovery': 'on',
          'inbound-sg-rules-on-private-link-traffic': 'off',
        },
      },
      {
        loadBalancer: { inboundRulesOnPrivateLink: 'off' },
        securityGroup: {
          ingress: [
            { protocol: 'tcp', ports: [80, 80], from: { cidr: '192.0.2.0/24' } },
            { protocol: 'icmp', ports: [3, 4], from: { cidr: '192.0.2.0/24' } },
          ],
        },
      },
    ],
    [
      'let in prefix lists, and nobody else then',
      { annotations: { 'security-group-prefix-lists': 'pl-1,pl-2' } },
      {
        securityGroup: { ingress: [{ from: { prefixListId: 'pl-1' } }, { from: { prefixListId: 'pl-2' } }] },
      },
    ],
    [
      "of the user's are theirs, and targets are theirs to open",
      { annotations: { 'security-groups': 'front, sg-2' } },
      {
        loadBalancer: { securityGroups: [{ id: 'sg-1' }, { id: 'sg-2' }] },
        targetGroups: first({ binding: { networking: [] } }),
      },
    ],
    [
      "of the user's come with the back end's where targets are to be opened",
      { annotations: { 'security-groups': 'sg-2', 'manage-backend-security-group-rules': 'true' } },
      {
        loadBalancer: { securityGroups: [{ id: 'sg-2' }, { backend: true }] },
        targetGroups: first({ binding: { networking: first({ from: [backend] }) } }),
      },
    ],
    [
      'of ours leave targets alone when told so',
      { annotations: { 'manage-backend-security-group-rules': 'false' } },
      {
        loadBalancer: { securityGroups: [{ managed: true }] },
        targetGroups: first({ binding: { networking: [] } }),
      },
    ],
  ],

  'without security groups': [
    [
      'targets that see their clients let in the VPC, when the load balancer is internal, and health checks with it',
      { annotations: { 'disable-nlb-sg': 'true' } },
      {
        loadBalancer: { securityGroups: [] },
        targetGroups: first({
          binding: {
            networking: [{ from: [{ cidr: '10.0.0.0/16' }], ports: [{ protocol: 'TCP', port: 31_080 }] }],
          },
        }),
      },
    ],
    [
      'a load balancer that was made so stays so',
      { annotations: ip },
      {
        loadBalancer: { securityGroups: [] },
        targetGroups: first({
          binding: {
            networking: [
              {
                from: [{ cidr: '10.0.10.0/24' }, { cidr: '10.0.11.0/24' }],
                ports: [{ protocol: 'TCP', port: 8080 }],
              },
            ],
          },
        }),
      },
      {
        loadBalancer: {
          scheme: 'internal',
          subnetIds: ['subnet-priv-a', 'subnet-priv-b'],
          securityGroupIds: [],
        },
      },
    ],
    [
      'clients of a narrow range and the nodes of the load balancer are let in',
      {
        annotations: { 'disable-nlb-sg': 'true', scheme: 'internet-facing' },
        spec: { loadBalancerSourceRanges: ['192.0.2.0/24'] },
      },
      {
        targetGroups: first({
          binding: {
            networking: [
              { from: [{ cidr: '192.0.2.0/24' }], ports: [{ protocol: 'TCP', port: 31_080 }] },
              {
                from: [{ cidr: '10.0.0.0/24' }, { cidr: '10.0.1.0/24' }],
                ports: [{ protocol: 'TCP', port: 31_080 }],
              },
            ],
          },
        }),
      },
    ],
    [
      'UDP comes from clients also to pods, and its checks from the load balancer',
      {
        annotations: { ...ip, 'disable-nlb-sg': 'true', scheme: 'internet-facing' },
        ports: [{ port: 514, protocol: 'UDP', targetPort: 5514 }],
      },
      {
        targetGroups: first({
          binding: {
            networking: [
              { from: [{ cidr: '0.0.0.0/0' }], ports: [{ protocol: 'UDP', port: 5514 }] },
              {
                from: [{ cidr: '10.0.0.0/24' }, { cidr: '10.0.1.0/24' }],
                ports: [{ protocol: 'TCP', port: 5514 }],
              },
            ],
          },
        }),
      },
    ],
  ],
};

const securityGroups = [
  { id: 'sg-1', name: 'front-group', tags: { Name: 'front' } },
  { id: 'sg-2', name: 'front', tags: {} },
];

for (const [about, cases] of Object.entries(CASES)) {
  describe(about, () => {
    for (const [what, of, expected, fixture] of cases) {
      it(what, async () => {
        const stack = await stackOf(of, { securityGroups, ...fixture });
        assert.partialDeepStrictEqual(stack, expected);
        sameLengths(stack, expected, '');
      });
    }
  });
}

/** A list is expected whole, be its members told in part. */
function sameLengths(actual: unknown, expected: unknown, path: string): void {
  if (Array.isArray(expected)) assert.equal((actual as unknown[]).length, expected.length, path);
  if (typeof expected !== 'object' || expected === null) return;
  for (const [key, value] of Object.entries(expected))
    sameLengths((actual as Record<string, unknown>)[key], value, `${path}.${key}`);
}

it("tags of the cluster's configuration come before those of a Service", async () => {
  const { loadBalancer } = await stackOf(
    { annotations: { 'additional-resource-tags': 'Owner=me,Team=web' } },
    {},
    { tags: { Owner: 'platform' } },
  );
  assert.deepEqual(loadBalancer?.tags, { Owner: 'platform', Team: 'web' });
});

it('a load balancer and its target groups are others when what cannot be changed of them changes', async () => {
  const names = async (of: ServiceFixture) => {
    const { loadBalancer, targetGroups } = await stackOf(of);
    return [loadBalancer?.name, targetGroups[0]?.name];
  };
  const [name, group] = await names({});
  const [facing, same] = await names({ annotations: { scheme: 'internet-facing' } });
  assert.notEqual(facing, name);
  assert.equal(same, group);
  const [, pods] = await names({ annotations: ip });
  assert.notEqual(pods, group);
  const [, again] = await names({ annotations: { 'healthcheck-path': '/other' } });
  assert.equal(again, group);
});

describe('a Service that is to go', () => {
  const id = { kind: 'service', namespace: 'shop-prod', name: 'web-server' } as const;
  const deletionTimestamp = '2026-01-01T00:00:00Z';
  const metadata = (annotations = {}) => ({
    namespace: 'shop-prod',
    name: 'web-server',
    deletionTimestamp,
    annotations,
  });

  it('has an empty stack, whatever else is wrong with it', async () => {
    assert.deepEqual(await stackOf({ spec: { type: 'ClusterIP' } }), emptyStack(id));
    const wrong = { [`${PREFIX}attributes`]: 'nonsense', [`${PREFIX}scheme`]: 'x' };
    assert.deepEqual(await stackOf({ metadata: metadata(wrong) }), emptyStack(id));
  });

  it('stays while its load balancer is protected from deletion', async () => {
    const protection = { [`${PREFIX}attributes`]: 'deletion_protection.enabled = true' };
    await assert.rejects(stackOf({ metadata: metadata(protection) }), /stays until it is false/);
    const lifted = { [`${PREFIX}attributes`]: 'deletion_protection.enabled = false' };
    assert.deepEqual(await stackOf({ metadata: metadata(lifted) }), {
      ...emptyStack(id),
      liftsProtection: true,
    });
  });
});

type Refusal = readonly [message: RegExp, of: ServiceFixture, account?: AccountFixture];
const annotated = (annotations: Record<string, string>): ServiceFixture => ({ annotations });

const REFUSALS: readonly Refusal[] = [
  [/scheme is "public": it may be internal, internet-facing/, annotated({ scheme: 'public' })],
  [/nlb-target-type is "pod": it may be instance, ip/, annotated({ 'nlb-target-type': 'pod' })],
  [/internal is "yes": it may be true, false/, annotated({ internal: 'yes' })],
  [/ip-address-type is "dualstack": it may be ipv4/, annotated({ 'ip-address-type': 'dualstack' })],
  [/spec\.ipFamilies is IPv6: it must have IPv4/, { spec: { ipFamilies: ['IPv6'] } }],
  [/ipv6-addresses is of dualstack/, annotated({ 'ipv6-addresses': '2001:db8::1' })],
  [/multi-cluster-target-group is not served/, annotated({ 'multi-cluster-target-group': 'true' })],
  [/name is ".*": it may have 32 letters/, annotated({ name: 'a-name-of-more-than-thirty-two-letters' })],
  [/name is "internal-web"/, annotated({ name: 'internal-web' })],
  [/subnets names "nowhere": no subnet of vpc-1/, annotated({ subnets: 'nowhere' })],
  [/no subnets for it: .*kubernetes\.io\/role\/internal-elb=1/, {}, { subnets: [] }],
  [/eip-allocations is of internet-facing/, annotated({ 'eip-allocations': 'eipalloc-1,eipalloc-2' })],
  [
    /eip-allocations has 3 of the 2 that it must have, one for each subnet \(subnet-pub-a, subnet-pub-b\)/,
    annotated({ scheme: 'internet-facing', 'eip-allocations': 'eipalloc-1,eipalloc-2,eipalloc-3' }),
  ],
  [
    /eip-allocations has "203\.0\.113\.1": it may have ids/,
    annotated({ scheme: 'internet-facing', 'eip-allocations': '203.0.113.1' }),
  ],
  [
    /private-ipv4-addresses is of internal/,
    annotated({ scheme: 'internet-facing', 'private-ipv4-addresses': '10.0.0.7,10.0.1.7' }),
  ],
  [
    /private-ipv4-addresses has "10\.0\.10": it is no IPv4/,
    annotated({ 'private-ipv4-addresses': '10.0.10' }),
  ],
  [
    /private-ipv4-addresses has no address of subnet-priv-b, which is 10\.0\.11\.0\/24/,
    annotated({ 'private-ipv4-addresses': '10.0.10.7,10.0.10.8' }),
  ],
  [/attributes has "x": it is a list such as key1=value1/, annotated({ attributes: 'x' })],
  [
    /attributes has load_balancing\.cross_zone\.enabled=yes: it may be true or false/,
    annotated({ attributes: 'load_balancing.cross_zone.enabled=yes' }),
  ],
  [
    /deregistration_delay\.timeout_seconds=3601: it may be a whole number from 0 to 3600/,
    annotated({ 'target-group-attributes': 'deregistration_delay.timeout_seconds=3601' }),
  ],
  [/proxy-protocol is "on": it may be \*/, annotated({ 'proxy-protocol': 'on' })],
  [
    /preserve_client_ip\.enabled=false: targets of UDP always see their clients, as those of port 53/,
    { annotations: { 'target-group-attributes': 'preserve_client_ip.enabled=false' }, ports: tcpAndUdp },
  ],
  [/healthcheck-protocol is "udp": it may be TCP, HTTP, HTTPS/, annotated({ 'healthcheck-protocol': 'udp' })],
  [/healthcheck-port is "nothing": it may be traffic-port/, annotated({ 'healthcheck-port': 'nothing' })],
  [/healthcheck-port is "70000"/, annotated({ 'healthcheck-port': '70000' })],
  [/healthcheck-interval is "1": .* from 5 to 300/, annotated({ 'healthcheck-interval': '1' })],
  [
    /healthcheck-timeout is "20": .* from 2 to 10/,
    annotated({ 'healthcheck-interval': '10', 'healthcheck-timeout': '20' }),
  ],
  [
    /healthcheck-path is "ready": it begins with/,
    annotated({ 'healthcheck-protocol': 'HTTP', 'healthcheck-path': 'ready' }),
  ],
  [
    /healthcheck-success-codes is "ok"/,
    annotated({ 'healthcheck-protocol': 'HTTP', 'healthcheck-success-codes': 'ok' }),
  ],
  [/spec\.healthCheckNodePort is missing/, { spec: { externalTrafficPolicy: 'Local' } }],
  [/ssl-cert names "web": it is not the ARN/, annotated({ 'ssl-cert': 'web' })],
  [/ssl-cert names "arn:aws:acm.*": ACM has no such certificate/, annotated({ 'ssl-cert': CERTIFICATE })],
  [
    /ssl-ports has "htps": the Service has no port/,
    annotated({ 'ssl-cert': CERTIFICATE, 'ssl-ports': 'htps' }),
    { certificates },
  ],
  [/alpn-policy is "h2": it may be None, HTTP1Only/, annotated({ 'alpn-policy': 'h2' })],
  [/backend-protocol is "quic"/, annotated({ 'backend-protocol': 'quic' })],
  [/security-groups names "nobody": no security group of vpc-1/, annotated({ 'security-groups': 'nobody' })],
  [
    /security-groups names "same": several security groups/,
    annotated({ 'security-groups': 'same' }),
    { securityGroups: ['sg-1', 'sg-2'].map((id) => ({ id, name: id, tags: { Name: 'same' } })) },
  ],
  [
    /disable-nlb-sg is true, and .*security-groups names/,
    annotated({ 'disable-nlb-sg': 'true', 'security-groups': 'sg-1' }),
  ],
  [
    /security-group-prefix-lists has "10\.0\.0\.0\/8"/,
    annotated({ 'security-group-prefix-lists': '10.0.0.0/8' }),
  ],
  [
    /spec\.loadBalancerSourceRanges has "10\.0\.0\.1": it is not an IPv4 block/,
    { spec: { loadBalancerSourceRanges: ['10.0.0.1'] } },
  ],
  [
    /load-balancer-source-ranges has "::\/0": the load balancer has IPv4 addresses alone/,
    annotated({ 'service.beta.kubernetes.io/load-balancer-source-ranges': '::/0' }),
  ],
  [/additional-resource-tags has "aws:x"/, annotated({ 'additional-resource-tags': 'aws:x=y' })],
  [/target-node-labels has "edge"/, annotated({ 'target-node-labels': 'edge' })],
  [
    /listener-attributes\.TCP-81 is of no listener: there are TCP-80/,
    annotated({ 'listener-attributes.TCP-81': 'tcp.idle_timeout.seconds=400' }),
  ],
  [
    /tcp\.idle_timeout\.seconds=5: it may be a whole number from 60 to 6000/,
    annotated({ 'listener-attributes.TCP-80': 'tcp.idle_timeout.seconds=5' }),
  ],
  [/port 80 has no nodePort/, { ports: [{ nodePort: undefined }] }],
  [/port 80 is of SCTP/, { ports: [{ protocol: 'SCTP' }] }],
  [/spec\.ports is empty/, { ports: [] }],
  [
    /port 53 is of TCP and UDP with different targets \(30053, 30054\): both must have the same nodePort/,
    { ports: [tcpAndUdp[0]!, { ...tcpAndUdp[1]!, nodePort: 30_054 }] },
  ],
  [
    /enable-tcp-udp-listener is false, and port 53 is of TCP and UDP/,
    { annotations: { 'enable-tcp-udp-listener': 'false' }, ports: tcpAndUdp },
  ],
  [
    /port 53 is of TCP and UDP, and cannot be of TLS then/,
    { annotations: { 'ssl-cert': CERTIFICATE }, ports: tcpAndUdp },
    { certificates },
  ],
];

describe('is refused, with the annotation or field to mend:', () => {
  for (const [message, of, fixture] of REFUSALS) {
    it(`${message.source}`, async () => {
      await assert.rejects(stackOf(of, { securityGroups, ...fixture }), (error) => {
        assert.ok(error instanceof InvalidObject, `${error}`);
        assert.equal(error.object, 'Service shop-prod/web-server');
        assert.match(error.message, message);
        return true;
      });
    });
  }
});

it('whatever annotations say, there is a stack or a reason, and the same each time', async () => {
  /** The values that the cases above have, by annotation. */
  const seen = new Map<string, Set<string>>();
  for (const of of [...Object.values(CASES).flat(), ...REFUSALS].map(([, each]) => each))
    for (const [name, value] of Object.entries(of.annotations ?? {}))
      seen.set(name, (seen.get(name) ?? new Set()).add(value));
  const odd = fc.oneof(
    fc.constantFrom('true', '*', '5', 'a=b', ''),
    fc.string({ unit: 'binary', maxLength: 9 }),
  );
  const annotation = fc
    .constantFrom(...seen)
    .chain(([name, values]) =>
      fc.tuple(
        fc.constant(name),
        fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...values) }, { weight: 1, arbitrary: odd }),
      ),
    );
  const annotations = fc
    .array(annotation, { maxLength: 6 })
    .map((pairs) => Object.fromEntries(pairs) as Record<string, string>);
  const port = fc.record({
    port: fc.constantFrom(53, 80),
    protocol: fc.constantFrom('TCP', 'UDP'),
    nodePort: fc.constantFrom(30_053, 30_053, undefined),
    targetPort: fc.constantFrom(53, 'dns', undefined),
  });
  const world = { account: account({ certificates }), defaults: DEFAULTS };
  let held = 0;
  await fc.assert(
    fc.asyncProperty(
      annotations,
      fc.array(port, { minLength: 1, maxLength: 2 }),
      async (annotations, ports) => {
        const of = service({ annotations, ports });
        const outcome = () =>
          stackOfService(of, world).catch((error: Error) => {
            if (error instanceof InvalidObject) return error.message;
            throw error;
          });
        const [once, again] = [await outcome(), await outcome()];
        assert.deepEqual(once, again);
        if (typeof once === 'string') return;
        held += 1;
        const groups = new Set(once.targetGroups.map(({ id }) => id));
        for (const { defaultActions } of once.loadBalancer?.listeners ?? []) {
          const [action] = defaultActions;
          assert.ok(action?.type === 'forward' && 'id' in action.targetGroups[0]!.group);
          assert.ok(groups.has(action.targetGroups[0]!.group.id));
        }
      },
    ),
    { numRuns: 300 },
  );
  assert.ok(held > 20, `only ${held} of 300 had a stack`);
});
