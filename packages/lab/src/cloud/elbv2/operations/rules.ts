import type { Action, Rule as ElbRule } from '@aws-sdk/client-elastic-load-balancing-v2';
import { AwsError } from '../../errors.ts';
import type { CloudState } from '../../state.ts';
import { readActions } from '../actions.ts';
import { readConditions } from '../conditions.ts';
import { checkRange, invalid, type Operations, page } from '../operation.ts';
import { defaultRuleArn, elbArn, find, listenersOf, newElbId, rulesOf } from '../resources.ts';
import type { Listener, Rule } from '../state.ts';
import { addTags } from '../tags.ts';

const MOST = 50_000;

const describe = (rule: Rule): ElbRule => ({
  RuleArn: rule.arn,
  Priority: String(rule.priority),
  Conditions: rule.conditions.map((condition) => ({ ...condition })),
  Actions: rule.actions.map((action) => ({ ...action })),
  IsDefault: false,
});

const describeDefault = (listener: Listener): ElbRule => ({
  RuleArn: defaultRuleArn(listener.arn),
  Priority: 'default',
  Conditions: [],
  Actions: listener.defaultActions.map((action) => ({ ...action })),
  IsDefault: true,
});

/** The listener that has a default rule of this ARN. */
const listenerOfDefault = (state: CloudState, arn: string): Listener | undefined =>
  Object.values(state.listeners).find((listener) => defaultRuleArn(listener.arn) === arn);

const inUse = (priority: number) =>
  new AwsError('PriorityInUse', `Priority '${priority}' is currently in use`);

/** Pages go by priority, the default rule being the last. */
const keyOf = ({ RuleArn, Priority }: ElbRule): string =>
  `${Priority === 'default' ? 'z' : Priority!.padStart(5, '0')} ${RuleArn}`;

export const operations: Operations = {
  CreateRule(input, context) {
    const { state, quotas } = context;
    const listener = find(state, 'listener', input.ListenerArn);
    const loadBalancer = find(state, 'loadBalancer', listener.loadBalancerArn);
    if (loadBalancer.type === 'network') throw invalid('Rules are of Application Load Balancers');
    if (input.Transforms?.length) {
      throw new AwsError('InvalidConfigurationRequest', 'The lab has no transforms of rules');
    }
    const priority = checkRange(input.Priority, 1, MOST, 'Rule priority');
    const conditions = readConditions(context, input.Conditions);
    const actions = readActions(context, loadBalancer, listener.protocol, input.Actions);
    if (rulesOf(state, listener.arn).some((other) => other.priority === priority)) throw inUse(priority);
    const count = listenersOf(state, loadBalancer.arn).reduce(
      (sum, { arn }) => sum + rulesOf(state, arn).length,
      0,
    );
    if (count >= quotas.rulesPerLoadBalancer) {
      throw new AwsError(
        'TooManyRules',
        `A load balancer has at most ${quotas.rulesPerLoadBalancer} rules: '${loadBalancer.arn}'`,
      );
    }
    const path = listener.arn.split(':listener/')[1];
    const arn = elbArn(state, `listener-rule/${path}/${newElbId(context)}`);
    const tags = addTags(quotas, {}, input.Tags);
    state.rules[arn] = { arn, listenerArn: listener.arn, priority, conditions, actions, tags };
    return { Rules: [describe(state.rules[arn])] };
  },

  DescribeRules(input, { state }) {
    const { ListenerArn, RuleArns } = input;
    if (Boolean(ListenerArn) === Boolean(RuleArns?.length)) {
      throw invalid('You must specify either listener rule ARNs or a listener ARN');
    }
    const all = (): ElbRule[] => {
      const listener = find(state, 'listener', ListenerArn!) as Listener;
      return [...rulesOf(state, listener.arn).map(describe), describeDefault(listener)];
    };
    const named = (arn: string): ElbRule => {
      const listener = listenerOfDefault(state, arn);
      return listener ? describeDefault(listener) : describe(find(state, 'rule', arn) as Rule);
    };
    const { items, next } = page(ListenerArn ? all() : RuleArns!.map(named), keyOf, input);
    return { Rules: items, ...next };
  },

  ModifyRule(input, context) {
    const { state } = context;
    const ofDefault = listenerOfDefault(state, input.RuleArn);
    if (ofDefault) {
      throw new AwsError(
        'OperationNotPermitted',
        `Default rule '${input.RuleArn}' cannot be modified: modify its listener`,
      );
    }
    const rule = find(state, 'rule', input.RuleArn);
    const listener = find(state, 'listener', rule.listenerArn);
    const loadBalancer = find(state, 'loadBalancer', listener.loadBalancerArn);
    if (input.Transforms?.length) {
      throw new AwsError('InvalidConfigurationRequest', 'The lab has no transforms of rules');
    }
    const actions = input.Actions ?? (rule.actions as Action[]);
    if (input.Conditions) rule.conditions = readConditions(context, input.Conditions);
    rule.actions = readActions(context, loadBalancer, listener.protocol, actions);
    return { Rules: [describe(rule as Rule)] };
  },

  SetRulePriorities({ RulePriorities }, { state }) {
    const changed = RulePriorities.map(({ RuleArn = '', Priority = 0 }) => {
      if (listenerOfDefault(state, RuleArn)) {
        throw new AwsError('OperationNotPermitted', `Default rule '${RuleArn}' has no priority`);
      }
      const rule = find(state, 'rule', RuleArn);
      rule.priority = checkRange(Priority, 1, MOST, 'Rule priority');
      return rule;
    });
    for (const { listenerArn } of changed) {
      const priorities = rulesOf(state, listenerArn).map(({ priority }) => priority);
      const twice = priorities.find((priority, index) => priority === priorities[index - 1]);
      if (twice !== undefined) throw inUse(twice);
    }
    return { Rules: changed.map((rule) => describe(rule as Rule)) };
  },

  DeleteRule({ RuleArn }, { state }) {
    if (listenerOfDefault(state, RuleArn)) {
      throw new AwsError('OperationNotPermitted', `Default rule '${RuleArn}' cannot be deleted`);
    }
    delete state.rules[find(state, 'rule', RuleArn).arn];
    return {};
  },
};
