/** The model's words and those of the ELBv2 API, to and fro. Types of the SDK alone: nothing of it is loaded for this. */
import type {
  Action,
  CreateTargetGroupCommandInput,
  Listener,
  LoadBalancer,
  Rule,
  RuleCondition,
  SubnetMapping,
  TargetGroup,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Ipv4 } from '@enid/ip';
import type {
  ActionSpec,
  ConditionSpec,
  HealthCheckSpec,
  ListenerProtocol,
  SubnetSpec,
  Tags,
  TargetGroupRef,
  TargetGroupSpec,
} from '../model/stack.ts';
import type {
  ExistingAction,
  ExistingListener,
  ExistingLoadBalancer,
  ExistingRule,
  ExistingTargetGroup,
} from './existing.ts';

type Pairs = readonly { readonly Key?: string | undefined; readonly Value?: string | undefined }[];

export const mapOf = (pairs: Pairs | undefined): Record<string, string> =>
  Object.fromEntries((pairs ?? []).map(({ Key = '', Value = '' }) => [Key, Value]));

export const pairsOf = (map: Readonly<Record<string, string>>): { Key: string; Value: string }[] =>
  Object.entries(map).map(([Key, Value]) => ({ Key, Value }));

/** @param arnOf of a target group. @throws what it throws. */
export function toAction(action: ActionSpec, arnOf: (group: TargetGroupRef) => string): Action {
  switch (action.type) {
    case 'forward': {
      const { targetGroups, stickinessSeconds } = action;
      const [first] = targetGroups;
      if (targetGroups.length === 1 && first && stickinessSeconds === undefined)
        return { Type: 'forward', TargetGroupArn: arnOf(first.group) };
      return {
        Type: 'forward',
        ForwardConfig: {
          TargetGroups: targetGroups.map(({ group, weight = 1 }) => ({
            TargetGroupArn: arnOf(group),
            Weight: weight,
          })),
          ...(stickinessSeconds !== undefined && {
            TargetGroupStickinessConfig: { Enabled: true, DurationSeconds: stickinessSeconds },
          }),
        },
      };
    }
    case 'redirect': {
      const { statusCode, protocol, host, port, path, query } = action;
      return {
        Type: 'redirect',
        RedirectConfig: {
          StatusCode: statusCode,
          Protocol: protocol,
          Host: host,
          Port: port,
          Path: path,
          Query: query,
        },
      };
    }
    case 'fixed-response': {
      const { statusCode, contentType, messageBody } = action;
      return {
        Type: 'fixed-response',
        FixedResponseConfig: {
          StatusCode: statusCode,
          ContentType: contentType,
          MessageBody: messageBody,
        },
      };
    }
  }
}

const optional = <Key extends string, Value>(key: Key, value: Value | undefined) =>
  (value === undefined || value === '' ? {} : { [key]: value }) as { [K in Key]?: Value };

/** An action that the model has not, such as authentication, keeps its name: what a user has put in by hand is like none that is wanted. */
export function fromActions(actions: readonly Action[] | undefined): ExistingAction[] {
  return (actions ?? []).map((action): ExistingAction => {
    const { RedirectConfig: redirect, FixedResponseConfig: response, ForwardConfig: forward } = action;
    if (action.Type === 'redirect')
      return {
        type: 'redirect',
        statusCode: redirect?.StatusCode ?? 'HTTP_302',
        ...optional('protocol', redirect?.Protocol),
        ...optional('host', redirect?.Host),
        ...optional('port', redirect?.Port),
        ...optional('path', redirect?.Path),
        ...(redirect?.Query !== undefined && { query: redirect.Query }),
      };
    if (action.Type === 'fixed-response')
      return {
        type: 'fixed-response',
        statusCode: response?.StatusCode ?? '',
        ...optional('contentType', response?.ContentType),
        ...optional('messageBody', response?.MessageBody),
      };
    if (action.Type !== 'forward') return { type: 'other', name: `${action.Type}` };
    const listed = forward?.TargetGroups?.length
      ? forward.TargetGroups
      : [{ TargetGroupArn: action.TargetGroupArn, Weight: 1 }];
    const stickiness = forward?.TargetGroupStickinessConfig;
    return {
      type: 'forward',
      targetGroups: listed.map(({ TargetGroupArn: arn = '', Weight: weight = 1 }) => ({
        group: { arn },
        weight,
      })),
      ...(stickiness?.Enabled && optional('stickinessSeconds', stickiness.DurationSeconds)),
    };
  });
}

export function toCondition(condition: ConditionSpec): RuleCondition {
  const { field: Field } = condition;
  switch (condition.field) {
    case 'host-header':
      return { Field, HostHeaderConfig: { Values: [...condition.values] } };
    case 'path-pattern':
      return { Field, PathPatternConfig: { Values: [...condition.values] } };
    case 'http-request-method':
      return { Field, HttpRequestMethodConfig: { Values: [...condition.values] } };
    case 'source-ip':
      return { Field, SourceIpConfig: { Values: [...condition.values] } };
    case 'http-header':
      return {
        Field,
        HttpHeaderConfig: { HttpHeaderName: condition.name, Values: [...condition.values] },
      };
    case 'query-string': {
      const pairs = condition.values.map(({ key, value }) => ({ ...(key && { Key: key }), Value: value }));
      return { Field, QueryStringConfig: { Values: pairs } };
    }
  }
}

