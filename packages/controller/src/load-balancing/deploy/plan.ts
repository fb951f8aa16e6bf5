/** What must be changed so that what there is becomes what is wanted. */

import { ingressRuleKey } from '../aws/ingress-rules.ts';
import { DELETION_PROTECTION } from '../deletion-protection.ts';
import { InvalidObject } from '../model/errors.ts';
import { identifyingTags, RESOURCE, stackName } from '../model/identity.ts';
import type {
  ActionSpec,
  ListenerSpec,
  LoadBalancerSpec,
  SecurityGroupRef,
  Stack,
  StackId,
  SubnetSpec,
  Tags,
  TargetGroupSpec,
} from '../model/stack.ts';
import { backendGroup } from './backend-group.ts';
import { actionsKey, bindingKey, isSameHealthCheck, isSameSet, missing } from './canonical.ts';
import type { Change, Tagged } from './changes.ts';
import type { Existing, ExistingListener, ExistingLoadBalancer } from './existing.ts';
import {
  listenerOf,
  loadBalancerOf,
  managedGroupOf,
  type References,
  references,
  targetGroupOf,
} from './match.ts';
import { planRules } from './plan-rules.ts';
import { retag } from './plan-tags.ts';

export type PlanContext = {
  readonly clusterName: string;
  /** Keys of tags that others manage: they are neither changed nor taken away. */
  readonly externalTags?: readonly string[];
  /** How many rules a load balancer may have; AWS's quota unless it was raised. */
  readonly mostRules?: number;
};

const MOST_RULES = 100;

/** `Service shop/web`, `Ingress shop/web`, `Ingress group front`: for messages. */
export function stackInWords(id: StackId): string {
  if ('group' in id) return `Ingress group ${id.group}`;
  return `${id.kind === 'service' ? 'Service' : 'Ingress'} ${stackName(id)}`;
}

/**
 * The changes, in an order in which all that one refers to is there before it, and nothing goes that is still in use.
 * A load balancer that AWS cannot change into the one that is wanted is replaced.
 * @throws {InvalidObject} when a load balancer must go that is protected from that.
 */
export function plan(stack: Stack, existing: Existing, context: PlanContext): Change[] {
  return [...new Planner(stack, existing, context).changes()];
}

class Planner {
  readonly #stack: Stack;
  readonly #existing: Existing;
  readonly #context: PlanContext;
  readonly #references: References;
  readonly #loadBalancer: ExistingLoadBalancer | undefined;
  /** Those that nothing has needed yet. */
  readonly #pending: Map<string, TargetGroupSpec>;

  constructor(stack: Stack, existing: Existing, context: PlanContext) {
    this.#stack = stack;
    this.#existing = existing;
    this.#context = context;
    this.#references = references(stack, existing);
    this.#loadBalancer = loadBalancerOf(existing, stack.loadBalancer);
    this.#pending = new Map(stack.targetGroups.map((group) => [group.id, group]));
  }

