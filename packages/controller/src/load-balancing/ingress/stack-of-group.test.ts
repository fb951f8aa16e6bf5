import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Ingress, keyOf } from '@enid/kube';
import type { ConditionSpec, ListenerSpec, RuleSpec, Stack } from '../model/stack.ts';
import { stackIdOf } from './groups.ts';
import {
  type Cluster,
  certificate,
  classParams,
  ingress,
  ingressClass,
  type Short,
  service,
  world,
} from './ingress.fixture.ts';
import { stackOfGroup } from './stack-of-group.ts';
import type { GroupStack } from './world.ts';

const SERVICES = [service('shop/web'), service('shop/api'), service('shop/old')];

/** The stack of the first Ingress. */
async function build(ingresses: readonly Ingress[], cluster: Cluster = {}): Promise<GroupStack> {
  const cluster_ = world({ services: SERVICES, ...cluster, ingresses });
  return stackOfGroup(stackIdOf(ingresses[0]!, cluster_)!, cluster_);
}

async function stackOf(short: Short, cluster: Cluster = {}): Promise<Stack> {
  const { stack, problems } = await build([ingress('shop/site', short)], cluster);
  assert.deepEqual(problems, []);
  return stack!;
}

const messages = ({ problems }: GroupStack) => problems.map(({ error }) => error.message);

/** What is wrong with an Ingress by itself. */
async function refused(short: Short, cluster: Cluster = {}): Promise<string> {
  const metadata = { finalizers: ['ingress.k8s.aws/resources'] };
  const object = ingress('shop/site', { rules: { '': ['/ web:80'] }, ...short, metadata });
  const built = await build([object], cluster);
  assert.equal(built.stack, undefined);
  assert.deepEqual(built.members, []);
  return messages(built).join('\n');
}

const listeners = (stack: Stack) => stack.loadBalancer!.listeners;
const only = <T>(all: readonly T[]): T => {
  assert.equal(all.length, 1);
  return all[0]!;
};
const rulesOf = (stack: Stack) => only(listeners(stack)).rules;

/** `host=a|b path=/x|/y`. */
const words = ({ conditions }: RuleSpec) => conditions.map(conditionWords).join(' ');
function conditionWords(condition: ConditionSpec): string {
  const values = condition.values.map((value) =>
    typeof value === 'string' ? value : `${value.key ?? ''}=${value.value}`,
  );
  const names: Record<string, string> = { 'host-header': 'host', 'path-pattern': 'path' };
  const name = 'name' in condition ? `${condition.field}(${condition.name})` : condition.field;
  return `${names[name] ?? name}=${values.join('|')}`;
}
/** `forward id*weight`, `redirect ...`, `503`. */
function actionWords({ actions }: Pick<RuleSpec, 'actions'>): string {
  const action = only(actions);
  if (action.type === 'fixed-response') return action.statusCode;
  if (action.type === 'redirect') return `redirect ${action.protocol ?? ''}:${action.port ?? ''}`;
  return action.targetGroups
    .map(
      ({ group, weight }) =>
        ('id' in group ? group.id : group.arn) + (weight === undefined ? '' : `*${weight}`),
    )
    .join(' ');
}
const table = (rules: readonly RuleSpec[]) => rules.map((rule) => `${words(rule)} -> ${actionWords(rule)}`);