/** A condition that the model has not keeps its field, and is like none that is wanted. */
export function fromConditions(conditions: readonly RuleCondition[] | undefined): ConditionSpec[] {
  return (conditions ?? []).map((condition): ConditionSpec => {
    const { Field } = condition;
    if (Field === 'http-header') {
      const { HttpHeaderName: name = '', Values: values = [] } = condition.HttpHeaderConfig ?? {};
      return { field: 'http-header', name, values };
    }
    if (Field === 'query-string') {
      const values = condition.QueryStringConfig?.Values ?? [];
      return {
        field: 'query-string',
        values: values.map(({ Key, Value = '' }) => ({ ...(Key && { key: Key }), value: Value })),
      };
    }
    const values =
      condition.HostHeaderConfig?.Values ??
      condition.PathPatternConfig?.Values ??
      condition.HttpRequestMethodConfig?.Values ??
      condition.SourceIpConfig?.Values ??
      condition.Values ??
      [];
    return { field: Field as 'host-header', values };
  });
}

export function toSubnetMappings(subnets: readonly SubnetSpec[]): SubnetMapping[] {
  return subnets.map(({ subnetId, allocationId, privateAddress }) => ({
    SubnetId: subnetId,
    ...(allocationId && { AllocationId: allocationId }),
    ...(privateAddress && { PrivateIPv4Address: privateAddress }),
  }));
}

/** @param protocolVersion of the target group: it decides what codes are. */
export function toHealthCheck(
  check: HealthCheckSpec,
  protocolVersion: TargetGroupSpec['protocolVersion'],
): Partial<CreateTargetGroupCommandInput> {
  return {
    HealthCheckEnabled: true,
    HealthCheckProtocol: check.protocol,
    HealthCheckPort: check.port,
    ...(check.path !== undefined && { HealthCheckPath: check.path }),
    ...(check.matcher !== undefined && {
      Matcher: protocolVersion === 'GRPC' ? { GrpcCode: check.matcher } : { HttpCode: check.matcher },
    }),
    HealthCheckIntervalSeconds: check.intervalSeconds,
    HealthCheckTimeoutSeconds: check.timeoutSeconds,
    HealthyThresholdCount: check.healthyThreshold,
    UnhealthyThresholdCount: check.unhealthyThreshold,
  };
}

export function fromLoadBalancer(
  described: LoadBalancer,
  tags: Tags,
  more: Pick<ExistingLoadBalancer, 'attributes' | 'listeners'>,
): ExistingLoadBalancer {
  const enforced = described.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic;
  return {
    arn: described.LoadBalancerArn!,
    dnsName: described.DNSName ?? '',
    name: described.LoadBalancerName ?? '',
    type: described.Type === 'network' ? 'network' : 'application',
    scheme: described.Scheme === 'internal' ? 'internal' : 'internet-facing',
    subnets: (described.AvailabilityZones ?? []).map(({ SubnetId = '', LoadBalancerAddresses }) => {
      const address = LoadBalancerAddresses?.[0];
      return {
        subnetId: SubnetId,
        ...(address?.AllocationId && { allocationId: address.AllocationId }),
        ...(address?.PrivateIPv4Address && { privateAddress: address.PrivateIPv4Address as Ipv4 }),
      };
    }),
    securityGroups: described.SecurityGroups ?? [],
    ...(enforced && { inboundRulesOnPrivateLink: enforced as 'on' | 'off' }),
    tags,
    ...more,
  };
}

/** @param others certificates beside the default one. */
export function fromListener(
  described: Listener,
  tags: Tags,
  others: readonly string[],
  more: Pick<ExistingListener, 'attributes' | 'rules'>,
): ExistingListener {
  const [first] = described.Certificates ?? [];
  return {
    arn: described.ListenerArn!,
    protocol: described.Protocol as ListenerProtocol,
    port: described.Port!,
    certificates: [...new Set([...(first ? [first.CertificateArn!] : []), ...others])],
    ...(described.SslPolicy && { sslPolicy: described.SslPolicy }),
    ...(described.AlpnPolicy?.[0] && { alpnPolicy: described.AlpnPolicy[0] }),
    defaultActions: fromActions(described.DefaultActions),
    tags,
    ...more,
  };
}

export function fromRule(described: Rule, tags: Tags): ExistingRule {
  return {
    arn: described.RuleArn!,
    priority: Number(described.Priority),
    conditions: fromConditions(described.Conditions),
    actions: fromActions(described.Actions),
    tags,
  };
}

/** @param id what its tag says. */
export function fromTargetGroup(
  described: TargetGroup,
  id: string,
  tags: Tags,
  attributes: Readonly<Record<string, string>>,
): ExistingTargetGroup {
  const matcher = described.Matcher?.GrpcCode ?? described.Matcher?.HttpCode;
  return {
    arn: described.TargetGroupArn!,
    id,
    name: described.TargetGroupName ?? '',
    targetType: described.TargetType === 'ip' ? 'ip' : 'instance',
    protocol: described.Protocol as ListenerProtocol,
    ...(described.ProtocolVersion && {
      protocolVersion: described.ProtocolVersion as NonNullable<TargetGroupSpec['protocolVersion']>,
    }),
    port: described.Port!,
    healthCheck: {
      protocol: described.HealthCheckProtocol as HealthCheckSpec['protocol'],
      port: described.HealthCheckPort ?? 'traffic-port',
      ...optional('path', described.HealthCheckPath),
      ...optional('matcher', matcher),
      intervalSeconds: described.HealthCheckIntervalSeconds ?? 30,
      timeoutSeconds: described.HealthCheckTimeoutSeconds ?? 5,
      healthyThreshold: described.HealthyThresholdCount ?? 5,
      unhealthyThreshold: described.UnhealthyThresholdCount ?? 2,
    },
    attributes,
    tags,
  };
}
