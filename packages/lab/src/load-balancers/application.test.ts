/** Application load balancers that carry traffic: from the internet to targets in two zones, on the lab's network. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import { parseIp } from '@enid/ip';
import { connectTcp } from '@enid/linux';
import {
  createListener,
  createLoadBalancer,
  createTargetGroup,
  forwardTo,
  respond,
} from '../cloud/elbv2/elbv2.fixture.ts';
import { INTERNET_CLIENT } from '../internet/server.ts';
import { curl, get as getBy, InternetAgent, misbehaving } from './http.fixture.ts';
import { healthy, nodesOf, register, setAttributes, startServing } from './lab.fixture.ts';

/** An address of the first zone that nobody has: what is sent there is lost. */
const NOBODY = '10.0.1.222';

test('application load balancers', async (t) => {
  const lab = await startServing(t, misbehaving);
  const [near, far] = lab.targets.map(({ address }) => address) as unknown as [string, string];
  const balancer = await createLoadBalancer(lab, { Scheme: 'internet-facing' });
  const LoadBalancerArn = balancer.LoadBalancerArn!;
  await lab.cloud.settled();
  const [first, second] = lab.cloud.resolve(balancer.DNSName!)! as unknown as [string, string];
  const nodes = nodesOf(lab, LoadBalancerArn);
  const get = (path: string, ...options: string[]) =>
    curl(lab.internet, `http://${first}${path}`, ...options);
  const group = async (
    name: string,
    ids: readonly string[],
    more: Partial<elb.CreateTargetGroupInput> = {},
  ) => {
    const checks = { HealthCheckIntervalSeconds: 5, HealthCheckTimeoutSeconds: 2 };
    const arn = await createTargetGroup(lab, name, { ...checks, ...more });
    await register(lab, arn, ids);
    return arn;
  };
  const web = await group('web', [near, far]);
  const one = await group('one', [near], { Port: 8080 });
  const other = await group('other', [far]);
  const dead = await group('dead', [`${near}`], { Port: 1 });
  const lost = await group('lost', [NOBODY]);
  const empty = await group('empty', []);
  const ListenerArn = await createListener(lab, LoadBalancerArn, { DefaultActions: respond('404') });
  let priority = 0;
  const rule = (Conditions: elb.RuleCondition[], Actions: elb.Action[]) =>
    lab.elb.send(new elb.CreateRuleCommand({ ListenerArn, Priority: ++priority, Conditions, Actions }));
  const path = (...Values: string[]): elb.RuleCondition[] => [{ Field: 'path-pattern', Values }];
  const say = (MessageBody: string, more: elb.FixedResponseActionConfig | object = {}): elb.Action[] => [
    { Type: 'fixed-response', FixedResponseConfig: { StatusCode: '200', MessageBody, ...more } },
  ];
  const weighted = (weights: Record<string, number>, stickySeconds?: number): elb.Action[] => [
    {
      Type: 'forward',
      ForwardConfig: {
        TargetGroups: Object.entries(weights).map(([TargetGroupArn, Weight]) => ({ TargetGroupArn, Weight })),
        ...(stickySeconds && {
          TargetGroupStickinessConfig: { Enabled: true, DurationSeconds: stickySeconds },
        }),
      },
    },
  ];

  const configure = (attributes: Record<string, string>) => {
    const Attributes = Object.entries(attributes).map(([Key, Value]) => ({ Key, Value }));
    return lab.elb.send(new elb.ModifyLoadBalancerAttributesCommand({ LoadBalancerArn, Attributes }));
  };

  await rule(path('/lost'), forwardTo(lost));
  // AWS gives up after ten seconds; meanwhile the rest is tried.
  const lostAnswer = get('/lost', '--max-time', '15');
  await rule(path('/web/*', '/reset', '/malformed', '/silent'), forwardTo(web));
  await rule(path('/one'), forwardTo(one));
  await rule(path('/weighted'), weighted({ [one]: 3, [other]: 1, [empty]: 0 }));
  for (const arn of [web, one, other]) await healthy(lab, arn);

  await t.test('send to the targets of all zones, and tell them of the client', async () => {
    const requests = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const { body } = await get('/web/x?a=b', '-H', 'x-forwarded-for: 192.0.2.1', '-H', 'bad_name: 1');
        return JSON.parse(body);
      }),
    );
    assert.deepEqual(new Set(requests.map(({ server }) => server)), new Set([near, far]));
    const [{ client, headers, url }] = requests;
    assert.equal(client, nodes[0]);
    assert.equal(url, '/web/x?a=b');
    assert.equal(headers['x-forwarded-for'], `192.0.2.1, ${INTERNET_CLIENT}`);
    assert.deepEqual([headers['x-forwarded-proto'], headers['x-forwarded-port']], ['http', '80']);
    assert.match(headers['x-amzn-trace-id'], /^Root=1-[0-9a-f]{8}-[0-9a-f]{24}$/i);
    assert.equal(headers.bad_name, '1');
    assert.equal(headers.host, first);
    const { body } = await curl(lab.internet, `http://${second}/web/x`);
    assert.equal(JSON.parse(body).client, nodes[1]);
    assert.equal(JSON.parse(body).headers['x-forwarded-for'], INTERNET_CLIENT);
  });

  await t.test('take the first rule of which all conditions match', async () => {
    const conditions: [string, elb.RuleCondition[]][] = [
      ['host', [{ Field: 'host-header', Values: ['*.Example.com', 'a?.test'] }]],
      ['path', path('/img/*.png', '/q?')],
      [
        'header',
        [{ Field: 'http-header', HttpHeaderConfig: { HttpHeaderName: 'X-Kind', Values: ['*gold*'] } }],
      ],
      ['method', [{ Field: 'http-request-method', HttpRequestMethodConfig: { Values: ['PUT', 'DELETE'] } }]],
      [
        'query',
        [
          {
            Field: 'query-string',
            QueryStringConfig: { Values: [{ Key: 'v', Value: '1?' }, { Value: 'any*' }] },
          },
        ],
      ],
      [
        'both',
        [
          { Field: 'source-ip', SourceIpConfig: { Values: ['192.0.2.0/24', `${INTERNET_CLIENT}/32`] } },
          ...path('/both'),
        ],
      ],
      ['never', [{ Field: 'source-ip', SourceIpConfig: { Values: ['192.0.2.0/24'] } }, ...path('/never')]],
      ['later', path('/img/*')],
    ];
    for (const [name, each] of conditions) await rule(each, say(name));
    const asked: [string, string, ...string[]][] = [
      ['host', '/', '-H', 'host: www.example.COM:80'],
      ['', '/', '-H', 'host: example.com'],
      ['host', '/', '-H', 'host: ab.test'],
      ['path', '/img/a/b.png'],
      ['later', '/img/a.PNG'],
      ['path', '/q1?x'],
      ['', '/q'],
      ['header', '/', '-H', 'x-kind: A Golden one'],
      ['', '/', '-H', 'x-kind: silver'],
      ['method', '/', '-X', 'PUT'],
      ['query', '/?a=1&V=12&c'],
      ['', '/?v=123'],
      ['', '/?xv=12'],
      ['query', '/?other=anything'],
      ['both', '/both'],
      ['', '/never'],
    ];
    for (const [expected, where, ...options] of asked) {
      const { status, body } = await get(where, ...options);
      assert.deepEqual([body, status], [expected, expected ? 200 : 404], `${where} ${options}`);
    }
  });

  await t.test('answer by themselves, and send elsewhere', async () => {
    const text = `it's "100%"\n\\ {var} #é`;
    await rule(path('/fixed'), say(text, { StatusCode: '503', ContentType: 'application/json' }));
    const fixed = await get('/fixed');
    assert.deepEqual(
      [fixed.status, fixed.body, fixed.headers['content-type'], fixed.headers.server],
      [503, text, 'application/json', 'awselb/2.0'],
    );
    const redirect = (RedirectConfig: Partial<elb.RedirectActionConfig>): elb.Action[] => [
      { Type: 'redirect', RedirectConfig: { StatusCode: 'HTTP_301', ...RedirectConfig } },
    ];
    await rule(path('/secure/*'), redirect({ Protocol: 'HTTPS', Port: '443' }));
    await rule(
      path('/old/*'),
      redirect({
        Host: 'new.#{host}',
        Path: '/a%20b/#{path}',
        Query: 'p=#{port}&#{query}',
        StatusCode: 'HTTP_302',
      }),
    );
    const host = ['-H', 'host: www.test:80'];
    const secure = await get('/secure/x?a=%41', ...host);
    assert.deepEqual([secure.status, secure.headers.location], [301, 'https://www.test:443/secure/x?a=%41']);
    assert.equal((await get('/secure/x', ...host)).headers.location, 'https://www.test:443/secure/x');
    const old = await get('/old/x?q', ...host);
    assert.deepEqual([old.status, old.headers.location], [302, 'http://new.www.test:80/a%20b/old/x?p=80&q']);
  });

  await t.test('say what is wrong with targets, as AWS does', async () => {
    await rule(path('/empty'), forwardTo(empty));
    await rule(path('/dead'), forwardTo(dead));
    await rule(path('/none'), weighted({ [one]: 0 }));
    await configure({ 'idle_timeout.timeout_seconds': '1' });
    const expected = {
      ...{ '/empty': '503 Service Temporarily Unavailable', '/none': '503 Service Temporarily Unavailable' },
      ...{ '/dead': '502 Bad Gateway', '/reset': '502 Bad Gateway', '/malformed': '502 Bad Gateway' },
      '/silent': '504 Gateway Time-out',
    };
    for (const [where, title] of Object.entries(expected)) {
      const { status, headers, body } = await get(where);
      assert.deepEqual(
        [`${status}`, headers.server, headers['content-type']],
        [title.slice(0, 3), 'awselb/2.0', 'text/html'],
        where,
      );
      assert.match(body, new RegExp(`<title>${title}</title>.*<h1>${title}</h1>`, 's'));
    }
    await configure({ 'idle_timeout.timeout_seconds': '60' });
    // What a target says is its own.
    const own = await get('/web/503');
    assert.deepEqual([own.status, own.headers.server, own.body], [503, undefined, 'own']);
  });

  await t.test('share requests by weight, and keep clients where they were', async () => {
    await rule(path('/sticky-groups'), weighted({ [one]: 1, [other]: 1 }, 60));
    const server = async (where: string, ...options: string[]) => {
      const { body, cookies } = await get(where, ...options);
      return { server: JSON.parse(body).server as string, cookies };
    };
    const agent = new InternetAgent(lab.internet, false);
    const counted = await Promise.all(Array.from({ length: 60 }, () => getBy(agent, first, '/weighted')));
    const nearby = counted.filter(({ body }) => JSON.parse(body).server === near).length;
    assert.ok(nearby > 30 && nearby < 60, `${nearby} of 60 to three quarters of the weight`);

    await setAttributes(lab, web, { 'stickiness.enabled': 'true' });
    for (const [where, cookie] of [
      ['/sticky-groups', 'AWSALBTG'],
      ['/web/sticky', 'AWSALB'],
    ] as const) {
      const { server: mine, cookies } = await server(where);
      assert.match(cookies[0]!, new RegExp(`^${cookie}=[^;]+; Expires=[^;]+ GMT; Path=/$`));
      assert.match(cookies[1]!, new RegExp(`^${cookie}CORS=.*; SameSite=None; Secure$`));
      const [value] = cookies[0]!.split(';');
      const again = await Promise.all(Array.from({ length: 8 }, () => server(where, '-b', value!)));
      assert.deepEqual(new Set(again.map((each) => each.server)), new Set([mine]));
    }
    await setAttributes(lab, web, {
      'stickiness.type': 'app_cookie',
      'stickiness.app_cookie.cookie_name': 'session',
    });
    assert.deepEqual((await server('/web/x')).cookies, []);
    const begun = await get('/web/session');
    const values = begun.cookies.map((each) => each.split(';')[0]!);
    assert.deepEqual(
      values.map((each) => each.split('=')[0]),
      ['session', 'AWSALBAPP-0', 'AWSALBAPPCORS-0'],
    );
    const both = ['-b', values.slice(0, 2).join('; ')];
    const again = await Promise.all(Array.from({ length: 8 }, () => server('/web/x', ...both)));
    assert.deepEqual(new Set(again.map((each) => each.server)), new Set([begun.body]));
    await setAttributes(lab, web, { 'stickiness.enabled': 'false' });
  });

  await t.test('send by what is outstanding, and little to targets that begin', async () => {
    const slow = await group('slow', [near]);
    await setAttributes(lab, slow, { 'slow_start.duration_seconds': '900' });
    await rule(path('/slow'), forwardTo(slow));
    await healthy(lab, slow);
    const agent = new InternetAgent(lab.internet, false);
    const counted = async (where: string, count: number) => {
      const asked = Array.from({ length: count }, () => getBy(agent, first, where));
      const servers = (await Promise.all(asked)).map(({ body }) => JSON.parse(body).server);
      return servers.filter((server) => server === far).length;
    };
    await register(lab, slow, [far]);
    await healthy(lab, slow);
    const begun = await counted('/slow', 40);
    assert.ok(begun < 10, `${begun} of 40 to a target that begins`);

    await setAttributes(lab, web, { 'load_balancing.algorithm.type': 'least_outstanding_requests' });
    // Two of them stay where they are: one at each target. The third keeps one of the targets from the next ones.
    const outstanding = Array.from({ length: 3 }, () => get('/silent', '--max-time', '3'));
    await sleep(500);
    const next = [];
    for (let i = 0; i < 6; i++) next.push(await counted('/web/x', 1));
    assert.equal(new Set(next).size, 1, `${next} of 1 to the target with fewer requests`);
    await Promise.all(outstanding);
  });

  await t.test('change headers as their attributes say', async () => {
    await createListener(lab, LoadBalancerArn, { Port: 8080, DefaultActions: forwardTo(web) });
    const ask = async (attributes: Record<string, string>, ...options: string[]) => {
      await configure(
        Object.fromEntries(Object.entries(attributes).map(([key, value]) => [`routing.http.${key}`, value])),
      );
      const { body } = await curl(lab.internet, `http://${first}:8080/web/`, ...options);
      return JSON.parse(body).headers as Record<string, string>;
    };
    const given = ['-H', 'x-forwarded-for: 192.0.2.1', '-H', 'bad_name: 1', '-H', 'host: www.test'];
    const preserving = await ask(
      { 'xff_header_processing.mode': 'preserve', 'drop_invalid_header_fields.enabled': 'true' },
      ...given,
    );
    assert.deepEqual(
      [preserving['x-forwarded-for'], preserving.bad_name, preserving.host, preserving['x-forwarded-port']],
      ['192.0.2.1', undefined, 'www.test:8080', '8080'],
    );
    const removing = await ask(
      { 'xff_header_processing.mode': 'remove', 'preserve_host_header.enabled': 'true' },
      ...given,
    );
    assert.deepEqual([removing['x-forwarded-for'], removing.host], [undefined, 'www.test']);
    const root = 'Root=1-67891233-abcdef012345678912345678';
    const appending = await ask(
      { 'xff_header_processing.mode': 'append', 'xff_client_port.enabled': 'true' },
      ...['-H', `x-amzn-trace-id: Self=1-0-0;${root};CalledFrom=app`],
    );
    assert.match(appending['x-forwarded-for']!, new RegExp(`^${INTERNET_CLIENT}:\\d+$`));
    assert.match(
      appending['x-amzn-trace-id']!,
      new RegExp(`^Self=1-[0-9a-f]{8}-[0-9a-f]{24};${root};CalledFrom=app$`, 'i'),
    );
  });

  await t.test(
    'upgrade connections, which last until the deregistration delay of their target is over',
    async () => {
      const echo = await upgraded();
      assert.equal(await echo('one'), 'one');
      await lab.elb.send(new elb.DeregisterTargetsCommand({ TargetGroupArn: one, Targets: [{ Id: near }] }));
      assert.equal((await get('/one')).status, 503);
      assert.equal(await echo('again'), 'again');
      await lab.clock.advance(300_000);
      await lab.cloud.settled();
      assert.equal(await echo('more'), undefined);

      async function upgraded() {
        const socket = connectTcp(lab.internet, parseIp(first), 80, {
          localAddress: parseIp(INTERNET_CLIENT),
        });
        socket.on('error', () => {});
        t.after(() => socket.destroy());
        const closed = once(socket, 'close').then(() => []);
        const ask = async (text: string) => {
          const answered = once(socket, 'data', { signal: AbortSignal.timeout(5000) });
          socket.write(text);
          const [data] = await Promise.race([closed, answered.catch(() => ['no answer'])]);
          return data && String(data);
        };
        const head = 'GET /one HTTP/1.1\r\nhost: it\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n';
        assert.match(await ask(head), /^HTTP\/1.1 101 /);
        return ask;
      }
    },
  );

  const late = await lostAnswer;
  assert.deepEqual([late.status, late.headers.server], [504, 'awselb/2.0']);
  assert.match(late.body, /504 Gateway Time-out/);
});