describe('the load balancer', () => {
  test('of an Ingress alone is named, tagged and placed as the AWS Load Balancer Controller does it', async () => {
    const stack = await stackOf({ rules: { 'shop.example.com': ['/ web:80'] } });
    const { loadBalancer, securityGroup } = stack;
    assert.deepEqual(stack.id, { kind: 'ingress', namespace: 'shop', name: 'site' });
    assert.match(loadBalancer!.name, /^k8s-shop-site-[0-9a-f]{10}$/);
    assert.equal(loadBalancer!.type, 'application');
    assert.equal(loadBalancer!.scheme, 'internal');
    assert.deepEqual(loadBalancer!.subnets, [{ subnetId: 'subnet-priv-a' }, { subnetId: 'subnet-priv-b' }]);
    assert.deepEqual(loadBalancer!.securityGroups, [{ managed: true }, { backend: true }]);
    assert.deepEqual(securityGroup!.ingress, [
      { protocol: 'tcp', ports: [80, 80], from: { cidr: '0.0.0.0/0' } },
    ]);
    assert.equal(securityGroup!.description, '[k8s] Managed SecurityGroup for LoadBalancer');
    const listener = only(listeners(stack));
    assert.equal(listener.protocol, 'HTTP');
    assert.equal(listener.port, 80);
    assert.deepEqual(listener.defaultActions, [
      { type: 'fixed-response', statusCode: '404', contentType: 'text/plain' },
    ]);
  });

  test('has the names that the AWS Load Balancer Controller has given, so that what it made is found', async () => {
    const annotations = { 'target-type': 'instance' };
    const https = { annotations: { 'target-type': 'ip', 'backend-protocol': 'HTTPS' } };
    const services = [
      service('ns-1/svc-1', ['http=80:8080:32768']),
      service('ns-1/svc-3', ['https=443:8443'], https),
    ];
    for (const { metadata } of services) metadata!.uid = '';
    const object = ingress('ns-1/ing-1', { annotations, rules: { '': ['/1 svc-1:http', '/3 svc-3:https'] } });
    const { stack } = await build([object], { services, clusterName: 'cluster-dummy' });
    assert.equal(stack!.loadBalancer!.name, 'k8s-ns1-ing1-b7e914000d');
    assert.equal(stack!.securityGroup!.name, 'k8s-ns1-ing1-bd83176788');
    assert.deepEqual(
      stack!.targetGroups.map(({ id, name }) => [id, name]),
      [
        ['ns-1/ing-1-svc-1:http', 'k8s-ns1-svc1-9889425938'],
        ['ns-1/ing-1-svc-3:https', 'k8s-ns1-svc3-bf42870fba'],
      ],
    );
  });

  test('of a group is named by the group; its other name when the scheme is another', async () => {
    const short = { annotations: { 'group.name': 'my-team.awesome-group' }, rules: { '': ['/ web:80'] } };
    const internal = await stackOf(short);
    const public_ = await stackOf({
      ...short,
      annotations: { ...short.annotations, scheme: 'internet-facing' },
    });
    assert.match(internal.loadBalancer!.name, /^k8s-myteamawesomegrou-[0-9a-f]{10}$/);
    assert.notEqual(internal.loadBalancer!.name, public_.loadBalancer!.name);
    assert.deepEqual(
      public_.loadBalancer!.subnets.map(({ subnetId }) => subnetId),
      ['subnet-pub-a', 'subnet-pub-b'],
    );
  });

  test('has the name, subnets, security groups, attributes and tags that annotations give', async () => {
    const stack = await stackOf(
      {
        annotations: {
          'load-balancer-name': 'front',
          subnets: 'public-a, subnet-pub-b',
          'security-groups': 'front, sg-2',
          'load-balancer-attributes': 'idle_timeout.timeout_seconds=600,routing.http2.enabled=true',
          tags: 'team=shop,Environment=dev',
        },
        rules: { '': ['/ web:80'] },
      },
      {
        account: {
          securityGroups: [
            { id: 'sg-1', name: 'a', tags: { Name: 'front' } },
            { id: 'sg-2', name: 'b', tags: {} },
          ],
        },
      },
    );
    const { name, subnets, securityGroups, attributes, tags } = stack.loadBalancer!;
    assert.equal(name, 'front');
    assert.deepEqual(subnets, [{ subnetId: 'subnet-pub-a' }, { subnetId: 'subnet-pub-b' }]);
    assert.deepEqual(securityGroups, [{ id: 'sg-1' }, { id: 'sg-2' }]);
    assert.equal(stack.securityGroup, undefined);
    assert.deepEqual(attributes, {
      'idle_timeout.timeout_seconds': '600',
      'routing.http2.enabled': 'true',
    });
    assert.deepEqual(tags, { team: 'shop', Environment: 'dev' });
    assert.deepEqual(only(listeners(stack)).tags, tags);
    assert.deepEqual(only(rulesOf(stack)).tags, tags);
    assert.deepEqual(only(stack.targetGroups).tags, tags);
    assert.deepEqual(only(stack.targetGroups).binding.networking, [], 'nobody may be let in unasked');
  });

  test('keeps the backend group beside the user`s own where manage-backend-security-group-rules asks for it', async () => {
    const stack = await stackOf(
      {
        annotations: { 'security-groups': 'sg-1', 'manage-backend-security-group-rules': 'true' },
        rules: { '': ['/ web:80'] },
      },
      { account: { securityGroups: [{ id: 'sg-1', name: 'a', tags: {} }] } },
    );
    assert.deepEqual(stack.loadBalancer!.securityGroups, [{ id: 'sg-1' }, { backend: true }]);
    assert.equal(only(stack.targetGroups).binding.networking.length, 1);
  });

  test('lets in whom inbound-cidrs and prefix lists name; IPv6 blocks mean nothing to it', async () => {
    const ingressOf = async (annotations: Record<string, string>) =>
      (await stackOf({ annotations, rules: { '': ['/ web:80'] } })).securityGroup!.ingress.map(
        ({ from }) => from,
      );
    assert.deepEqual(
      await ingressOf({ 'inbound-cidrs': '10.0.0.0/24, ::/0', 'security-group-prefix-lists': 'pl-1' }),
      [{ cidr: '10.0.0.0/24' }, { prefixListId: 'pl-1' }],
    );
    assert.deepEqual(await ingressOf({ 'inbound-cidrs': '::/0' }), []);
  });

  test('keeps the subnets that it has, until its scheme changes', async () => {
    const account = {
      loadBalancer: { scheme: 'internal', subnetIds: ['subnet-pub-a', 'subnet-pub-b'], securityGroupIds: [] },
    } as const;
    const short = { rules: { '': ['/ web:80'] } };
    const ids = async (scheme: string) =>
      (await stackOf({ ...short, annotations: { scheme } }, { account })).loadBalancer!.subnets.map(
        ({ subnetId }) => subnetId,
      );
    assert.deepEqual(await ids('internal'), ['subnet-pub-a', 'subnet-pub-b']);
    const other = { loadBalancer: { ...account.loadBalancer, scheme: 'internet-facing' } } as const;
    const moved = await stackOf(short, { account: other });
    assert.deepEqual(moved.loadBalancer!.subnets[0], { subnetId: 'subnet-priv-a' });
  });

  test('is of nothing when its Ingresses are gone', async () => {
    const gone = ingress('shop/site', {
      metadata: { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['ingress.k8s.aws/resources'] },
    });
    const id = { kind: 'ingress', namespace: 'shop', name: 'site' } as const;
    assert.deepEqual(await stackOfGroup(id, world({ ingresses: [gone] })), {
      stack: { id, targetGroups: [] },
      members: [],
      leaving: [gone],
      problems: [],
    });
  });

  test('lifts the protection from deletion when its Ingresses say so, and none that it is to be', async () => {
    const leaving = (name: string, said: string, className = 'alb') =>
      ingress(`shop/${name}`, {
        className,
        annotations: {
          'group.name': 'front',
          'load-balancer-attributes': `what is wrong,deletion_protection.enabled=${said}`,
        },
        metadata: { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['group.ingress.k8s.aws/front'] },
      });
    const loadBalancerAttributes = [{ key: 'deletion_protection.enabled', value: 'true' }];
    const lifts = async (...ingresses: ReturnType<typeof ingress>[]) => {
      const { stack } = await stackOfGroup(
        { kind: 'ingress', group: 'front' },
        world({
          ingresses,
          classes: [ingressClass('alb'), ingressClass('protected', 'protected')],
          params: [classParams('protected', { loadBalancerAttributes })],
        }),
      );
      return stack!.liftsProtection;
    };
    assert.equal(await lifts(leaving('a', 'false'), leaving('b', 'unknown')), true);
    assert.equal(await lifts(leaving('a', 'unknown')), undefined);
    assert.equal(await lifts(leaving('a', 'false'), leaving('b', 'true')), undefined);
    assert.equal(await lifts(leaving('a', 'false', 'protected')), undefined, 'the class comes first');
  });
});

