/** Carries out the changes of a plan. */
import {
  CreateSecurityGroupCommand,
  CreateTagsCommand,
  DeleteSecurityGroupCommand,
  DeleteTagsCommand,
  type EC2Client,
} from '@aws-sdk/client-ec2';
import {
  AddListenerCertificatesCommand,
  AddTagsCommand,
  CreateListenerCommand,
  CreateLoadBalancerCommand,
  CreateRuleCommand,
  CreateTargetGroupCommand,
  DeleteListenerCommand,
  DeleteLoadBalancerCommand,
  DeleteRuleCommand,
  DeleteTargetGroupCommand,
  type ElasticLoadBalancingV2Client,
  ModifyListenerAttributesCommand,
  ModifyListenerCommand,
  ModifyLoadBalancerAttributesCommand,
  ModifyRuleCommand,
  ModifyTargetGroupAttributesCommand,
  ModifyTargetGroupCommand,
  RemoveListenerCertificatesCommand,
  RemoveTagsCommand,
  SetRulePrioritiesCommand,
  SetSecurityGroupsCommand,
  SetSubnetsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { AwsError } from '../aws/error.ts';
import { authorizeIngress, ingressRuleKey, revokeIngress } from '../aws/ingress-rules.ts';
import type { ListenerSpec, SecurityGroupRef, Stack, Tags, TargetGroupSpec } from '../model/stack.ts';
import type { BackendGroup } from './backend-group.ts';
import type { BindingStore } from './bindings.ts';
import type { Change, ChangeOf, Tagged } from './changes.ts';
import type {
  Existing,
  ExistingListener,
  ExistingLoadBalancer,
  ExistingRule,
  ExistingTargetGroup,
} from './existing.ts';
import {
  listenerOf,
  loadBalancerOf,
  managedGroupOf,
  type References,
  references,
  targetGroupOf,
} from './match.ts';
import { NotYet } from './not-yet.ts';
import {
  fromListener,
  fromLoadBalancer,
  fromRule,
  fromTargetGroup,
  pairsOf,
  toAction,
  toCondition,
  toHealthCheck,
  toSubnetMappings,
} from './words.ts';

export type ApplyOptions = {
  readonly elb: ElasticLoadBalancingV2Client;
  readonly ec2: EC2Client;
  readonly bindings: BindingStore;
  readonly backend: BackendGroup;
  readonly vpcId: string;
  /** Once it aborts nothing is changed any more. */
  readonly signal?: AbortSignal | undefined;
  /** Told of each change that was carried out. */
  readonly onChange?: (change: Change) => void;
  /** Told of each that was not. */
  readonly onFailure?: (change: Change, error: Error) => void;
};

/** ELBv2 takes so many resources a call. */
const BATCH = 20;

/**
 * Carries out changes one after the other, but for what is made in numbers and does not depend on each other. What is made carries its tags from the start, so that it is found again by them
 * when nobody lives to remember it.
 * @param existing what they were planned on; it is brought up to date with each, so that when one fails the rest can be
 *   planned anew on it.
 * @throws {NotYet} when something that goes is still in use; {AwsError} and {ApiError} of the first that fails.
 */
export async function apply(
  stack: Stack,
  changes: readonly Change[],
  existing: Existing,
  options: ApplyOptions,
): Promise<void> {
  const calls = new Calls(stack, existing, options);
  for (const step of steps(changes)) {
    const done = await Promise.allSettled(
      step.map(async (change) => {
        options.signal?.throwIfAborted();
        try {
          await calls.make(change);
        } catch (error) {
          options.onFailure?.(change, error as Error);
          throw error;
        }
        options.onChange?.(change);
      }),
    );
    for (const each of done) if (each.status === 'rejected') throw each.reason;
  }
}

/** What may be made at once with others of its kind, in an order in which each has what it refers to. */
const TOGETHER: readonly Change['call'][] = [
  'CreateTargetGroup',
  'ModifyTargetGroupAttributes',
  'CreateTargetGroupBinding',
  'CreateRule',
];
/** How many changes are looked at for that: four target groups with their bindings and rules. With more at once AWS throttles several calls where one would tell. */
const WINDOW = 12;

/** The changes that are carried out at once, step by step. */
function* steps(changes: readonly Change[]): Generator<readonly Change[]> {
  for (let from = 0; from < changes.length; ) {
    const alone = changes.findIndex(({ call }, index) => index >= from && !TOGETHER.includes(call));
    const end = Math.min(alone < 0 ? changes.length : alone, from + WINDOW);
    const window = changes.slice(from, end);
    for (const kind of TOGETHER) {
      const step = window.filter(({ call }) => call === kind);
      if (step.length > 0) yield step;
    }
    from = end;
    if (from === alone) yield [changes[from++]!];
  }
}

type Table = { readonly [Call in Change['call']]: (change: ChangeOf<Call>) => Promise<void> };

class Calls {
  readonly #stack: Stack;
  readonly #existing: Existing;
  readonly #options: ApplyOptions;
  readonly #elb: ElasticLoadBalancingV2Client;
  readonly #ec2: EC2Client;

  constructor(stack: Stack, existing: Existing, options: ApplyOptions) {
    this.#stack = stack;
    this.#existing = existing;
    this.#options = options;
    this.#elb = options.elb;
    this.#ec2 = options.ec2;
  }

  make(change: Change): Promise<void> {
    return (this.#table[change.call] as (change: Change) => Promise<void>)(change);
  }

  readonly #table: Table = {
    CreateSecurityGroup: async ({ group, spec: { name, description }, tags }) => {
      if (group === 'backend') {
        this.#existing.backendSecurityGroup = await this.#options.backend.make();
        return;
      }
      const { GroupId } = await this.#ec2.send(
        new CreateSecurityGroupCommand({
          GroupName: name,
          Description: description,
          VpcId: this.#options.vpcId,
          TagSpecifications: [{ ResourceType: 'security-group', Tags: pairsOf(tags) }],
        }),
      );
      this.#existing.securityGroups.unshift({ id: GroupId!, name, ingress: [], tags });
    },
    AuthorizeSecurityGroupIngress: async ({ rules }) => {
      const group = there(managedGroupOf(this.#existing, this.#stack), 'security group');
      await authorizeIngress(this.#ec2, group.id, rules);
      group.ingress = [...group.ingress, ...rules];
    },
    RevokeSecurityGroupIngress: async ({ groupId, rules }) => {
      await revokeIngress(this.#ec2, groupId, rules);
      const gone = new Set(rules.map(ingressRuleKey));
      for (const group of this.#existing.securityGroups)
        if (group.id === groupId)
          group.ingress = group.ingress.filter((rule) => !gone.has(ingressRuleKey(rule)));
    },
    DeleteSecurityGroup: async ({ groupId }) => {
      await whenUnused(this.#ec2.send(new DeleteSecurityGroupCommand({ GroupId: groupId })));
      this.#existing.securityGroups = this.#existing.securityGroups.filter(({ id }) => id !== groupId);
    },

    CreateTargetGroup: async ({ spec, tags }) => {
      const { TargetGroups } = await this.#elb.send(
        new CreateTargetGroupCommand({
          Name: spec.name,
          TargetType: spec.targetType,
          Protocol: spec.protocol,
          ...(spec.protocolVersion && { ProtocolVersion: spec.protocolVersion }),
          Port: spec.port,
          VpcId: this.#options.vpcId,
          ...toHealthCheck(spec.healthCheck, spec.protocolVersion),
          Tags: pairsOf(tags),
        }),
      );
      this.#existing.targetGroups.unshift(fromTargetGroup(TargetGroups![0]!, spec.id, tags, {}));
    },
    ModifyTargetGroup: async ({ spec, healthCheck }) => {
      const group = this.#group(spec);
      await this.#elb.send(
        new ModifyTargetGroupCommand({
          TargetGroupArn: group.arn,
          ...toHealthCheck(healthCheck, spec.protocolVersion),
        }),
      );
      group.healthCheck = healthCheck;
    },
    ModifyTargetGroupAttributes: async ({ spec, attributes }) => {
      const group = this.#group(spec);
      await this.#elb.send(
        new ModifyTargetGroupAttributesCommand({
          TargetGroupArn: group.arn,
          Attributes: pairsOf(attributes),
        }),
      );
      group.attributes = { ...group.attributes, ...attributes };
    },
    DeleteTargetGroup: async ({ arn }) => {
      await whenUnused(this.#elb.send(new DeleteTargetGroupCommand({ TargetGroupArn: arn })));
      this.#existing.targetGroups = this.#existing.targetGroups.filter((group) => group.arn !== arn);
    },

    CreateTargetGroupBinding: async ({ group: of, spec }) => {
      const group = this.#group(of);
      await this.#options.bindings.create(this.#stack.id, group, spec, this.#references);
      const { name, arn: targetGroupArn } = group;
      this.#existing.bindings.push({ namespace: spec.namespace, name, targetGroupArn, spec });
    },
    ReplaceTargetGroupBinding: async ({ group: of, spec }) => {
      const group = this.#group(of);
      await this.#options.bindings.replace(group, spec, this.#references);
    },
    DeleteTargetGroupBindings: async ({ bindings }) => {
      await this.#options.bindings.delete(bindings);
      const gone = new Set(bindings.map(({ namespace, name }) => `${namespace}/${name}`));
      this.#existing.bindings = this.#existing.bindings.filter(
        ({ namespace, name }) => !gone.has(`${namespace}/${name}`),
      );
    },

    CreateLoadBalancer: async ({ spec, tags }) => {
      const { name, type, scheme, subnets } = spec;
      const securityGroups = this.#ids(spec.securityGroups);
      const { LoadBalancers } = await this.#elb.send(
        new CreateLoadBalancerCommand({
          Name: name,
          Type: type,
          Scheme: scheme,
          SubnetMappings: toSubnetMappings(subnets),
          ...(securityGroups.length > 0 && { SecurityGroups: securityGroups }),
          IpAddressType: 'ipv4',
          Tags: pairsOf(tags),
        }),
      );
      const made = fromLoadBalancer(LoadBalancers![0]!, tags, { attributes: {}, listeners: [] });
      this.#existing.loadBalancers.push({ ...made, subnets });
    },
    SetSubnets: async ({ subnets }) => {
      const loadBalancer = this.#loadBalancer;
      await this.#elb.send(
        new SetSubnetsCommand({
          LoadBalancerArn: loadBalancer.arn,
          SubnetMappings: toSubnetMappings(subnets),
        }),
      );
      loadBalancer.subnets = subnets;
    },
    SetSecurityGroups: async ({ groups, inboundRulesOnPrivateLink: enforced }) => {
      const loadBalancer = this.#loadBalancer;
      const ids = this.#ids(groups);
      await this.#elb.send(
        new SetSecurityGroupsCommand({
          LoadBalancerArn: loadBalancer.arn,
          SecurityGroups: ids,
          ...(enforced && { EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: enforced }),
        }),
      );
      loadBalancer.securityGroups = ids;
      if (enforced) loadBalancer.inboundRulesOnPrivateLink = enforced;
    },
    ModifyLoadBalancerAttributes: async ({ arn, attributes }) => {
      const loadBalancer =
        this.#existing.loadBalancers.find((found) => found.arn === arn) ?? this.#loadBalancer;
      await this.#elb.send(
        new ModifyLoadBalancerAttributesCommand({
          LoadBalancerArn: loadBalancer.arn,
          Attributes: pairsOf(attributes),
        }),
      );
      loadBalancer.attributes = { ...loadBalancer.attributes, ...attributes };
    },
    DeleteLoadBalancer: async ({ arn }) => {
      await this.#elb.send(new DeleteLoadBalancerCommand({ LoadBalancerArn: arn }));
      this.#existing.loadBalancers = this.#existing.loadBalancers.filter((found) => found.arn !== arn);
    },

    CreateListener: async ({ spec, tags }) => {
      const loadBalancer = this.#loadBalancer;
      const { Listeners } = await this.#elb.send(
        new CreateListenerCommand({
          LoadBalancerArn: loadBalancer.arn,
          ...this.#listenerInput(spec),
          Tags: pairsOf(tags),
        }),
      );
      loadBalancer.listeners.push(fromListener(Listeners![0]!, tags, [], { attributes: {}, rules: [] }));
    },
    ModifyListener: async ({ port, spec }) => {
      const listener = this.#listener(port);
      const { Listeners } = await this.#elb.send(
        new ModifyListenerCommand({
          ListenerArn: listener.arn,
          ...this.#listenerInput(spec),
          // What is not said stays.
          ...(spec.protocol === 'TLS' && { AlpnPolicy: [spec.alpnPolicy ?? 'None'] }),
        }),
      );
      const { tags, certificates, attributes, rules } = listener;
      const now = fromListener(Listeners![0]!, tags, certificates.slice(1), { attributes, rules });
      const { listeners } = this.#loadBalancer;
      listeners.splice(listeners.indexOf(listener), 1, now);
    },
    ModifyListenerAttributes: async ({ port, attributes }) => {
      const listener = this.#listener(port);
      await this.#elb.send(
        new ModifyListenerAttributesCommand({
          ListenerArn: listener.arn,
          Attributes: pairsOf(attributes),
        }),
      );
      listener.attributes = { ...listener.attributes, ...attributes };
    },
    AddListenerCertificates: async ({ port, certificate }) => {
      const listener = this.#listener(port);
      await this.#elb.send(
        new AddListenerCertificatesCommand({
          ListenerArn: listener.arn,
          Certificates: [{ CertificateArn: certificate }],
        }),
      );
      listener.certificates = [...listener.certificates, certificate];
    },
    RemoveListenerCertificates: async ({ port, certificate }) => {
      const listener = this.#listener(port);
      await this.#elb.send(
        new RemoveListenerCertificatesCommand({
          ListenerArn: listener.arn,
          Certificates: [{ CertificateArn: certificate }],
        }),
      );
      listener.certificates = listener.certificates.filter((arn) => arn !== certificate);
    },
    DeleteListener: async ({ arn }) => {
      await this.#elb.send(new DeleteListenerCommand({ ListenerArn: arn }));
      const loadBalancer = this.#loadBalancer;
      loadBalancer.listeners = loadBalancer.listeners.filter((listener) => listener.arn !== arn);
    },

    CreateRule: async ({ port, priority, spec, tags }) => {
      const listener = this.#listener(port);
      const { Rules } = await this.#elb.send(
        new CreateRuleCommand({
          ListenerArn: listener.arn,
          Priority: priority,
          Conditions: spec.conditions.map(toCondition),
          Actions: spec.actions.map((action) => toAction(action, this.#arnOf)),
          Tags: pairsOf(tags),
        }),
      );
      listener.rules.push(fromRule(Rules![0]!, tags));
    },
    ModifyRule: async ({ port, arn, spec }) => {
      const { Rules } = await this.#elb.send(
        new ModifyRuleCommand({
          RuleArn: arn,
          Conditions: spec.conditions.map(toCondition),
          Actions: spec.actions.map((action) => toAction(action, this.#arnOf)),
        }),
      );
      const { conditions, actions } = fromRule(Rules![0]!, {});
      Object.assign(this.#rule(port, arn), { conditions, actions });
    },
    SetRulePriorities: async ({ port, priorities }) => {
      const RulePriorities = Object.entries(priorities).map(([RuleArn, Priority]) => ({ RuleArn, Priority }));
      await this.#elb.send(new SetRulePrioritiesCommand({ RulePriorities }));
      for (const [arn, priority] of Object.entries(priorities)) this.#rule(port, arn).priority = priority;
    },
    DeleteRule: async ({ port, arn }) => {
      await this.#elb.send(new DeleteRuleCommand({ RuleArn: arn }));
      const listener = this.#listener(port);
      listener.rules = listener.rules.filter((rule) => rule.arn !== arn);
    },

    AddTags: async ({ to, tags }) => {
      await this.#inBatches(to, (ids) =>
        to.kind === 'security group'
          ? this.#ec2.send(new CreateTagsCommand({ Resources: ids, Tags: pairsOf(tags) }))
          : this.#elb.send(new AddTagsCommand({ ResourceArns: ids, Tags: pairsOf(tags) })),
      );
      for (const tagged of this.#tagged(to)) tagged.tags = { ...tagged.tags, ...tags };
    },
    RemoveTags: async ({ from, keys }) => {
      await this.#inBatches(from, (ids) =>
        from.kind === 'security group'
          ? this.#ec2.send(new DeleteTagsCommand({ Resources: ids, Tags: keys.map((Key) => ({ Key })) }))
          : this.#elb.send(new RemoveTagsCommand({ ResourceArns: ids, TagKeys: [...keys] })),
      );
      for (const tagged of this.#tagged(from))
        tagged.tags = Object.fromEntries(Object.entries(tagged.tags).filter(([key]) => !keys.includes(key)));
    },
  };

  get #references(): References {
    return references(this.#stack, this.#existing);
  }

  get #loadBalancer(): ExistingLoadBalancer {
    return there(loadBalancerOf(this.#existing, this.#stack.loadBalancer), 'load balancer');
  }

  #listener(port: number): ExistingListener {
    return there(listenerOf(this.#loadBalancer, port), `listener on port ${port}`);
  }

  #rule(port: number, arn: string): ExistingRule {
    return there(
      this.#listener(port).rules.find((rule) => rule.arn === arn),
      `rule ${arn}`,
    );
  }

  #group(spec: TargetGroupSpec): ExistingTargetGroup {
    return there(targetGroupOf(this.#existing, spec), `target group ${spec.id}`);
  }

  readonly #arnOf = (ref: Parameters<References['targetGroup']>[0]): string =>
    there(this.#references.targetGroup(ref), `target group ${Object.values(ref)[0]}`);

  #ids(groups: readonly SecurityGroupRef[]): string[] {
    const { securityGroup } = this.#references;
    return groups.map((ref) => there(securityGroup(ref), `security group ${Object.keys(ref)[0]}`));
  }

  #listenerInput({ protocol, port, certificates, sslPolicy, alpnPolicy, defaultActions }: ListenerSpec) {
    const [first] = certificates;
    return {
      Protocol: protocol,
      Port: port,
      DefaultActions: defaultActions.map((action) => toAction(action, this.#arnOf)),
      ...(first && { Certificates: [{ CertificateArn: first }] }),
      ...(sslPolicy && { SslPolicy: sslPolicy }),
      ...(alpnPolicy && { AlpnPolicy: [alpnPolicy] }),
    };
  }

  async #inBatches({ ids }: Tagged, call: (ids: string[]) => Promise<unknown>): Promise<void> {
    for (let i = 0; i < ids.length; i += BATCH) await call(ids.slice(i, i + BATCH));
  }

  #tagged({ ids }: Tagged): { tags: Tags }[] {
    const { loadBalancers, securityGroups, targetGroups } = this.#existing;
    const listeners = loadBalancers.flatMap((loadBalancer) => loadBalancer.listeners);
    const byArn = [
      ...loadBalancers,
      ...targetGroups,
      ...listeners,
      ...listeners.flatMap(({ rules }) => rules),
    ];
    return [
      ...byArn.filter(({ arn }) => ids.includes(arn)),
      ...securityGroups.filter(({ id }) => ids.includes(id)),
    ];
  }
}

/** Plans refer to what is there, or to what they have made before. */
function there<Value>(found: Value | undefined, what: string): Value {
  if (found === undefined) throw new Error(`the plan refers to a ${what} that is not there`);
  return found;
}

/** AWS is slow to see that what used something is gone. */
async function whenUnused(deletion: Promise<unknown>): Promise<void> {
  try {
    await deletion;
  } catch (error) {
    if (!(error instanceof AwsError)) throw error;
    if (error.isInUse) throw new NotYet(error.message, { cause: error });
    if (!error.isNotFound) throw error;
  }
}
