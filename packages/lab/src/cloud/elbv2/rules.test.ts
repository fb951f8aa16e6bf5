import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import {
  createListener,
  createLoadBalancer,
  createTargetGroup,
  forwardTo,
  respond,
  startLab,
  type TestLab,
} from './elbv2.fixture.ts';

const path = (...Values: string[]) => [{ Field: 'path-pattern', PathPatternConfig: { Values } }];

const createRule = async (
  { elb: client }: TestLab,
  ListenerArn: string,
  Priority: number,
  more: Partial<elb.CreateRuleCommandInput> = {},
) => {
  const input = { ListenerArn, Priority, Conditions: path(`/${Priority}`), Actions: respond(), ...more };
  return (await client.send(new elb.CreateRuleCommand(input))).Rules![0]!;
};

const rulesOf = async ({ elb: client }: TestLab, ListenerArn: string) =>
  (await client.send(new elb.DescribeRulesCommand({ ListenerArn }))).Rules!;

/** A load balancer with one listener that answers 404. */
async function build(lab: TestLab): Promise<{ loadBalancer: string; listener: string }> {
  const { LoadBalancerArn } = await createLoadBalancer(lab);
  return { loadBalancer: LoadBalancerArn!, listener: await createListener(lab, LoadBalancerArn!) };
}

suite('listeners', () => {
  test('are the same when asked for twice, one for each port, and take other actions', async (t) => {
    const lab = await startLab(t);
    const { loadBalancer, listener } = await build(lab);
    assert.equal(await createListener(lab, loadBalancer), listener);
    await assert.rejects(createListener(lab, loadBalancer, { DefaultActions: respond('503') }), {
      name: 'DuplicateListenerException',
    });
    const group = await createTargetGroup(lab, 'web');
    const { Listeners } = await lab.elb.send(
      new elb.ModifyListenerCommand({ ListenerArn: listener, Port: 8080, DefaultActions: forwardTo(group) }),
    );
    assert.equal(Listeners![0]!.Port, 8080);
    assert.deepEqual(Listeners![0]!.DefaultActions, [
      {
        Type: 'forward',
        TargetGroupArn: group,
        ForwardConfig: {
          TargetGroups: [{ TargetGroupArn: group, Weight: 1 }],
          TargetGroupStickinessConfig: { Enabled: false },
        },
      },
    ]);
    const { TargetGroups } = await lab.elb.send(
      new elb.DescribeTargetGroupsCommand({ LoadBalancerArn: loadBalancer }),
    );
    assert.deepEqual(
      TargetGroups!.map((found) => [found.TargetGroupArn, found.LoadBalancerArns]),
      [[group, [loadBalancer]]],
    );
  });

  test('forward to a target group of no other load balancer, of their VPC and a protocol that fits', async (t) => {
    const lab = await startLab(t);
    const { loadBalancer } = await build(lab);
    const other = await createLoadBalancer(lab, { Name: 'other' });
    const group = await createTargetGroup(lab, 'web');
    await createListener(lab, other.LoadBalancerArn!, { DefaultActions: forwardTo(group) });
    const listen = (arn: string) =>
      createListener(lab, loadBalancer, { Port: 81, DefaultActions: forwardTo(arn) });
    await assert.rejects(listen(group), { name: 'TargetGroupAssociationLimitException' });
    const flows = await createTargetGroup(lab, 'flows', { Protocol: 'TCP' });
    await assert.rejects(listen(flows), { name: 'IncompatibleProtocolsException' });
    await assert.rejects(listen(group.replace('web', 'none')), { name: 'TargetGroupNotFoundException' });
  });

  for (const [what, input, name] of [
    ['HTTPS without a certificate', { Protocol: 'HTTPS' as const }, 'ValidationError'],
    [
      'an unknown certificate',
      {
        Protocol: 'HTTPS' as const,
        Certificates: [{ CertificateArn: 'arn:aws:acm:us-east-1:1:certificate/x' }],
      },
      'CertificateNotFoundException',
    ],
    ['TCP', { Protocol: 'TCP' as const }, 'ValidationError'],
    ['port 0', { Port: 0 }, 'ValidationError'],
    [
      'a redirect to itself',
      {
        DefaultActions: [{ Type: 'redirect' as const, RedirectConfig: { StatusCode: 'HTTP_301' as const } }],
      },
      'InvalidLoadBalancerActionException',
    ],
    ['a response of 302', { DefaultActions: respond('302') }, 'ValidationError'],
    ['two actions', { DefaultActions: [...respond(), ...respond()] }, 'InvalidLoadBalancerActionException'],
  ] as const) {
    test(`with ${what} are refused: ${name}`, async (t) => {
      const lab = await startLab(t);
      const { loadBalancer } = await build(lab);
      await assert.rejects(createListener(lab, loadBalancer, { Port: 81, ...(input as object) }), { name });
    });
  }

  test('of network load balancers forward alone', async (t) => {
    const lab = await startLab(t);
    const { LoadBalancerArn } = await createLoadBalancer(lab, { Type: 'network' });
    const group = await createTargetGroup(lab, 'flows', { Protocol: 'TCP' });
    const listener = await createListener(lab, LoadBalancerArn!, {
      Protocol: 'TCP',
      DefaultActions: forwardTo(group),
    });
    await assert.rejects(createListener(lab, LoadBalancerArn!, { Protocol: 'TCP', Port: 81 }), {
      name: 'InvalidLoadBalancerActionException',
    });
    await assert.rejects(createRule(lab, listener, 1), { name: 'ValidationError' });
  });
});