describe('rules by paths', () => {
  test('are tried Exact first, then Prefix with the longest first, then ImplementationSpecific as written', async () => {
    const stack = await stackOf({
      rules: {
        'a.example.com': [
          'ImplementationSpecific /img/*.png web:80',
          'Prefix / web:80',
          'Prefix /shop/cart web:80',
          'ImplementationSpecific /x?z web:80',
          'Exact /shop api:80',
          'Prefix /shop api:80',
          'Exact / api:80',
        ],
      },
    });
    assert.deepEqual(rulesOf(stack).map(words), [
      'host=a.example.com path=/shop',
      'host=a.example.com path=/',
      'host=a.example.com path=/shop/cart|/shop/cart/*',
      'host=a.example.com path=/shop|/shop/*',
      'host=a.example.com path=/*',
    ]);
  });

  test('ImplementationSpecific is a pattern with * and ?, in the order in which it is written', async () => {
    const stack = await stackOf({
      rules: {
        '': ['ImplementationSpecific /img/*.png web:80', 'ImplementationSpecific /x?z api:80', '/s web:80'],
      },
    });
    assert.deepEqual(rulesOf(stack).map(words), ['path=/s|/s/*', 'path=/img/*.png', 'path=/x?z']);
  });

  test('of hosts stand in the order in which they are written, any host being no condition', async () => {
    const stack = await stackOf({
      rules: { '*.example.com': ['/ web:80'], 'a.example.com': ['/a api:80'], '': ['/ old:80'] },
    });
    assert.deepEqual(table(rulesOf(stack)), [
      'host=*.example.com path=/* -> shop/site-web:80',
      'host=a.example.com path=/a|/a/* -> shop/site-api:80',
      'path=/* -> shop/site-old:80',
    ]);
  });

  test('with a wildcard in Exact and Prefix are refused, and so is what load balancers do not match', async () => {
    assert.match(
      await refused({ rules: { '': ['Exact /a* web:80'] } }),
      /Ingress shop\/site: path \/a\* has a wildcard: pathType Exact has none, ImplementationSpecific has/,
    );
    assert.match(await refused({ rules: { '': ['/a? web:80'] } }), /pathType Prefix has none/);
    assert.match(
      await refused({ rules: { '': ['/ü web:80'] } }),
      /path \/ü is not what load balancers match/,
    );
    assert.match(await refused({ rules: { 'ho st': ['/ web:80'] } }), /host "ho st"/);
  });

  test('that can never match are left out: they would count against the limit', async () => {
    const stack = await stackOf({
      rules: {
        'a.example.com': ['/ web:80', 'ImplementationSpecific /* api:80', 'ImplementationSpecific /b old:80'],
      },
    });
    assert.deepEqual(table(rulesOf(stack)), ['host=a.example.com path=/* -> shop/site-web:80']);
  });

  test('go to the default backend, or 404, when none holds', async () => {
    const stack = await stackOf({ rules: { '': ['/a web:80'] }, defaultBackend: 'api:80' });
    assert.equal(actionWords({ actions: only(listeners(stack)).defaultActions }), 'shop/site-api:80');
    assert.deepEqual(stack.targetGroups.map(({ id }) => id).toSorted(), [
      'shop/site-api:80',
      'shop/site-web:80',
    ]);
  });
});

describe('actions of annotations (the examples of the AWS Load Balancer Controller`s documentation)', () => {
  const arn = 'arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/legacy/0123456789abcdef';
  const annotations = {
    'actions.response-503':
      '{"type":"fixed-response","fixedResponseConfig":{"contentType":"text/plain","statusCode":"503","messageBody":"503 error text"}}',
    'actions.redirect-to-eks':
      '{"type":"redirect","redirectConfig":{"host":"aws.amazon.com","path":"/eks/","port":"443","protocol":"HTTPS","query":"k=v","statusCode":"HTTP_302"}}',
    'actions.forward-single-tg': `{"type":"forward","targetGroupARN": "${arn}"}`,
    'actions.forward-multiple-tg': `{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"service-1","servicePort":"http","weight":20},{"serviceName":"service-2","servicePort":80,"weight":20},{"targetGroupARN":"${arn}","weight":60}],"targetGroupStickinessConfig":{"enabled":true,"durationSeconds":200}}}`,
  };
  const rules = {
    '': [
      'Exact /503 response-503:use-annotation',
      'Exact /eks redirect-to-eks:use-annotation',
      'Exact /path1 forward-single-tg:use-annotation',
      'Exact /path2 forward-multiple-tg:use-annotation',
    ],
  };
  const services = [service('shop/service-1', ['http=80:8080']), service('shop/service-2')];

  test('are fixed responses, redirects and forwards, to one target group or by weight', async () => {
    const stack = await stackOf({ annotations, rules }, { services });
    const actions = rulesOf(stack).map((rule) => only(rule.actions));
    assert.deepEqual(actions, [
      { type: 'fixed-response', contentType: 'text/plain', statusCode: '503', messageBody: '503 error text' },
      {
        type: 'redirect',
        host: 'aws.amazon.com',
        path: '/eks/',
        port: '443',
        protocol: 'HTTPS',
        query: 'k=v',
        statusCode: 'HTTP_302',
      },
      { type: 'forward', targetGroups: [{ group: { arn } }] },
      {
        type: 'forward',
        targetGroups: [
          { group: { id: 'shop/site-service-1:http' }, weight: 20 },
          { group: { id: 'shop/site-service-2:80' }, weight: 20 },
          { group: { arn }, weight: 60 },
        ],
        stickinessSeconds: 200,
      },
    ]);
  });

  test('may have keys in AWS`s case, and ports as text, as older controllers had them', async () => {
    const old =
      '{"Type":"forward","ForwardConfig":{"TargetGroups":[{"ServiceName":"service-2","ServicePort":"80"}]}}';
    const stack = await stackOf(
      { annotations: { 'actions.a': old }, rules: { '': ['/ a:use-annotation'] } },
      { services },
    );
    assert.deepEqual(table(rulesOf(stack)), ['path=/* -> shop/site-service-2:80']);
  });

  test('find a target group of the user`s by name', async () => {
    const short = {
      annotations: { 'actions.a': '{"type":"forward","targetGroupName":"legacy"}' },
      rules: { '': ['/ a:use-annotation'] },
    };
    const stack = await stackOf(short, { account: { targetGroups: { legacy: arn } } });
    assert.deepEqual(table(rulesOf(stack)), [`path=/* -> ${arn}`]);
    const { stack: without, problems } = await build([ingress('shop/site', short)]);
    assert.deepEqual(rulesOf(without!).map(actionWords), ['503']);
    assert.match(problems[0]!.error.message, /Ingress shop\/site: there is no target group legacy/);
  });

  const wrong: Record<string, [action: string, message: RegExp]> = {
    'that are no JSON': ['{', /actions\.a is not JSON/],
    'of an unknown type': ['{"type":"authenticate-oidc"}', /actions\.a is not as it should be: type/],
    'without their configuration': ['{"type":"redirect"}', /redirectConfig/],
    'with a status that ALBs cannot answer': [
      '{"type":"fixed-response","fixedResponseConfig":{"statusCode":"302"}}',
      /statusCode: it may be 2XX, 4XX or 5XX/,
    ],
    'that forward to several without weights': [
      '{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"web","servicePort":80},{"serviceName":"api","servicePort":80}]}}',
      /each needs a weight/,
    ],
    'that forward to one twice': [
      '{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"web","servicePort":80,"weight":1},{"serviceName":"web","servicePort":80,"weight":1}]}}',
      /has a target twice/,
    ],
    'that forward to six': [
      `{"type":"forward","forwardConfig":{"targetGroups":[${'{"serviceName":"web","servicePort":80,"weight":1},'.repeat(6).slice(0, -1)}]}}`,
      /targetGroups/,
    ],
    'that forward to nothing': ['{"type":"forward"}', /without one of serviceName, targetGroupARN/],
    'that are sticky for no time': [
      '{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"web","servicePort":80}],"targetGroupStickinessConfig":{"enabled":true}}}',
      /durationSeconds/,
    ],
  };
  for (const [what, [action, message]] of Object.entries(wrong)) {
    test(`${what} are refused`, async () => {
      const rules = { '': ['/ a:use-annotation'] };
      assert.match(await refused({ annotations: { 'actions.a': action }, rules }), message);
    });
  }
});

