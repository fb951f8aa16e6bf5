import type { Action, RedirectActionConfig } from '@aws-sdk/client-elastic-load-balancing-v2';
import { AwsError } from '../errors.ts';
import type { Context } from '../operation.ts';
import { checkOneOf, checkRange, invalid, required } from './operation.ts';
import { find, targetGroupsOf, targetGroupsUsedBy, usersOfTargetGroups } from './resources.ts';
import type { ListenerProtocol, LoadBalancer, TargetGroupProtocol } from './state.ts';

/** The protocols of target groups that listeners of a protocol forward to. */
const COMPATIBLE: Readonly<Record<ListenerProtocol, readonly TargetGroupProtocol[]>> = {
  HTTP: ['HTTP', 'HTTPS'],
  HTTPS: ['HTTP', 'HTTPS'],
  TCP: ['TCP', 'TCP_UDP'],
  TLS: ['TCP', 'TLS'],
  UDP: ['UDP', 'TCP_UDP'],
  TCP_UDP: ['TCP_UDP'],
};

const CONTENT_TYPES = [
  'text/plain',
  'text/css',
  'text/html',
  'application/javascript',
  'application/json',
] as const;

const badAction = (message: string) => new AwsError('InvalidLoadBalancerAction', message);

function readForward(
  { TargetGroupArn, ForwardConfig }: Action,
  type: LoadBalancer['type'],
  quota: number,
): Action {
  const listed = ForwardConfig?.TargetGroups ?? [];
  if (TargetGroupArn !== undefined && listed.length > 0) {
    if (listed.length > 1 || listed[0]?.TargetGroupArn !== TargetGroupArn) {
      throw badAction(
        'You can specify a target group ARN, or a forward config, but not both with different values',
      );
    }
  }
  const groups = listed.length > 0 ? listed : [{ TargetGroupArn, Weight: 1 }];
  if (groups.length > quota) throw badAction(`A forward action has at most ${quota} target groups`);
  const tuples = groups.map(({ TargetGroupArn: arn, Weight = 1 }) => ({
    TargetGroupArn: required(arn, 'The target group ARN of a forward action'),
    Weight: checkRange(Weight, 0, 999, 'Target group weight'),
  }));
  if (new Set(tuples.map((tuple) => tuple.TargetGroupArn)).size < tuples.length) {
    throw badAction('A target group can be listed once in a forward action');
  }
  const { Enabled = false, DurationSeconds } = ForwardConfig?.TargetGroupStickinessConfig ?? {};
  if (Enabled && type === 'network')
    throw badAction('Target group stickiness is of Application Load Balancers');
  const sticky = Enabled && {
    DurationSeconds: checkRange(required(DurationSeconds, 'DurationSeconds'), 1, 604_800, 'DurationSeconds'),
  };
  return {
    Type: 'forward',
    ...(tuples.length === 1 && { TargetGroupArn: tuples[0]!.TargetGroupArn }),
    ForwardConfig: {
      TargetGroups: tuples,
      ...(type === 'application' && { TargetGroupStickinessConfig: { Enabled, ...sticky } }),
    },
  };
}

function readRedirect(config: RedirectActionConfig | undefined): Action {
  const given = required(config, 'RedirectConfig');
  const redirect = {
    Protocol: given.Protocol ?? '#{protocol}',
    Port: given.Port ?? '#{port}',
    Host: given.Host ?? '#{host}',
    Path: given.Path ?? '/#{path}',
    Query: given.Query ?? '#{query}',
    StatusCode: checkOneOf(
      required(given.StatusCode, 'RedirectConfig.StatusCode'),
      ['HTTP_301', 'HTTP_302'],
      'Redirect status code',
    ),
  };
  checkOneOf(redirect.Protocol, ['HTTP', 'HTTPS', '#{protocol}'], 'Redirect protocol');
  if (!redirect.Path.startsWith('/'))
    throw badAction(`The redirect path '${redirect.Path}' must begin with '/'`);
  if (redirect.Port !== '#{port}') checkRange(Number(redirect.Port), 1, 65_535, 'Redirect port');
  const leavesAll =
    redirect.Protocol === '#{protocol}' &&
    redirect.Port === '#{port}' &&
    redirect.Host === '#{host}' &&
    redirect.Path === '/#{path}';
  if (leavesAll) {
    throw badAction('The redirect configuration is not valid because it creates a loop.');
  }
  return { Type: 'redirect', RedirectConfig: redirect };
}