  *changes(): Generator<Change> {
    const { loadBalancer } = this.#stack;
    yield* this.#obsoleteLoadBalancers();
    yield* this.#securityGroup();
    yield* this.#backendGroup();
    if (loadBalancer) {
      yield* this.#ensureLoadBalancer(loadBalancer);
      yield* this.#listeners(loadBalancer);
    }
    for (const group of this.#pending.values()) yield* this.#targetGroup(group);
    yield* this.#obsolete();
  }

  /** A target group works for one load balancer: the old one goes before the new one can have its own. */
  *#obsoleteLoadBalancers(): Generator<Change> {
    for (const loadBalancer of this.#existing.loadBalancers) {
      const { arn, name, attributes } = loadBalancer;
      if (loadBalancer === this.#loadBalancer) continue;
      if (attributes[DELETION_PROTECTION] === 'true' && this.#liftsProtection) {
        yield { call: 'ModifyLoadBalancerAttributes', arn, attributes: { [DELETION_PROTECTION]: 'false' } };
      } else if (attributes[DELETION_PROTECTION] === 'true') {
        const replaced = this.#stack.loadBalancer ? 'would have to be replaced' : 'is to be deleted';
        throw new InvalidObject(
          stackInWords(this.#stack.id),
          `its load balancer ${name} ${replaced}, and is protected from deletion: aws elbv2 modify-load-balancer-attributes ` +
            `--load-balancer-arn ${arn} --attributes Key=deletion_protection.enabled,Value=false`,
        );
      }
      yield { call: 'DeleteLoadBalancer', arn, name };
    }
  }

  /** Whether the owner says that what it has need not be protected from deletion, which AWS is to know before. */
  get #liftsProtection(): boolean {
    const { loadBalancer, liftsProtection = false } = this.#stack;
    return loadBalancer ? loadBalancer.attributes[DELETION_PROTECTION] === 'false' : liftsProtection;
  }

  *#securityGroup(): Generator<Change> {
    const spec = this.#stack.securityGroup;
    if (!spec) return;
    const tags = this.#tags(RESOURCE.securityGroup, spec.tags);
    const found = managedGroupOf(this.#existing, this.#stack);
    if (!found) {
      yield { call: 'CreateSecurityGroup', group: 'managed', spec, tags };
    }
    const known = new Set(found?.ingress.map(ingressRuleKey));
    const rules = spec.ingress.filter((rule) => !known.has(ingressRuleKey(rule)));
    if (rules.length > 0) yield { call: 'AuthorizeSecurityGroupIngress', rules };
    if (found) yield* this.#retag('security group', found.id, tags, found.tags);
  }

  *#backendGroup(): Generator<Change> {
    if (!usesBackend(this.#stack) || this.#existing.backendSecurityGroup) return;
    const { clusterName } = this.#context;
    yield { call: 'CreateSecurityGroup', group: 'backend', ...backendGroup(clusterName) };
  }

  *#targetGroup(spec: TargetGroupSpec): Generator<Change> {
    if (!this.#pending.delete(spec.id)) return;
    const tags = this.#tags(spec.id, spec.tags);
    const found = targetGroupOf(this.#existing, spec);
    if (!found) yield { call: 'CreateTargetGroup', spec, tags };
    else if (!isSameHealthCheck(spec.healthCheck, found.healthCheck))
      yield { call: 'ModifyTargetGroup', spec, healthCheck: spec.healthCheck };
    const attributes = missing(spec.attributes, found?.attributes ?? {});
    if (Object.keys(attributes).length > 0) yield { call: 'ModifyTargetGroupAttributes', spec, attributes };
    if (found) yield* this.#retag('target group', found.arn, tags, found.tags);
    yield* this.#binding(spec, found);
  }

  *#binding(group: TargetGroupSpec, found: { name: string; arn: string } | undefined): Generator<Change> {
    const spec = group.binding;
    const { namespace } = spec;
    const name = found?.name ?? group.name;
    const old = this.#existing.bindings.find(
      (binding) => binding.namespace === namespace && binding.name === name,
    );
    // What a binding is for cannot be changed.
    const isStale = old && old.targetGroupArn !== found?.arn;
    if (isStale) yield { call: 'DeleteTargetGroupBindings', bindings: [old] };
    if (!old || isStale) yield { call: 'CreateTargetGroupBinding', group, spec };
    else if (bindingKey(spec, this.#references) !== bindingKey(old.spec, this.#references))
      yield { call: 'ReplaceTargetGroupBinding', group, spec };
  }

  *#ensureLoadBalancer(spec: LoadBalancerSpec): Generator<Change> {
    const tags = this.#tags(RESOURCE.loadBalancer, spec.tags);
    const found = this.#loadBalancer;
    if (!found) yield { call: 'CreateLoadBalancer', spec, tags };
    else {
      if (!isSameSubnets(spec.subnets, found.subnets)) yield { call: 'SetSubnets', subnets: spec.subnets };
      if (this.#hasOtherGroups(spec, found)) {
        const { inboundRulesOnPrivateLink } = spec;
        yield {
          call: 'SetSecurityGroups',
          groups: spec.securityGroups,
          ...(inboundRulesOnPrivateLink && { inboundRulesOnPrivateLink }),
        };
      }
    }
    const attributes = missing(spec.attributes, found?.attributes ?? {});
    if (Object.keys(attributes).length > 0) yield { call: 'ModifyLoadBalancerAttributes', attributes };
    if (found) yield* this.#retag('load balancer', found.arn, tags, found.tags);
  }

  #hasOtherGroups(spec: LoadBalancerSpec, found: ExistingLoadBalancer): boolean {
    if (spec.securityGroups.length === 0) return false;
    const { inboundRulesOnPrivateLink: enforced } = spec;
    const ids = spec.securityGroups.map((ref) => this.#references.securityGroup(ref) ?? 'new');
    return (
      !isSameSet(ids, found.securityGroups) ||
      (enforced !== undefined && enforced !== found.inboundRulesOnPrivateLink)
    );
  }

  *#listeners(spec: LoadBalancerSpec): Generator<Change> {
    const ports = new Set(spec.listeners.map(({ port }) => port));
    for (const { arn, port } of this.#loadBalancer?.listeners ?? []) {
      if (!ports.has(port)) yield { call: 'DeleteListener', port, arn };
    }
    const rules = this.#loadBalancer?.listeners.filter(({ port }) => ports.has(port)) ?? [];
    const total = rules.reduce((sum, listener) => sum + listener.rules.length, 0);
    for (const listener of spec.listeners) yield* this.#listener(listener, total);
  }

  *#listener(spec: ListenerSpec, total: number): Generator<Change> {
    const { port, attributes } = spec;
    const tags = this.#tags(RESOURCE.listener(port), spec.tags);
    const found = listenerOf(this.#loadBalancer, port);
    yield* this.#targetGroupsOf(spec.defaultActions);
    if (!found) yield { call: 'CreateListener', spec, tags };
    else if (this.#isOther(spec, found)) yield { call: 'ModifyListener', port, spec };
    yield* certificates(spec, found);
    const set = missing(attributes, found?.attributes ?? {});
    if (Object.keys(set).length > 0) yield { call: 'ModifyListenerAttributes', port, attributes: set };
    if (found) yield* this.#retag('listener', found.arn, tags, found.tags);
    const changes = planRules({
      port,
      wanted: spec.rules,
      existing: found?.rules ?? [],
      total,
      most: this.#context.mostRules ?? MOST_RULES,
      references: this.#references,
      tags: (resource, more) => this.#tags(resource, more),
      externalTags: this.#context.externalTags,
    });
    for (const change of changes) {
      // Just before it is needed: calls of one kind are not made in one go, which AWS allows to a few alone.
      if ('spec' in change && (change.call === 'CreateRule' || change.call === 'ModifyRule'))
        yield* this.#targetGroupsOf(change.spec.actions);
      yield change;
    }
  }

  *#targetGroupsOf(actions: readonly ActionSpec[]): Generator<Change> {
    for (const action of actions) {
      if (action.type !== 'forward') continue;
      for (const { group } of action.targetGroups) {
        const spec = 'id' in group ? this.#pending.get(group.id) : undefined;
        if (spec) yield* this.#targetGroup(spec);
      }
    }
  }

  #isOther(spec: ListenerSpec, found: ExistingListener): boolean {
    return (
      spec.protocol !== found.protocol ||
      (spec.certificates[0] !== undefined && spec.certificates[0] !== found.certificates[0]) ||
      (spec.sslPolicy !== undefined && spec.sslPolicy !== found.sslPolicy) ||
      (spec.alpnPolicy ?? 'None') !== (found.alpnPolicy ?? 'None') ||
      actionsKey(spec.defaultActions, this.#references) !== actionsKey(found.defaultActions, this.#references)
    );
  }

  *#obsolete(): Generator<Change> {
    const { targetGroups, securityGroup } = this.#stack;
    const kept = new Set(targetGroups.map((spec) => targetGroupOf(this.#existing, spec)));
    const names = new Set(
      targetGroups.map(
        (spec) => `${spec.binding.namespace}/${targetGroupOf(this.#existing, spec)?.name ?? spec.name}`,
      ),
    );
    const bindings = this.#existing.bindings.filter(
      ({ namespace, name }) => !names.has(`${namespace}/${name}`),
    );
    if (bindings.length > 0) yield { call: 'DeleteTargetGroupBindings', bindings };
    for (const group of this.#existing.targetGroups) {
      if (!kept.has(group)) yield { call: 'DeleteTargetGroup', arn: group.arn, name: group.name };
    }
    const found = managedGroupOf(this.#existing, this.#stack);
    if (found && securityGroup) {
      const wanted = new Set(securityGroup.ingress.map(ingressRuleKey));
      const rules = found.ingress.filter((rule) => !wanted.has(ingressRuleKey(rule)));
      if (rules.length > 0) yield { call: 'RevokeSecurityGroupIngress', groupId: found.id, rules };
    }
    for (const { id, name } of this.#existing.securityGroups) {
      if (id !== found?.id) yield { call: 'DeleteSecurityGroup', groupId: id, name };
    }
  }

  #tags(resource: string, tags: Tags): Tags {
    return { ...tags, ...identifyingTags(this.#context.clusterName, this.#stack.id, resource) };
  }

  #retag(kind: Tagged['kind'], id: string, wanted: Tags, found: Tags): Generator<Change> {
    return retag(kind, [{ id, wanted, found }], this.#context.externalTags);
  }
}

/** What the listener has after it was made or modified, and the others to add and to take away. */
function* certificates(spec: ListenerSpec, found: ExistingListener | undefined): Generator<Change> {
  const { port } = spec;
  const [first, ...others] = spec.certificates;
  const there = new Set(found?.certificates.slice(1));
  // The one that was the default is not kept beside the new one.
  const added = [...new Set(others)].filter((arn) => arn !== first && !there.has(arn));
  for (const certificate of added) yield { call: 'AddListenerCertificates', port, certificate };
  const removed = [...there].filter((arn) => !spec.certificates.includes(arn));
  for (const certificate of removed) yield { call: 'RemoveListenerCertificates', port, certificate };
}

/** Addresses that are not asked for are AWS's choice. */
function isSameSubnets(wanted: readonly SubnetSpec[], found: readonly SubnetSpec[]): boolean {
  return (
    wanted.length === found.length &&
    wanted.every(({ subnetId, allocationId, privateAddress }) =>
      found.some(
        (subnet) =>
          subnet.subnetId === subnetId &&
          (allocationId ?? subnet.allocationId) === subnet.allocationId &&
          (privateAddress ?? subnet.privateAddress) === subnet.privateAddress,
      ),
    )
  );
}

/** Whether a stack needs the security group that all load balancers share. */
export function usesBackend({ loadBalancer, targetGroups }: Stack): boolean {
  const isBackend = (ref: SecurityGroupRef) => 'backend' in ref;
  return (
    loadBalancer?.securityGroups.some(isBackend) === true ||
    targetGroups.some(({ binding }) =>
      binding.networking.some(({ from }) =>
        from.some((peer) => 'securityGroup' in peer && isBackend(peer.securityGroup)),
      ),
    )
  );
}