describe('conditions of annotations (the examples of the AWS Load Balancer Controller`s documentation)', () => {
  const host = 'www.example.com';
  const examples: Record<string, [conditions: string, rule: string]> = {
    'another host': [
      '[{"field":"host-header","hostHeaderConfig":{"values":["anno.example.com"]}}]',
      `host=${host}|anno.example.com path=/p`,
    ],
    'another path': [
      '[{"field":"path-pattern","pathPatternConfig":{"values":["/anno/path2"]}}]',
      `host=${host} path=/p|/anno/path2`,
    ],
    'a header': [
      '[{"field":"http-header","httpHeaderConfig":{"httpHeaderName": "HeaderName", "values":["HeaderValue1", "HeaderValue2"]}}]',
      `http-header(HeaderName)=HeaderValue1|HeaderValue2 host=${host} path=/p`,
    ],
    'a method': [
      '[{"field":"http-request-method","httpRequestMethodConfig":{"Values":["GET", "HEAD"]}}]',
      `http-request-method=GET|HEAD host=${host} path=/p`,
    ],
    'a query': [
      '[{"field":"query-string","queryStringConfig":{"values":[{"key":"paramA","value":"valueA1"},{"key":"paramA","value":"valueA2"}]}}]',
      `query-string=paramA=valueA1|paramA=valueA2 host=${host} path=/p`,
    ],
    'a source address': [
      '[{"field":"source-ip","sourceIpConfig":{"values":["192.168.0.0/16", "172.16.0.0/16"]}}]',
      `source-ip=192.168.0.0/16|172.16.0.0/16 host=${host} path=/p`,
    ],
    'several of them': [
      '[{"field":"http-header","httpHeaderConfig":{"httpHeaderName": "HeaderName", "values":["HeaderValue"]}},{"field":"query-string","queryStringConfig":{"values":[{"key":"paramA","value":"valueA"}]}},{"field":"query-string","queryStringConfig":{"values":[{"key":"paramB","value":"valueB"}]}}]',
      `http-header(HeaderName)=HeaderValue query-string=paramA=valueA query-string=paramB=valueB host=${host} path=/p`,
    ],
  };
  for (const [what, [conditions, rule]] of Object.entries(examples)) {
    test(`ask for ${what}`, async () => {
      const stack = await stackOf({
        annotations: { 'conditions.web': conditions },
        rules: { [host]: ['Exact /p web:80'] },
      });
      assert.deepEqual(table(rulesOf(stack)), [`${rule} -> shop/site-web:80`]);
    });
  }

  test('with more than five values become several rules, which together hold the same', async () => {
    const hosts = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => `"${name}.example.com"`).join(',');
    const stack = await stackOf({
      annotations: {
        'conditions.web': `[{"field":"host-header","hostHeaderConfig":{"values":[${hosts}]}}]`,
      },
      rules: { '': ['/p web:80'] },
    });
    assert.deepEqual(rulesOf(stack).map(words), [
      'host=a.example.com|b.example.com|c.example.com path=/p|/p/*',
      'host=d.example.com|e.example.com|f.example.com path=/p|/p/*',
      'host=g.example.com path=/p|/p/*',
    ]);
  });

  test('of which a rule cannot hold as many are refused', async () => {
    const header = (name: string) =>
      `{"field":"http-header","httpHeaderConfig":{"httpHeaderName":"${name}","values":["v"]}}`;
    const conditions = `[${['a', 'b', 'c', 'd', 'e'].map(header).join(',')}]`;
    assert.match(
      await refused({ annotations: { 'conditions.web': conditions }, rules: { '': ['Exact /p web:80'] } }),
      /path \/p has 6 conditions with more than 5 values/,
    );
  });

  const wrong: Record<string, [conditions: string, message: RegExp]> = {
    'by regular expressions': [
      '[{"field":"path-pattern","pathPatternConfig":{"regexValues":["^/a"]}}]',
      /regexValues, which is not supported/,
    ],
    'of one field twice': [
      '[{"field":"source-ip","sourceIpConfig":{"values":["10.0.0.0/8"]}},{"field":"source-ip","sourceIpConfig":{"values":["11.0.0.0/8"]}}]',
      /source-ip twice/,
    ],
    'by an address that is none': [
      '[{"field":"source-ip","sourceIpConfig":{"values":["10.0.0.1"]}}]',
      /"10\.0\.0\.1" is no address block/,
    ],
    'by the header Host': [
      '[{"field":"http-header","httpHeaderConfig":{"httpHeaderName":"Host","values":["a"]}}]',
      /httpHeaderName: it is no header to match by/,
    ],
    'of nothing': ['[{"field":"host-header","hostHeaderConfig":{"values":[]}}]', /hostHeaderConfig\.values/],
    'of an unknown field': ['[{"field":"cookie"}]', /field/],
  };
  for (const [what, [conditions, message]] of Object.entries(wrong)) {
    test(`${what} are refused`, async () => {
      assert.match(await refused({ annotations: { 'conditions.web': conditions } }), message);
    });
  }
});

