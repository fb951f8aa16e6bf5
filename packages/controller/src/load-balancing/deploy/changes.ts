/** The changes that a plan consists of: each one call, named as AWS names it. What it is of is found by {@link ./match.ts}. */
import type {
  ActionSpec,
  BindingSpec,
  HealthCheckSpec,
  ListenerSpec,
  LoadBalancerSpec,
  RuleSpec,
  SecurityGroupRef,
  SecurityGroupRule,
  SecurityGroupSpec,
  SubnetSpec,
  Tags,
  TargetGroupSpec,
} from '../model/stack.ts';

/** Resources of a kind by their ARNs, or ids of security groups. */
export type Tagged = {
  readonly kind: 'load balancer' | 'security group' | 'target group' | 'listener' | 'rule';
  readonly ids: readonly string[];
};

export type Change =
  | {
      readonly call: 'CreateSecurityGroup';
      readonly group: 'managed' | 'backend';
      readonly spec: Pick<SecurityGroupSpec, 'name' | 'description'>;
      readonly tags: Tags;
    }
  | { readonly call: 'AuthorizeSecurityGroupIngress'; readonly rules: readonly SecurityGroupRule[] }
  | {
      readonly call: 'RevokeSecurityGroupIngress';
      readonly groupId: string;
      readonly rules: readonly SecurityGroupRule[];
    }
  | { readonly call: 'DeleteSecurityGroup'; readonly groupId: string; readonly name: string }
  | { readonly call: 'CreateTargetGroup'; readonly spec: TargetGroupSpec; readonly tags: Tags }
  | {
      readonly call: 'ModifyTargetGroup';
      readonly spec: TargetGroupSpec;
      readonly healthCheck: HealthCheckSpec;
    }
  | {
      readonly call: 'ModifyTargetGroupAttributes';
      readonly spec: TargetGroupSpec;
      readonly attributes: Readonly<Record<string, string>>;
    }
  | { readonly call: 'DeleteTargetGroup'; readonly arn: string; readonly name: string }
  | { readonly call: 'CreateTargetGroupBinding'; readonly group: TargetGroupSpec; readonly spec: BindingSpec }
  | {
      readonly call: 'ReplaceTargetGroupBinding';
      readonly group: TargetGroupSpec;
      readonly spec: BindingSpec;
    }
  | {
      readonly call: 'DeleteTargetGroupBindings';
      readonly bindings: readonly { readonly namespace: string; readonly name: string }[];
    }
  | { readonly call: 'CreateLoadBalancer'; readonly spec: LoadBalancerSpec; readonly tags: Tags }
  | { readonly call: 'SetSubnets'; readonly subnets: readonly SubnetSpec[] }
  | {
      readonly call: 'SetSecurityGroups';
      readonly groups: readonly SecurityGroupRef[];
      readonly inboundRulesOnPrivateLink?: 'on' | 'off';
    }
  | {
      readonly call: 'ModifyLoadBalancerAttributes';
      /** Of one that is to go; the stack's without it. */
      readonly arn?: string;
      readonly attributes: Readonly<Record<string, string>>;
    }
  | { readonly call: 'DeleteLoadBalancer'; readonly arn: string; readonly name: string }
  | { readonly call: 'CreateListener'; readonly spec: ListenerSpec; readonly tags: Tags }
  | { readonly call: 'ModifyListener'; readonly port: number; readonly spec: ListenerSpec }
  | {
      readonly call: 'ModifyListenerAttributes';
      readonly port: number;
      readonly attributes: Readonly<Record<string, string>>;
    }
  | {
      readonly call: 'AddListenerCertificates' | 'RemoveListenerCertificates';
      readonly port: number;
      /** One: AWS takes no more of them a call. */
      readonly certificate: string;
    }
  | { readonly call: 'DeleteListener'; readonly port: number; readonly arn: string }
  | {
      readonly call: 'CreateRule';
      readonly port: number;
      readonly priority: number;
      readonly spec: RuleSpec;
      readonly tags: Tags;
    }
  | { readonly call: 'ModifyRule'; readonly port: number; readonly arn: string; readonly spec: RuleSpec }
  | {
      readonly call: 'SetRulePriorities';
      readonly port: number;
      /** By ARN. */
      readonly priorities: Readonly<Record<string, number>>;
    }
  | { readonly call: 'DeleteRule'; readonly port: number; readonly arn: string; readonly priority: number }
  | { readonly call: 'AddTags'; readonly to: Tagged; readonly tags: Tags }
  | { readonly call: 'RemoveTags'; readonly from: Tagged; readonly keys: readonly string[] };

export type ChangeOf<Call extends Change['call']> = Change & { readonly call: Call };

/** A change as a person reads it. */
export type Description = {
  readonly does: 'create' | 'change' | 'delete';
  /** `listener HTTPS:443`. */
  readonly what: string;
  readonly details: readonly string[];
};

const rule = ({ protocol, ports: [from, to], from: peer }: SecurityGroupRule): string =>
  `${protocol === '-1' ? 'all' : protocol}${protocol === '-1' ? '' : ` ${from === to ? from : `${from}-${to}`}`} from ${Object.values(peer)[0]}`;

const pairs = (map: Readonly<Record<string, string>>): string[] =>
  Object.entries(map).map(([key, value]) => `${key}=${value}`);

