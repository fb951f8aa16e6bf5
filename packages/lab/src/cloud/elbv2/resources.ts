/** The resources of ELBv2 by their ARNs. */
import type { Draft } from 'immer';
import { AwsError } from '../errors.ts';
import type { Context } from '../operation.ts';
import type { CloudState } from '../state.ts';
import type { LoadBalancer, LoadBalancingState, TargetGroup } from './state.ts';

const KINDS = {
  loadBalancer: { collection: 'loadBalancers', code: 'LoadBalancerNotFound', noun: 'Load balancer' },
  listener: { collection: 'listeners', code: 'ListenerNotFound', noun: 'Listener' },
  rule: { collection: 'rules', code: 'RuleNotFound', noun: 'Rule' },
  targetGroup: { collection: 'targetGroups', code: 'TargetGroupNotFound', noun: 'Target group' },
} as const;

type Kind = keyof typeof KINDS;
type ResourceOf<K extends Kind> = Draft<LoadBalancingState>[(typeof KINDS)[K]['collection']][string];

/**
 * The resource of an ARN.
 * @throws {AwsError} the kind's NotFound.
 */
export function find<K extends Kind>(state: Draft<CloudState>, kind: K, arn: string): ResourceOf<K> {
  const { collection, code, noun } = KINDS[kind];
  const found = (state[collection] as Record<string, ResourceOf<K>>)[arn];
  if (found) return found;
  throw new AwsError(
    code,
    kind === 'targetGroup' ? 'One or more target groups not found' : `${noun} '${arn}' not found`,
  );
}

/** `arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/…`. */
export function elbArn({ region, accountId }: CloudState, resource: string): string {
  return `arn:aws:elasticloadbalancing:${region}:${accountId}:${resource}`;
}

/** The last part of a new ARN: 16 hexadecimal digits. */
export function newElbId(context: Context): string {
  return context.newId('elb').slice('elb-'.length, 'elb-'.length + 16);
}

/** `app/name/0123456789abcdef`: what the ARNs of all that belongs to a load balancer have in them. */
export function pathOf({ type, name, id }: Pick<LoadBalancer, 'type' | 'name' | 'id'>): string {
  return `${type === 'application' ? 'app' : 'net'}/${name}/${id}`;
}

/** The ARN of a listener's default rule: listeners have one each, so that its id can be the listener's own. */
export function defaultRuleArn(listenerArn: string): string {
  return `${listenerArn.replace(':listener/', ':listener-rule/')}/${listenerArn.split('/').at(-1)}`;
}

export const listenersOf = (state: CloudState, loadBalancerArn: string) =>
  Object.values(state.listeners).filter((listener) => listener.loadBalancerArn === loadBalancerArn);

/** A listener's rules by priority, without the default rule. */
export const rulesOf = (state: CloudState, listenerArn: string) =>
  Object.values(state.rules)
    .filter((rule) => rule.listenerArn === listenerArn)
    .sort((a, b) => a.priority - b.priority);

/** The target groups that actions forward to. */
export const targetGroupsOf = (
  actions: readonly {
    readonly ForwardConfig?:
      | { readonly TargetGroups?: readonly { readonly TargetGroupArn?: string | undefined }[] | undefined }
      | undefined;
  }[],
): string[] =>
  actions.flatMap(({ ForwardConfig }) =>
    (ForwardConfig?.TargetGroups ?? []).flatMap(({ TargetGroupArn }) => TargetGroupArn ?? []),
  );

/** The target groups of a load balancer, in all its actions. */
export function targetGroupsUsedBy(state: CloudState, loadBalancerArn: string): Set<string> {
  const listeners = listenersOf(state, loadBalancerArn);
  return new Set(
    listeners.flatMap(({ arn, defaultActions }) => [
      ...targetGroupsOf(defaultActions),
      ...rulesOf(state, arn).flatMap(({ actions }) => targetGroupsOf(actions)),
    ]),
  );
}

/** By target group, the load balancer that uses it: a target group has at most one. */
export function usersOfTargetGroups(state: CloudState): Map<string, string> {
  const users = new Map<string, string>();
  for (const { arn, loadBalancerArn, defaultActions } of Object.values(state.listeners)) {
    for (const group of targetGroupsOf(defaultActions)) users.set(group, loadBalancerArn);
    for (const { listenerArn, actions } of Object.values(state.rules)) {
      if (listenerArn === arn) for (const group of targetGroupsOf(actions)) users.set(group, loadBalancerArn);
    }
  }
  return users;
}

/** The load balancer that a target group works for, if it works for one. */
export function userOf(state: CloudState, { arn }: Pick<TargetGroup, 'arn'>): LoadBalancer | undefined {
  return state.loadBalancers[usersOfTargetGroups(state).get(arn) ?? ''];
}