describe('backends', () => {
  const rules = { '': ['/a web:80', '/b gone:80', '/c web:https', '/d none:use-annotation'] };

  test('that do not exist are answered with 503, told of, and take no other path down', async () => {
    const { stack, members, problems } = await build([ingress('shop/site', { rules })]);
    assert.equal(members.length, 1);
    assert.deepEqual(table(rulesOf(stack!)), [
      'path=/a|/a/* -> shop/site-web:80',
      'path=/b|/b/* -> 503',
      'path=/c|/c/* -> 503',
      'path=/d|/d/* -> 503',
    ]);
    assert.deepEqual(
      problems.map(({ error }) => error.message),
      [
        'Ingress shop/site: its backend Service shop/gone does not exist',
        'Ingress shop/site: Service shop/web has no port https; it has 80',
        'Ingress shop/site: has no annotation alb.ingress.kubernetes.io/actions.none for its backend none',
      ],
    );
  });

  test('of a weighted forward that do not exist leave the others their requests', async () => {
    const action =
      '{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"web","servicePort":80,"weight":90},{"serviceName":"gone","servicePort":80,"weight":10}]}}';
    const { stack, problems } = await build([
      ingress('shop/site', { annotations: { 'actions.a': action }, rules: { '': ['/ a:use-annotation'] } }),
    ]);
    assert.deepEqual(table(rulesOf(stack!)), ['path=/* -> shop/site-web:80*90']);
    assert.equal(problems.length, 1);
  });

  test('need a node port to be instance targets', async () => {
    const annotations = { 'target-type': 'instance' };
    const built = await build([ingress('shop/site', { annotations, rules: { '': ['/ web:80'] } })]);
    assert.deepEqual(rulesOf(built.stack!).map(actionWords), ['503']);
    assert.match(
      messages(built)[0]!,
      /Service shop\/web has no node port for instance targets: make it of type NodePort, or set target-type: ip/,
    );
  });

  test('whose Service says it wrongly are answered with 503, and the Service is named', async () => {
    const services = [
      service('shop/web', ['80'], { annotations: { 'healthcheck-path': 'ping' } }),
      SERVICES[1]!,
    ];
    const built = await build([ingress('shop/site', { rules: { '': ['/a web:80', '/b api:80'] } })], {
      services,
    });
    assert.deepEqual(rulesOf(built.stack!).map(actionWords), ['503', 'shop/site-api:80']);
    assert.match(messages(built)[0]!, /^Service shop\/web: annotation .*healthcheck-path is "ping"/);
  });

  test('that are no Service are refused', async () => {
    const object = ingress('shop/site', { rules: { '': ['/ web:80'] } });
    object.spec!.rules![0]!.http!.paths[0]!.backend = { resource: { kind: 'Bucket', name: 'b' } };
    const built = await build([object]);
    assert.deepEqual(built.members, []);
    assert.match(messages(built)[0]!, /has a backend that is no Service/);
  });
});

describe('target groups', () => {
  const groupOf = async (short: Short, services = SERVICES) =>
    only((await stackOf({ rules: { '': ['/ web:80'] }, ...short }, { services })).targetGroups);

  test('are known by Ingress, Service and port, and checked by HTTP on the port that serves', async () => {
    const group = await groupOf({});
    assert.match(group.name, /^k8s-shop-web-[0-9a-f]{10}$/);
    const { name: _, ...rest } = group;
    assert.deepEqual(rest, {
      id: 'shop/site-web:80',
      targetType: 'ip',
      protocol: 'HTTP',
      protocolVersion: 'HTTP1',
      port: 8080,
      healthCheck: {
        protocol: 'HTTP',
        port: 'traffic-port',
        path: '/',
        matcher: '200',
        intervalSeconds: 15,
        timeoutSeconds: 5,
        healthyThreshold: 2,
        unhealthyThreshold: 2,
      },
      attributes: {},
      tags: {},
      binding: {
        namespace: 'shop',
        service: { name: 'web', port: 80 },
        networking: [
          { from: [{ securityGroup: { backend: true } }], ports: [{ protocol: 'TCP', port: 8080 }] },
        ],
      },
    });
  });

  test('of instances are at the node port of nodes that their labels select', async () => {
    const services = [service('shop/web', ['http=80:8080:30080'], { type: 'NodePort' })];
    const annotations = { 'target-type': 'instance', 'target-node-labels': 'tier=front, zone=a' };
    const group = await groupOf({ annotations, rules: { '': ['/ web:http'] } }, services);
    assert.equal(group.port, 30080);
    assert.deepEqual(group.binding.service, { name: 'web', port: 'http' });
    assert.deepEqual(group.binding.nodeSelector, { matchLabels: { tier: 'front', zone: 'a' } });
    assert.deepEqual(group.binding.networking[0]!.ports, [{ protocol: 'TCP', port: 30080 }]);
  });

  test('of pods with a port by name have the port 1, and let the name in', async () => {
    const group = await groupOf({}, [service('shop/web', ['80:http'])]);
    assert.equal(group.port, 1);
    assert.deepEqual(group.binding.networking[0]!.ports, [{ protocol: 'TCP', port: 'http' }]);
  });

  test('are checked as annotations say, and the Service`s win over the Ingress`s', async () => {
    const annotations = {
      'backend-protocol': 'HTTPS',
      'healthcheck-protocol': 'HTTP',
      'healthcheck-port': 'health',
      'healthcheck-path': '/ping',
      'healthcheck-interval-seconds': '10',
      'healthcheck-timeout-seconds': '8',
      'healthy-threshold-count': '3',
      'unhealthy-threshold-count': '4',
      'success-codes': '200-299',
      'target-group-attributes': 'slow_start.duration_seconds=30,stickiness.enabled=true',
    };
    const services = [
      service('shop/web', ['80:8080', 'health=9000:9001'], {
        annotations: { 'healthcheck-path': '/of-service', tags: 'team=web', 'success-codes': '204' },
      }),
    ];
    const group = await groupOf({ annotations }, services);
    assert.equal(group.protocol, 'HTTPS');
    assert.deepEqual(group.healthCheck, {
      protocol: 'HTTP',
      port: '9001',
      path: '/of-service',
      matcher: '204',
      intervalSeconds: 10,
      timeoutSeconds: 8,
      healthyThreshold: 3,
      unhealthyThreshold: 4,
    });
    assert.deepEqual(group.attributes, {
      'slow_start.duration_seconds': '30',
      'stickiness.enabled': 'true',
    });
    assert.deepEqual(group.tags, { team: 'web' });
    assert.deepEqual(group.binding.networking[0]!.ports, [
      { protocol: 'TCP', port: 8080 },
      { protocol: 'TCP', port: 9001 },
    ]);
  });

  test('of gRPC are checked by its health service`s code 12', async () => {
    const { protocolVersion, healthCheck } = await groupOf({
      annotations: { 'backend-protocol-version': 'GRPC' },
    });
    assert.deepEqual(
      [protocolVersion, healthCheck.path, healthCheck.matcher],
      ['GRPC', '/AWS.ALB/healthcheck', '12'],
    );
  });

  test('have another name when they must be made anew', async () => {
    const names = new Set<string>();
    for (const annotations of [{}, { 'backend-protocol': 'HTTPS' }, { 'backend-protocol-version': 'HTTP2' }])
      names.add((await groupOf({ annotations })).name);
    names.add((await groupOf({}, [service('shop/web', ['80:8081'])])).name);
    names.add((await groupOf({ annotations: { 'healthcheck-path': '/x' } })).name);
    assert.equal(names.size, 4, 'a health check can be changed');
  });
});