function readFixedResponse({ FixedResponseConfig }: Action): Action {
  const { StatusCode, ContentType, MessageBody } = required(FixedResponseConfig, 'FixedResponseConfig');
  if (!/^[245]\d\d$/.test(StatusCode ?? '')) {
    throw invalid(`Fixed response status code '${StatusCode}' must be 2XX, 4XX or 5XX`);
  }
  if (ContentType) checkOneOf(ContentType, CONTENT_TYPES, 'Fixed response content type');
  if ((MessageBody?.length ?? 0) > 1024) throw invalid('A fixed response has at most 1024 characters');
  return {
    Type: 'fixed-response',
    FixedResponseConfig: {
      StatusCode,
      ...(ContentType && { ContentType }),
      ...(MessageBody && { MessageBody }),
    },
  };
}

/**
 * Checks the actions of a listener or a rule, and completes them with AWS's defaults.
 * @returns one action: the others that AWS has (authentication) come before one, and the lab has not.
 * @throws {AwsError} for actions that AWS refuses, TargetGroupNotFound, TargetGroupAssociationLimit for a target group
 * that works for another load balancer, TooManyUniqueTargetGroupsPerLoadBalancer.
 */
export function readActions(
  context: Context,
  loadBalancer: LoadBalancer,
  protocol: ListenerProtocol,
  actions: readonly Action[] | undefined,
): Action[] {
  const { state, quotas } = context;
  if (!actions?.length) throw invalid('A listener action must be specified');
  const foreign = actions.find(({ Type }) => !/^(forward|redirect|fixed-response)$/.test(Type ?? ''));
  if (foreign) throw badAction(`The lab has no action of type '${foreign.Type}'`);
  if (actions.length > 1) {
    throw badAction(
      'An action of type forward, redirect or fixed-response must be the last, and the only one',
    );
  }
  const [action] = actions as [Action];
  if (loadBalancer.type === 'network' && action.Type !== 'forward') {
    throw badAction(`Listeners of Network Load Balancers take forward actions, not '${action.Type}'`);
  }
  const read =
    action.Type === 'forward'
      ? readForward(
          action,
          loadBalancer.type,
          loadBalancer.type === 'application'
            ? quotas.targetGroupsPerAction
            : quotas.targetGroupsPerFlowAction,
        )
      : action.Type === 'redirect'
        ? readRedirect(action.RedirectConfig)
        : readFixedResponse(action);

  const users = usersOfTargetGroups(state);
  const arns = targetGroupsOf([read]);
  for (const arn of arns) {
    const group = find(state, 'targetGroup', arn);
    if (!COMPATIBLE[protocol].includes(group.protocol)) {
      throw new AwsError(
        'IncompatibleProtocols',
        `The listener protocol '${protocol}' and the protocol '${group.protocol}' of target group '${arn}' do not go together`,
      );
    }
    if (group.vpcId !== loadBalancer.vpcId) {
      throw new AwsError(
        'InvalidConfigurationRequest',
        `The target group '${arn}' is in ${group.vpcId}, the load balancer '${loadBalancer.arn}' in ${loadBalancer.vpcId}`,
      );
    }
    if ((users.get(arn) ?? loadBalancer.arn) !== loadBalancer.arn) {
      throw new AwsError(
        'TargetGroupAssociationLimit',
        `The following target groups cannot be associated with more than one load balancer: ${arn}`,
      );
    }
  }
  const used = targetGroupsUsedBy(state, loadBalancer.arn);
  for (const arn of arns) used.add(arn);
  if (used.size > quotas.targetGroupsPerLoadBalancer) {
    throw new AwsError(
      'TooManyUniqueTargetGroupsPerLoadBalancer',
      `A load balancer has at most ${quotas.targetGroupsPerLoadBalancer} target groups`,
    );
  }
  return [{ ...read, ...(action.Order !== undefined && { Order: action.Order }) }];
}