suite('rules', () => {
  test('are told by priority, the default one last, and are told apart from it', async (t) => {
    const lab = await startLab(t);
    const { listener } = await build(lab);
    for (const priority of [20, 3, 100]) await createRule(lab, listener, priority);
    const rules = await rulesOf(lab, listener);
    assert.deepEqual(
      rules.map(({ Priority }) => Priority),
      ['3', '20', '100', 'default'],
    );
    assert.deepEqual(rules[0]!.Conditions, [
      { Field: 'path-pattern', Values: ['/3'], PathPatternConfig: { Values: ['/3'] } },
    ]);
    const last = rules.at(-1)!;
    assert.deepEqual([last.IsDefault, last.Conditions, last.Actions], [true, [], respond()]);
    await assert.rejects(lab.elb.send(new elb.DeleteRuleCommand({ RuleArn: last.RuleArn })), {
      name: 'OperationNotPermittedException',
    });
    const { Rules } = await lab.elb.send(new elb.DescribeRulesCommand({ RuleArns: [last.RuleArn!] }));
    assert.deepEqual(Rules, [last]);
    await lab.elb.send(new elb.DeleteRuleCommand({ RuleArn: rules[0]!.RuleArn }));
    assert.equal((await rulesOf(lab, listener)).length, 3);
  });

  test('swap priorities in one step, and never share one', async (t) => {
    const lab = await startLab(t);
    const { listener } = await build(lab);
    const [one, two] = [await createRule(lab, listener, 1), await createRule(lab, listener, 2)];
    await assert.rejects(createRule(lab, listener, 2), {
      name: 'PriorityInUseException',
      message: "Priority '2' is currently in use",
    });
    const set = (...priorities: [elb.Rule, number][]) =>
      lab.elb.send(
        new elb.SetRulePrioritiesCommand({
          RulePriorities: priorities.map(([{ RuleArn }, Priority]) => ({ RuleArn, Priority })),
        }),
      );
    await assert.rejects(set([one, 2]), { name: 'PriorityInUseException' });
    await set([one, 2], [two, 1]);
    assert.deepEqual(
      (await rulesOf(lab, listener)).slice(0, 2).map(({ RuleArn }) => RuleArn),
      [two.RuleArn, one.RuleArn],
    );
  });

  test('are 100 on a load balancer, over all its listeners', async (t) => {
    const lab = await startLab(t, { settings: { throttle: null } });
    const { loadBalancer, listener } = await build(lab);
    const second = await createListener(lab, loadBalancer, { Port: 81 });
    for (let priority = 1; priority <= 100; priority++) {
      await createRule(lab, priority % 2 ? listener : second, priority);
    }
    await assert.rejects(createRule(lab, listener, 101), { name: 'TooManyRulesException' });
  });

  test('forward by weights, redirect, and keep what a change does not name', async (t) => {
    const lab = await startLab(t);
    const { listener } = await build(lab);
    const [blue, green] = [await createTargetGroup(lab, 'blue'), await createTargetGroup(lab, 'green')];
    const ForwardConfig = {
      TargetGroups: [
        { TargetGroupArn: blue, Weight: 9 },
        { TargetGroupArn: green, Weight: 0 },
      ],
      TargetGroupStickinessConfig: { Enabled: true, DurationSeconds: 60 },
    };
    const rule = await createRule(lab, listener, 1, { Actions: [{ Type: 'forward', ForwardConfig }] });
    assert.deepEqual(rule.Actions, [{ Type: 'forward', ForwardConfig }]);
    const { Rules } = await lab.elb.send(
      new elb.ModifyRuleCommand({
        RuleArn: rule.RuleArn,
        Actions: [
          { Type: 'redirect', RedirectConfig: { Protocol: 'HTTPS', Port: '443', StatusCode: 'HTTP_301' } },
        ],
      }),
    );
    assert.deepEqual(Rules![0]!.Conditions, rule.Conditions);
    assert.deepEqual(Rules![0]!.Actions![0]!.RedirectConfig, {
      Protocol: 'HTTPS',
      Port: '443',
      Host: '#{host}',
      Path: '/#{path}',
      Query: '#{query}',
      StatusCode: 'HTTP_301',
    });
    await lab.elb.send(new elb.DeleteTargetGroupCommand({ TargetGroupArn: blue }));
  });

  for (const [what, Conditions] of [
    ['none', []],
    ['six values', path('/1', '/2', '/3', '/4', '/5', '/6')],
    ['seven wildcards', path('/*/*/*/*', '/*/*/*')],
    ['a field twice', [...path('/1'), ...path('/2')]],
    ['an unknown field', [{ Field: 'colour', Values: ['red'] }]],
    ['a block that is none', [{ Field: 'source-ip', SourceIpConfig: { Values: ['10.0.0.0/40'] } }]],
    [
      'the Host header',
      [{ Field: 'http-header', HttpHeaderConfig: { HttpHeaderName: 'Host', Values: ['a'] } }],
    ],
    ['a path of 129 characters', path(`/${'a'.repeat(128)}`)],
    ['an empty query value', [{ Field: 'query-string', QueryStringConfig: { Values: [{ Key: 'a' }] } }]],
  ] as const) {
    test(`with these conditions are refused: ${what}`, async (t) => {
      const lab = await startLab(t);
      const { listener } = await build(lab);
      const refused = createRule(lab, listener, 1, {
        Conditions: Conditions as unknown as elb.RuleCondition[],
      });
      await assert.rejects(refused, { name: /^(ValidationError|InvalidConfigurationRequestException)$/ });
    });
  }

  test('have conditions of all kinds, as they were given', async (t) => {
    const lab = await startLab(t);
    const { listener } = await build(lab);
    const { Conditions } = await createRule(lab, listener, 1, {
      Conditions: [
        { Field: 'host-header', Values: ['*.example.com'] },
        { Field: 'http-header', HttpHeaderConfig: { HttpHeaderName: 'X-Canary', Values: ['yes'] } },
        { Field: 'query-string', QueryStringConfig: { Values: [{ Key: 'v', Value: '2' }] } },
        { Field: 'http-request-method', HttpRequestMethodConfig: { Values: ['GET'] } },
        { Field: 'source-ip', SourceIpConfig: { Values: ['198.51.100.0/24'] } },
      ],
    });
    assert.equal(Conditions!.length, 5);
    assert.deepEqual(Conditions![0], {
      Field: 'host-header',
      Values: ['*.example.com'],
      HostHeaderConfig: { Values: ['*.example.com'] },
    });
  });
});