describe('listeners and TLS', () => {
  const certs = [
    certificate('wild', ['example.com', '*.example.com'], 5),
    certificate('old', ['api.example.com'], 1),
    certificate('new', ['api.example.com', 'other.test'], 2),
  ];
  const account = { certificates: certs };
  const arn = (id: string) => certificate(id, []).arn;
  const https = { 'listen-ports': '[{"HTTPS": 443}]' };

  test('are HTTP on 80, or HTTPS on 443 where a certificate is named', async () => {
    const rules = { '': ['/ web:80'] };
    const of = async (annotations: Record<string, string>) =>
      listeners(await stackOf({ annotations, rules }, { account })).map(
        ({ protocol, port }) => `${protocol} ${port}`,
      );
    assert.deepEqual(await of({}), ['HTTP 80']);
    assert.deepEqual(await of({ 'certificate-arn': arn('wild') }), ['HTTPS 443']);
    assert.deepEqual(
      await of({
        'certificate-arn': arn('wild'),
        'listen-ports': '[{"HTTP": 80}, {"HTTPS": 443}, {"HTTP": 8080}, {"HTTPS": 8443}]',
      }),
      ['HTTP 80', 'HTTPS 443', 'HTTP 8080', 'HTTPS 8443'],
    );
  });

  test('have the certificates that are named, the first as the default, and the policy', async () => {
    const stack = await stackOf(
      {
        annotations: {
          'certificate-arn': `${arn('new')},${arn('wild')}`,
          'ssl-policy': 'ELBSecurityPolicy-TLS-1-1-2017-01',
          'listener-attributes.HTTPS-443': 'routing.http.response.server.enabled=false',
        },
        rules: { '': ['/ web:80'] },
      },
      { account },
    );
    const listener = only(listeners(stack));
    assert.deepEqual(listener.certificates, [arn('new'), arn('wild')]);
    assert.equal(listener.sslPolicy, 'ELBSecurityPolicy-TLS-1-1-2017-01');
    assert.deepEqual(listener.attributes, { 'routing.http.response.server.enabled': 'false' });
  });

  const discovered: Record<string, [short: Short, ids: string[]]> = {
    'a rule`s host': [{ rules: { 'dev.example.com': ['/users web:80'] } }, ['wild']],
    'the hosts of tls': [{ tls: ['www.example.com'], rules: { '': ['/users web:80'] } }, ['wild']],
    'the very name first, then the newest': [{ rules: { 'api.example.com': ['/ web:80'] } }, ['new']],
    'each host, once': [
      { tls: ['a.example.com', 'example.com'], rules: { 'other.test': ['/ web:80'] } },
      ['new', 'wild'],
    ],
    'a wildcard by itself': [{ rules: { '*.example.com': ['/ web:80'] } }, ['wild']],
  };
  for (const [what, [short, ids]] of Object.entries(discovered)) {
    test(`find certificates by ${what}`, async () => {
      const stack = await stackOf({ ...short, annotations: https }, { account });
      assert.deepEqual(only(listeners(stack)).certificates.toSorted(), ids.map(arn));
    });
  }

  test('without a certificate for a host, or an unknown one, are refused', async () => {
    assert.match(
      await refused({ annotations: https, rules: { 'a.b.example.com': ['/ web:80'] } }, { account }),
      /Ingress shop\/site: no certificate for host a\.b\.example\.com/,
    );
    assert.match(
      await refused({ annotations: { 'certificate-arn': arn('gone') } }, { account }),
      /certificate-arn names ".*gone": ACM has no such certificate/,
    );
    assert.match(await refused({ annotations: https }), /listens to HTTPS on port 443 without a certificate/);
  });

  test('of HTTP redirect to HTTPS by ssl-redirect, and have no other rules', async () => {
    const stack = await stackOf(
      {
        annotations: {
          'listen-ports': '[{"HTTP": 80}, {"HTTPS": 443}]',
          'certificate-arn': arn('wild'),
          'ssl-redirect': '443',
        },
        rules: { '': ['/ web:80'] },
      },
      { account },
    );
    const [http, tls] = listeners(stack) as [ListenerSpec, ListenerSpec];
    assert.deepEqual(http.defaultActions, [
      { type: 'redirect', protocol: 'HTTPS', port: '443', statusCode: 'HTTP_301' },
    ]);
    assert.deepEqual(http.rules, []);
    assert.deepEqual(table(tls.rules), ['path=/* -> shop/site-web:80']);
    assert.match(
      await refused({ annotations: { 'ssl-redirect': '443' } }),
      /redirects to port 443 .* is no listener/,
    );
    assert.match(await refused({ annotations: { 'ssl-redirect': '80' } }), /is a listener of HTTP/);
  });

  test('of HTTPS leave out the redirect that older controllers asked for by an action', async () => {
    const stack = await stackOf(
      {
        annotations: {
          'listen-ports': '[{"HTTP": 80}, {"HTTPS": 443}]',
          'certificate-arn': arn('wild'),
          'actions.ssl-redirect':
            '{"Type": "redirect", "RedirectConfig": { "Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}',
        },
        rules: {
          '': ['ImplementationSpecific /* ssl-redirect:use-annotation', 'ImplementationSpecific /* web:80'],
        },
      },
      { account },
    );
    assert.deepEqual(
      listeners(stack).map(({ rules }) => table(rules)),
      [['path=/* -> redirect HTTPS:443'], ['path=/* -> shop/site-web:80']],
    );
  });
});

