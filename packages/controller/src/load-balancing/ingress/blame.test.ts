import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AwsError } from '../aws/error.ts';
import type { Change } from '../deploy/changes.ts';
import type { ListenerSpec, Stack } from '../model/stack.ts';
import { RefusedByAws } from './blame.ts';
import { certificate, ingress, service, world } from './ingress.fixture.ts';
import { stackOfGroup } from './stack-of-group.ts';

const FRONT = { kind: 'ingress', group: 'front' } as const;
const THEIRS = 'arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/theirs/1';
const [one, two] = [certificate('one', ['one.example.com']), certificate('two', ['two.example.com'])];

const refusal = (code: string, message = '') =>
  new AwsError({ name: code, message, $metadata: { httpStatusCode: 400 } }, 'SomeCall');

/** A group of three, of which the last is the youngest. */
async function group() {
  const of = (name: string, day: number, annotations: Record<string, string>, backend = 'web:80') =>
    ingress(`shop/${name}`, {
      annotations: {
        'group.name': 'front',
        'listen-ports': '[{"HTTP": 80}, {"HTTPS": 443}]',
        ...annotations,
      },
      rules: { [`${name}.example.com`]: [`/ ${backend}`] },
      metadata: { creationTimestamp: `2026-01-0${day}T00:00:00Z` },
    });
  const forward = JSON.stringify({ type: 'forward', targetGroupARN: THEIRS });
  const ingresses = [
    of('old', 1, {
      'certificate-arn': one.arn,
      'ssl-policy': 'ELBSecurityPolicy-Odd',
      'load-balancer-attributes': 'old.key=1,both.key=1',
      'listener-attributes.HTTPS-443': 'old.listener=1',
    }),
    of(
      'middle',
      2,
      {
        'certificate-arn': two.arn,
        'actions.out': forward,
        'load-balancer-attributes': 'both.key=1',
        'security-group-prefix-lists': 'pl-1',
      },
      'out:use-annotation',
    ),
    of('young', 3, { 'certificate-arn': one.arn, 'load-balancer-name': 'front' }),
  ];
  const made = await stackOfGroup(
    FRONT,
    world({ ingresses, services: [service('shop/web')], account: { certificates: [one, two] } }),
  );
  assert.deepEqual(made.problems, []);
  return made;
}

type Case = readonly [
  what: string,
  change: (stack: Stack) => Change,
  error: AwsError,
  whose: string | undefined,
];

const https = ({ loadBalancer }: Stack): ListenerSpec =>
  loadBalancer!.listeners.find(({ port }) => port === 443)!;
const ruleOf = (stack: Stack, name: string): Change => {
  const spec = https(stack).rules.find(({ conditions }) => JSON.stringify(conditions).includes(name))!;
  return { call: 'CreateRule', port: 443, priority: 1, spec, tags: {} };
};
const groupOf = ({ targetGroups }: Stack, name: string): Change => ({
  call: 'ModifyTargetGroupAttributes',
  spec: targetGroups.find(({ id }) => id.startsWith(`shop/${name}-`))!,
  attributes: { foo: 'bar' },
});
const listener = (stack: Stack): Change => ({ call: 'CreateListener', spec: https(stack), tags: {} });
const attributes = (...keys: string[]) => Object.fromEntries(keys.map((key) => [key, '1']));
const wrong = refusal('InvalidConfigurationRequest');