function action(spec: ActionSpec): string {
  switch (spec.type) {
    case 'forward':
      return `forward to ${spec.targetGroups
        .map(({ group, weight }) => `${Object.values(group)[0]}${weight === undefined ? '' : ` (${weight})`}`)
        .join(', ')}`;
    case 'redirect': {
      const { protocol = '', host = '', port = '', path = '' } = spec;
      return `redirect (${spec.statusCode.slice(5)}) to ${[protocol, host, port, path].filter(Boolean).join(' ')}`;
    }
    case 'fixed-response':
      return `answer ${spec.statusCode}`;
  }
}

function conditions(spec: RuleSpec): string {
  return spec.conditions
    .map((condition) => {
      const values = condition.values.map((value) =>
        typeof value === 'string' ? value : `${value.key ? `${value.key}=` : ''}${value.value}`,
      );
      return `${condition.field}${'name' in condition ? ` ${condition.name}` : ''} ${values.join(' | ')}`;
    })
    .join(', ');
}

/** Says what a change does. */
export function describe(change: Change): Description {
  const told = (
    does: Description['does'],
    what: string,
    details: readonly (string | undefined | false)[] = [],
  ): Description => ({ does, what, details: details.filter((line) => typeof line === 'string') });
  switch (change.call) {
    case 'CreateSecurityGroup':
      return told('create', `security group ${change.spec.name}`);
    case 'AuthorizeSecurityGroupIngress':
      return told(
        'change',
        'security group of the load balancer',
        change.rules.map((each) => `+ ${rule(each)}`),
      );
    case 'RevokeSecurityGroupIngress':
      return told(
        'change',
        `security group ${change.groupId}`,
        change.rules.map((each) => `- ${rule(each)}`),
      );
    case 'DeleteSecurityGroup':
      return told('delete', `security group ${change.name} (${change.groupId})`);
    case 'CreateTargetGroup': {
      const { name, id, protocol, port, targetType } = change.spec;
      return told('create', `target group ${name}`, [`${id}, ${protocol}:${port}, ${targetType} targets`]);
    }
    case 'ModifyTargetGroup': {
      const { protocol, port, path } = change.healthCheck;
      return told('change', `target group ${change.spec.name}`, [
        `health check ${protocol} ${port}${path ? ` ${path}` : ''}`,
      ]);
    }
    case 'ModifyTargetGroupAttributes':
      return told('change', `target group ${change.spec.name}`, pairs(change.attributes));
    case 'DeleteTargetGroup':
      return told('delete', `target group ${change.name}`);
    case 'CreateTargetGroupBinding':
      return told('create', `TargetGroupBinding ${change.spec.namespace}/${change.group.name}`, [
        `Service ${change.spec.service.name}:${change.spec.service.port}`,
      ]);
    case 'ReplaceTargetGroupBinding':
      return told('change', `TargetGroupBinding ${change.spec.namespace}/${change.group.name}`);
    case 'DeleteTargetGroupBindings': {
      const names = change.bindings.map(({ namespace, name }) => `${namespace}/${name}`);
      return told('delete', `TargetGroupBinding ${names.join(', ')}`);
    }
    case 'CreateLoadBalancer': {
      const { name, type, scheme, subnets } = change.spec;
      return told('create', `load balancer ${name}`, [
        `${type}, ${scheme}, in ${subnets.map(({ subnetId }) => subnetId).join(', ')}`,
      ]);
    }
    case 'SetSubnets':
      return told('change', 'load balancer', [
        `subnets ${change.subnets.map(({ subnetId }) => subnetId).join(', ')}`,
      ]);
    case 'SetSecurityGroups':
      return told('change', 'load balancer', [
        `security groups ${change.groups.map((group) => ('id' in group ? group.id : Object.keys(group)[0])).join(', ')}`,
      ]);
    case 'ModifyLoadBalancerAttributes':
      return told('change', 'load balancer', pairs(change.attributes));
    case 'DeleteLoadBalancer':
      return told('delete', `load balancer ${change.name}`);
    case 'CreateListener':
    case 'ModifyListener': {
      const { protocol, port, certificates, defaultActions } = change.spec;
      return told(change.call === 'CreateListener' ? 'create' : 'change', `listener ${protocol}:${port}`, [
        ...defaultActions.map(action),
        certificates[0],
      ]);
    }
    case 'ModifyListenerAttributes':
      return told('change', `listener :${change.port}`, pairs(change.attributes));
    case 'AddListenerCertificates':
      return told('change', `listener :${change.port}`, [`+ ${change.certificate}`]);
    case 'RemoveListenerCertificates':
      return told('change', `listener :${change.port}`, [`- ${change.certificate}`]);
    case 'DeleteListener':
      return told('delete', `listener :${change.port}`);
    case 'CreateRule':
      return told('create', `rule ${change.priority} of listener :${change.port}`, [
        conditions(change.spec),
        ...change.spec.actions.map(action),
      ]);
    case 'ModifyRule':
      return told('change', `rule ${change.arn} of listener :${change.port}`, [
        conditions(change.spec),
        ...change.spec.actions.map(action),
      ]);
    case 'SetRulePriorities':
      return told('change', `rules of listener :${change.port}`, [
        `order of ${Object.keys(change.priorities).length} rules`,
      ]);
    case 'DeleteRule':
      return told('delete', `rule ${change.priority} of listener :${change.port}`);
    case 'AddTags':
      return told(
        'change',
        `tags of ${change.to.kind} ${change.to.ids.join(', ')}`,
        pairs(change.tags).map((pair) => `+ ${pair}`),
      );
    case 'RemoveTags':
      return told(
        'change',
        `tags of ${change.from.kind} ${change.from.ids.join(', ')}`,
        change.keys.map((key) => `- ${key}`),
      );
  }
}