suite('tags', () => {
  test('are put on, told and taken away together', async (t) => {
    const lab = await startLab(t);
    const { loadBalancer, listener } = await build(lab);
    const rule = (await createRule(lab, listener, 1)).RuleArn!;
    const ResourceArns = [loadBalancer, listener, rule];
    await lab.elb.send(
      new elb.AddTagsCommand({
        ResourceArns,
        Tags: [
          { Key: 'a', Value: '1' },
          { Key: 'b', Value: '' },
        ],
      }),
    );
    await lab.elb.send(new elb.RemoveTagsCommand({ ResourceArns: [rule], TagKeys: ['a'] }));
    const { TagDescriptions } = await lab.elb.send(new elb.DescribeTagsCommand({ ResourceArns }));
    const both = [
      { Key: 'a', Value: '1' },
      { Key: 'b', Value: '' },
    ];
    assert.deepEqual(
      TagDescriptions!.map(({ ResourceArn, Tags }) => [ResourceArn, Tags]),
      [
        [loadBalancer, both],
        [listener, both],
        [rule, both.slice(1)],
      ],
    );
    await assert.rejects(lab.elb.send(new elb.DescribeTagsCommand({ ResourceArns: [`${rule}0`] })), {
      name: 'RuleNotFoundException',
    });
    const many = Array.from({ length: 50 }, (_, index) => ({ Key: `k${index}`, Value: '' }));
    await assert.rejects(lab.elb.send(new elb.AddTagsCommand({ ResourceArns: [rule], Tags: many })), {
      name: 'TooManyTagsException',
    });
  });
});