const CASES: readonly Case[] = [
  ['a target group is of one Ingress', (stack) => groupOf(stack, 'old'), wrong, 'old'],
  [
    "one that is gone is nobody's fault",
    (stack) => groupOf(stack, 'old'),
    refusal('TargetGroupNotFound'),
    undefined,
  ],
  ['a rule is of one Ingress', (stack) => ruleOf(stack, 'young'), wrong, 'young'],
  ['so is what it leads to', (stack) => ruleOf(stack, 'middle'), refusal('TargetGroupNotFound'), 'middle'],
  [
    "but not what is the stack's",
    (stack) => ruleOf(stack, 'young'),
    refusal('TargetGroupNotFound'),
    undefined,
  ],
  [
    'so is what it shares with others',
    (stack) => ruleOf(stack, 'middle'),
    refusal('TargetGroupAssociationLimit'),
    'middle',
  ],
  [
    'but not what another load balancer of the stack has had',
    (stack) => ruleOf(stack, 'young'),
    refusal('TargetGroupAssociationLimit'),
    undefined,
  ],
  ['a listener by what AWS names', listener, refusal('SSLPolicyNotFound', "'ELBSecurityPolicy-Odd'"), 'old'],
  ['a listener by nothing', listener, refusal('TooManyListeners'), undefined],
  [
    'its certificate is of who names it',
    listener,
    refusal('CertificateNotFound', `Certificate '${two.arn}' not found`),
    'middle',
  ],
  [
    'a certificate is of the youngest that names it',
    () => ({ call: 'AddListenerCertificates', port: 443, certificate: one.arn }),
    refusal('UnsupportedCertificate'),
    'young',
  ],
  [
    'an attribute of a listener',
    () => ({ call: 'ModifyListenerAttributes', port: 443, attributes: attributes('old.listener') }),
    wrong,
    'old',
  ],
  [
    'one of several attributes',
    () => ({ call: 'ModifyLoadBalancerAttributes', attributes: attributes('old.key', 'both.key') }),
    refusal('InvalidConfigurationRequest', "key 'old.key' is not recognized"),
    'old',
  ],
  [
    'an attribute that several ask for is of the youngest of them',
    () => ({ call: 'ModifyLoadBalancerAttributes', attributes: attributes('both.key') }),
    wrong,
    'middle',
  ],
  [
    'a name',
    ({ loadBalancer }) => ({ call: 'CreateLoadBalancer', spec: loadBalancer!, tags: {} }),
    refusal('ValidationError', "The load balancer name 'front' is reserved"),
    'young',
  ],
  [
    "a load balancer too many is nobody's fault",
    ({ loadBalancer }) => ({ call: 'CreateLoadBalancer', spec: loadBalancer!, tags: {} }),
    refusal('TooManyLoadBalancers'),
    undefined,
  ],
  [
    'a prefix list',
    ({ securityGroup }) => ({ call: 'AuthorizeSecurityGroupIngress', rules: securityGroup!.ingress }),
    refusal('InvalidPrefixListID.NotFound', "The prefix list ID 'pl-1' does not exist"),
    'middle',
  ],
  [
    'what nobody has said',
    () => ({ call: 'DeleteRule', port: 443, arn: 'rule', priority: 1 }),
    refusal('OperationNotPermitted'),
    undefined,
  ],
];

describe('what AWS refuses to a group is of the Ingress that asks for it', () => {
  for (const [what, change, error, whose] of CASES)
    it(what, async () => {
      const { stack, blame } = await group();
      assert.equal(blame!(change(stack!), error)?.metadata?.name, whose);
    });

  it('and the group is as if it were not there, with its problem', async () => {
    const change = { call: 'DeleteRule', port: 443, arn: 'rule', priority: 1 } as const;
    const refused = new RefusedByAws('Ingress shop/middle', change, wrong);
    const ingresses = [...(await group()).members];
    const { members, problems, stack } = await stackOfGroup(
      FRONT,
      world({ ingresses, services: [service('shop/web')], account: { certificates: [one] } }),
      new Map([['shop/middle', refused]]),
    );
    assert.deepEqual(
      members.map(({ metadata }) => metadata?.name),
      ['old', 'young'],
    );
    assert.deepEqual(
      problems.map(({ ingress, error }) => [ingress.metadata?.name, error]),
      [['middle', refused]],
    );
    assert.equal(https(stack!).rules.length, 2);
  });

  it('but not what AWS would do a moment later', () => {
    for (const code of [
      'Throttling',
      'PriorityInUse',
      'ResourceInUse',
      'DuplicateListener',
      'InvalidPermission.Duplicate',
    ])
      assert.equal(refusal(code).isRefusal, false, code);
    assert.equal(wrong.isRefusal, true);
    const failed = { name: 'InternalFailure', message: '', $metadata: { httpStatusCode: 500 } };
    assert.equal(new AwsError(failed, 'SomeCall').isRefusal, false);
    assert.equal(new AwsError(new Error('socket hang up'), 'SomeCall').isRefusal, false);
  });
});