describe('annotations that are wrong are refused, by name', () => {
  const cases: Record<string, [value: string, message: RegExp]> = {
    scheme: ['public', /scheme is "public": it may be internal, internet-facing/],
    'load-balancer-name': ['a'.repeat(33), /load-balancer-name is ".*32 of them/],
    'listen-ports': ['[{"HTTP": 0}]', /listen-ports is not as it should be/],
    'ssl-policy': ['best', /ssl-policy is "best"/],
    'inbound-cidrs': ['10.0.0.0/33', /inbound-cidrs has "10\.0\.0\.0\/33"/],
    'security-group-prefix-lists': ['everyone', /has "everyone"/],
    subnets: ['subnet-a', /subnets names "subnet-a": no subnet/],
    'security-groups': ['missing', /security-groups names "missing"/],
    'target-type': ['pod', /target-type is "pod"/],
    'backend-protocol': ['TCP', /backend-protocol is "TCP"/],
    'healthcheck-interval-seconds': ['1', /healthcheck-interval-seconds is "1"/],
    'load-balancer-attributes': ['idle_timeout.timeout_seconds=0', /idle_timeout\.timeout_seconds=0/],
    'target-group-attributes': ['stickiness', /has "stickiness": it is a list such as key1=value1/],
    tags: ['aws:x=1', /has "aws:x"/],
  };
  for (const [name, [value, message]] of Object.entries(cases)) {
    test(name, async () => {
      const message_ = await refused({ annotations: { [name]: value } });
      assert.match(message_, /^Ingress shop\/site: /);
      assert.match(message_, message);
    });
  }

  const unsupported: Record<string, string> = {
    'auth-type': 'oidc',
    'wafv2-acl-arn': 'arn:aws:wafv2:us-west-2:111122223333:regional/webacl/x/y',
    'shield-advanced-protection': 'true',
    'ip-address-type': 'dualstack',
    'mutual-authentication': '[{"port": 443, "mode": "verify", "trustStore": "t"}]',
    'customer-owned-ipv4-pool': 'ipv4pool-coip-1',
    'transforms.web': '[]',
  };
  for (const [name, value] of Object.entries(unsupported)) {
    test(`${name}, which is not supported, is not left out in silence`, async () => {
      assert.match(await refused({ annotations: { [name]: value } }), /not supported/);
    });
  }

  test('but what asks for nothing of what is not supported is let be', async () => {
    const annotations = {
      'auth-type': 'none',
      'shield-advanced-protection': 'false',
      'ip-address-type': 'ipv4',
      'mutual-authentication': '[{"port": 443, "mode": "off"}]',
    };
    await stackOf({ annotations, rules: { '': ['/ web:80'] } });
  });

  test('authentication that a Service asks for keeps its backend closed', async () => {
    const services = [service('shop/web', ['80'], { annotations: { 'auth-type': 'cognito' } }), SERVICES[1]!];
    const built = await build([ingress('shop/site', { rules: { '': ['/a web:80', '/b api:80'] } })], {
      services,
    });
    assert.deepEqual(rulesOf(built.stack!).map(actionWords), ['503', 'shop/site-api:80']);
    assert.match(messages(built)[0]!, /^Service shop\/web: .*auth-type is "cognito", which is not supported/);
  });
});

describe('IngressClassParams', () => {
  test('hold whatever annotations say; tags and attributes are merged', async () => {
    const params = [
      classParams('params', {
        scheme: 'internet-facing',
        loadBalancerName: 'of-class',
        subnets: { ids: ['subnet-pub-a', 'subnet-pub-b'] },
        inboundCIDRs: ['10.0.0.0/8'],
        certificateArn: [certificate('one', []).arn],
        sslPolicy: 'ELBSecurityPolicy-2016-08',
        sslRedirectPort: '443',
        targetType: 'ip',
        tags: [{ key: 'org', value: 'ours, all' }],
        loadBalancerAttributes: [{ key: 'idle_timeout.timeout_seconds', value: '120' }],
        listeners: [{ protocol: 'HTTPS', port: 443, listenerAttributes: [{ key: 'a', value: 'b' }] }],
      }),
    ];
    const stack = await stackOf(
      {
        annotations: {
          scheme: 'internal',
          'load-balancer-name': 'mine',
          subnets: 'private-a,private-b',
          'inbound-cidrs': '0.0.0.0/0',
          'listen-ports': '[{"HTTP": 80}, {"HTTPS": 443}]',
          'target-type': 'instance',
          tags: 'org=other,team=shop',
          'load-balancer-attributes': 'idle_timeout.timeout_seconds=1,routing.http2.enabled=false',
        },
        rules: { '': ['/ web:80'] },
      },
      {
        classes: [ingressClass('alb', 'params')],
        params,
        account: { certificates: [certificate('one', ['x'])] },
      },
    );
    const { name, scheme, subnets, attributes, tags } = stack.loadBalancer!;
    assert.deepEqual([name, scheme, subnets.length], ['of-class', 'internet-facing', 2]);
    assert.deepEqual(attributes, {
      'idle_timeout.timeout_seconds': '120',
      'routing.http2.enabled': 'false',
    });
    assert.deepEqual(tags, { org: 'ours, all', team: 'shop' });
    assert.ok(stack.securityGroup!.ingress.every(({ from }) => 'cidr' in from && from.cidr === '10.0.0.0/8'));
    const [http, tls] = listeners(stack);
    assert.equal(http!.defaultActions[0]!.type, 'redirect');
    assert.deepEqual(tls!.certificates, [certificate('one', []).arn]);
    assert.deepEqual(tls!.attributes, { a: 'b' });
    assert.equal(only(stack.targetGroups).targetType, 'ip');
  });

  test('find subnets by tags, and name themselves when they are wrong', async () => {
    const classes = [ingressClass('alb', 'params')];
    const rules = { '': ['/ web:80'] };
    const tags = { Name: ['public-a', 'public-b', 'private-x'] };
    const stack = await stackOf(
      { rules, annotations: { subnets: 'private-a,private-b' } },
      { classes, params: [classParams('params', { subnets: { tags } })] },
    );
    assert.deepEqual(stack.loadBalancer!.subnets, [
      { subnetId: 'subnet-pub-a' },
      { subnetId: 'subnet-pub-b' },
    ]);
    const params = [classParams('params', { inboundCIDRs: ['all'] })];
    assert.match(
      await refused({ rules }, { classes, params }),
      /^IngressClassParams params: spec\.inboundCIDRs has "all"/,
    );
    const waf = [classParams('params', { wafv2AclArn: 'arn:x' })];
    assert.match(
      await refused({ rules }, { classes, params: waf }),
      /spec\.wafv2AclArn is "arn:x", which is not supported/,
    );
  });
});

describe('a group', () => {
  const at = (second: number) => ({ creationTimestamp: `2026-01-01T00:00:0${second}Z` });
  const member = (key: string, short: Short = {}, age = 1) =>
    ingress(key, {
      rules: { [`${key.split('/')[1]}.example.com`]: ['/ web:80'] },
      ...short,
      annotations: { 'group.name': 'g', ...short.annotations },
      metadata: at(age),
    });
  const services = ['a', 'b', 'c'].map((namespace) => service(`${namespace}/web`));
  const names = (built: GroupStack) => built.members.map(keyOf);

  test('has the rules of all, by order and name, on the ports that each listens to', async () => {
    const built = await build(
      [
        member('b/two', { annotations: { 'listen-ports': '[{"HTTP": 80}, {"HTTP": 8080}]' } }),
        member('a/one'),
        member('c/first', { annotations: { 'group.order': '-1' } }),
      ],
      { services },
    );
    assert.deepEqual(messages(built), []);
    assert.deepEqual(names(built), ['c/first', 'a/one', 'b/two']);
    const [http, other] = listeners(built.stack!);
    assert.deepEqual(table(http!.rules), [
      'host=first.example.com path=/* -> c/first-web:80',
      'host=one.example.com path=/* -> a/one-web:80',
      'host=two.example.com path=/* -> b/two-web:80',
    ]);
    assert.deepEqual(table(other!.rules), ['host=two.example.com path=/* -> b/two-web:80']);
    assert.equal(built.stack!.targetGroups.length, 3);
  });

  test('shares what one of them says: scheme, ssl-redirect, tags', async () => {
    const account = { certificates: [certificate('x', ['*.example.com'])] };
    const built = await build(
      [
        member('a/one', { annotations: { scheme: 'internet-facing', tags: 'a=1' } }),
        member('b/two', {
          annotations: {
            'listen-ports': '[{"HTTP": 80}, {"HTTPS": 443}]',
            'ssl-redirect': '443',
            tags: 'b=2',
          },
        }),
      ],
      { services, account },
    );
    assert.equal(built.stack!.loadBalancer!.scheme, 'internet-facing');
    assert.deepEqual(built.stack!.loadBalancer!.tags, { a: '1', b: '2' });
    const [http] = listeners(built.stack!);
    assert.deepEqual([http!.defaultActions[0]!.type, http!.rules.length], ['redirect', 0]);
  });

  const conflicts: Record<string, [one: Short, other: Short, message: RegExp]> = {
    'ports of two protocols': [
      { annotations: { 'listen-ports': '[{"HTTP": 8443}]' } },
      { annotations: { 'listen-ports': '[{"HTTPS": 8443}]', 'certificate-arn': certificate('x', []).arn } },
      /the protocol of port 8443 \(listen-ports\) is HTTPS, and HTTP by Ingress a\/old/,
    ],
    schemes: [
      { annotations: { scheme: 'internal' } },
      { annotations: { scheme: 'internet-facing' } },
      /scheme is internet-facing, and internal by Ingress a\/old of the same group, which is older/,
    ],
    'who may come in': [
      { annotations: { 'inbound-cidrs': '10.0.0.0/8' } },
      { annotations: { 'inbound-cidrs': '0.0.0.0/0' } },
      /inbound-cidrs of port 80 is 0\.0\.0\.0\/0, and 10\.0\.0\.0\/8/,
    ],
    'default backends': [
      { defaultBackend: 'web:80' },
      { defaultBackend: 'web:80' },
      /the defaultBackend of port 80/,
    ],
    tags: [{ annotations: { tags: 'team=a' } }, { annotations: { tags: 'team=b' } }, /tag team is b, and a/],
    attributes: [
      { annotations: { 'load-balancer-attributes': 'routing.http2.enabled=true' } },
      { annotations: { 'load-balancer-attributes': 'routing.http2.enabled=false' } },
      /routing\.http2\.enabled of load-balancer-attributes/,
    ],
  };
  for (const [what, [one, other, message]] of Object.entries(conflicts)) {
    test(`goes on without the younger of two that ask for different ${what}`, async () => {
      const built = await build(
        // Its order puts the younger one first, and does not make it the one that stays.
        [
          member('b/new', { ...other, annotations: { ...other.annotations, 'group.order': '-5' } }, 3),
          member('a/old', one, 1),
          member('c/unharmed', {}, 2),
        ],
        { services, account: { certificates: [certificate('x', ['y'])] } },
      );
      assert.deepEqual(names(built), ['a/old', 'c/unharmed']);
      const problem = only(built.problems);
      assert.equal(keyOf(problem.ingress), 'b/new');
      assert.equal(problem.error.object, 'Ingress b/new');
      assert.match(problem.error.message, message);
    });
  }

  test('goes on without one that is wrong by itself, and stays as it is when all are that it has served', async () => {
    const wrong = (key: string, finalizers: string[] = []) => {
      const object = member(key, { annotations: { 'target-type': 'pod' } });
      return { ...object, metadata: { ...object.metadata, finalizers } };
    };
    const held = ['group.ingress.k8s.aws/g'];
    const one = await build([wrong('a/wrong'), member('b/right')], { services });
    assert.deepEqual(names(one), ['b/right']);
    assert.match(messages(one)[0]!, /^Ingress a\/wrong/);
    const all = await build([wrong('a/wrong', held), wrong('b/wrong')], { services });
    assert.equal(all.stack, undefined);
    assert.equal(all.problems.length, 2);
    const unserved = await build([wrong('a/wrong'), wrong('b/wrong')], { services });
    assert.equal(unserved.stack!.loadBalancer, undefined, 'nobody is served by what there may be');
  });

  test('has at most the rules that AWS allows: what comes later does not fit, and is told so', async () => {
    const paths = (count: number) => Array.from({ length: count }, (_, index) => `/${index} web:80`);
    const many = (key: string, count: number, age: number) =>
      member(key, { rules: { [`${key.slice(2)}.test`]: paths(count) } }, age);
    const built = await build([many('a/new', 60, 3), many('b/old', 90, 1), many('c/small', 10, 4)], {
      services,
    });
    assert.deepEqual(names(built), ['b/old', 'c/small']);
    assert.equal(rulesOf(built.stack!).length, 100);
    assert.deepEqual(messages(built), [
      'Ingress a/new: the load balancer of group g would have 150 rules, 60 of them by this Ingress: AWS allows 100; put it into another group',
    ]);
    const raised = await build([many('a/new', 60, 3), many('b/old', 90, 1)], {
      services,
      account: { limits: { rules: 200 } },
    });
    assert.deepEqual(raised.problems, [], 'an account may have been given more');
  });

  test('has at most the listeners, target groups and certificates that AWS allows', async () => {
    const certs = ['a', 'b', 'c'].map((name) => certificate(name, [`${name}.example.com`]));
    const https = (key: string, host: string, age: number) =>
      member(
        key,
        { annotations: { 'listen-ports': '[{"HTTPS": 443}]' }, rules: { [host]: ['/ web:80'] } },
        age,
      );
    const ingresses = [
      https('a/one', 'a.example.com', 1),
      https('b/two', 'b.example.com', 2),
      https('c/three', 'c.example.com', 3),
    ];
    const of = async (limits: Record<string, number>, all = ingresses) =>
      messages(await build(all, { services, account: { certificates: certs, limits } }));
    assert.deepEqual(await of({ certificates: 2, targetGroups: 3 }), []);
    assert.match(only(await of({ certificates: 1 })), /Ingress c\/three: .* 2 certificates, 1 of them/);
    assert.match(only(await of({ targetGroups: 2 })), /Ingress c\/three: .* 3 target groups/);
    const more = [...ingresses, member('b/port', { annotations: { 'listen-ports': '[{"HTTP": 8080}]' } }, 5)];
    assert.match(only(await of({ listeners: 1 }, more)), /Ingress b\/port: .* 2 listeners/);
  });

  test('tells each of its Ingresses when there is no place for their load balancer', async () => {
    const built = await build([member('a/one'), member('b/two')], { services, account: { subnets: [] } });
    assert.deepEqual(built.members, []);
    assert.deepEqual(
      built.problems.map(({ ingress }) => keyOf(ingress)),
      ['a/one', 'b/two'],
    );
    assert.match(
      messages(built)[0]!,
      /Ingress a\/one: no subnets for it: .*kubernetes\.io\/role\/internal-elb=1/,
    );
  });

  test('blames who names what is not there, and stands where the others say', async () => {
    const built = await build([member('a/one', { annotations: { subnets: 'nowhere' } }), member('b/two')], {
      services,
    });
    assert.deepEqual(names(built), ['b/two']);
    assert.match(messages(built)[0]!, /Ingress a\/one: annotation .*subnets names "nowhere"/);
  });
});
