import type {
  TargetGroup as ElbTargetGroup,
  TargetGroupAttribute,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { AwsError } from '../../errors.ts';
import type { CloudState } from '../../state.ts';
import { attributeList, setAttributes, targetGroupAttributes } from '../attributes.ts';
import { isHttp, readHealthCheck } from '../health-checks.ts';
import { checkOneOf, checkRange, invalid, type Operations, page, required } from '../operation.ts';
import { elbArn, find, newElbId, targetGroupsUsedBy, usersOfTargetGroups } from '../resources.ts';
import type { TargetGroup } from '../state.ts';
import { addTags, hasTags } from '../tags.ts';
import { checkName } from './load-balancers.ts';

const PROTOCOLS = ['HTTP', 'HTTPS', 'TCP', 'TLS', 'UDP', 'TCP_UDP'] as const;
const VERSIONS = ['HTTP1', 'HTTP2', 'GRPC'] as const;

function describe(state: CloudState, users: ReadonlyMap<string, string>, group: TargetGroup): ElbTargetGroup {
  const { healthCheck } = group;
  const user = users.get(group.arn);
  return {
    TargetGroupArn: group.arn,
    TargetGroupName: group.name,
    Protocol: group.protocol,
    ProtocolVersion: group.protocolVersion,
    Port: group.port,
    VpcId: group.vpcId,
    TargetType: group.targetType,
    IpAddressType: 'ipv4',
    HealthCheckEnabled: healthCheck.enabled,
    HealthCheckProtocol: healthCheck.protocol,
    HealthCheckPort: healthCheck.port,
    HealthCheckPath: healthCheck.path,
    HealthCheckIntervalSeconds: healthCheck.intervalSeconds,
    HealthCheckTimeoutSeconds: healthCheck.timeoutSeconds,
    HealthyThresholdCount: healthCheck.healthyThreshold,
    UnhealthyThresholdCount: healthCheck.unhealthyThreshold,
    Matcher: healthCheck.matcher && { ...healthCheck.matcher },
    LoadBalancerArns: user && state.loadBalancers[user] ? [user] : [],
  };
}

/** What two requests for a target group must have in common to be for the same. */
const settingsOf = ({
  protocol,
  protocolVersion,
  port,
  vpcId,
  targetType,
  healthCheck,
}: Omit<TargetGroup, 'arn'>) =>
  JSON.stringify([protocol, protocolVersion, port, vpcId, targetType, Object.entries(healthCheck).sort()]);

/** @throws {AwsError} for PROXY headers in datagrams, which the lab has not: what passes them on rewrites addresses alone. */
function refuseProxiedDatagrams(
  { protocol }: Pick<TargetGroup, 'protocol'>,
  attributes: readonly TargetGroupAttribute[],
): void {
  const asksFor = attributes.some(
    ({ Key, Value }) => Key === 'proxy_protocol_v2.enabled' && Value === 'true',
  );
  if (asksFor && (protocol === 'UDP' || protocol === 'TCP_UDP'))
    throw new AwsError(
      'InvalidConfigurationRequest',
      `The lab has no PROXY headers in datagrams: proxy_protocol_v2.enabled cannot be true for '${protocol}'`,
    );
}

export const operations: Operations = {
  CreateTargetGroup(input, context) {
    const { state, quotas } = context;
    const name = checkName(input.Name, 'Target group');
    const targetType = checkOneOf(input.TargetType ?? 'instance', ['instance', 'ip'], 'Target type');
    if ((input.IpAddressType ?? 'ipv4') !== 'ipv4') {
      throw new AwsError('InvalidConfigurationRequest', 'The VPCs of the lab have IPv4 CIDR blocks alone');
    }
    const protocol = checkOneOf(required(input.Protocol, 'A protocol'), PROTOCOLS, 'Target group protocol');
    const port = checkRange(required(input.Port, 'A port'), 1, 65_535, 'Target group port');
    const vpcId = required(input.VpcId, 'A VPC ID');
    if (!state.vpcs[vpcId]) throw invalid(`The VPC ID '${vpcId}' is not found`);
    if (input.ProtocolVersion && !isHttp(protocol)) {
      throw invalid(`Protocol version is not of target groups with the protocol '${protocol}'`);
    }
    const version = isHttp(protocol) && {
      protocolVersion: checkOneOf(input.ProtocolVersion ?? 'HTTP1', VERSIONS, 'Protocol version'),
    };
    const wanted = {
      name,
      protocol,
      ...version,
      port,
      vpcId,
      targetType,
      healthCheck: readHealthCheck({ protocol, ...version }, input, undefined),
      attributes: {},
      targets: {},
      tags: addTags(quotas, {}, input.Tags),
    };
    const groups = Object.values(state.targetGroups);
    const same = groups.find((other) => other.name === name);
    if (same) {
      const isSame = settingsOf(same as TargetGroup) === settingsOf(wanted);
      if (isSame && hasTags(same.tags, input.Tags)) {
        return { TargetGroups: [describe(state, usersOfTargetGroups(state), same as TargetGroup)] };
      }
      throw new AwsError(
        'DuplicateTargetGroupName',
        `A target group with the same name '${name}' exists, but ${isSame ? "tags didn't match the specified tags" : 'with different settings'}`,
      );
    }
    if (groups.length >= quotas.targetGroups) {
      throw new AwsError(
        'TooManyTargetGroups',
        `The account has at most ${quotas.targetGroups} target groups`,
      );
    }
    const arn = elbArn(state, `targetgroup/${name}/${newElbId(context)}`);
    const group: TargetGroup = { arn, ...wanted };
    Object.assign(state.targetGroups, { [arn]: group });
    return { TargetGroups: [describe(state, new Map(), group)] };
  },

  DescribeTargetGroups(input, { state }) {
    const { LoadBalancerArn, TargetGroupArns: arns, Names: names } = input;
    if ([LoadBalancerArn, arns?.length, names?.length].filter(Boolean).length > 1) {
      throw invalid('Specify a load balancer ARN, or target group ARNs, or names: one of the three');
    }
    const select = (): TargetGroup[] => {
      if (LoadBalancerArn) {
        const used = targetGroupsUsedBy(state, find(state, 'loadBalancer', LoadBalancerArn).arn);
        return [...used].flatMap((arn) => state.targetGroups[arn] ?? []);
      }
      if (arns?.length) return arns.map((arn) => find(state, 'targetGroup', arn));
      const all = Object.values(state.targetGroups);
      if (!names?.length) return all;
      return names.map((name) => {
        const found = all.find((group) => group.name === name);
        if (found) return found;
        throw new AwsError('TargetGroupNotFound', 'One or more target groups not found');
      });
    };
    const users = usersOfTargetGroups(state);
    const { items, next } = page(select(), ({ arn }) => arn, input);
    return { TargetGroups: items.map((group) => describe(state, users, group)), ...next };
  },

  ModifyTargetGroup(input, { state }) {
    const group = find(state, 'targetGroup', input.TargetGroupArn);
    group.healthCheck = readHealthCheck(group, input, group.healthCheck);
    return { TargetGroups: [describe(state, usersOfTargetGroups(state), group as TargetGroup)] };
  },

  DeleteTargetGroup({ TargetGroupArn }, { state, past }) {
    if (!state.targetGroups[TargetGroupArn]) return {};
    // That an action is gone is noticed as late as describing shows it.
    if ([state, past].some((each) => usersOfTargetGroups(each).has(TargetGroupArn))) {
      throw new AwsError(
        'ResourceInUse',
        `Target group '${TargetGroupArn}' is currently in use by a listener or a rule`,
      );
    }
    delete state.targetGroups[TargetGroupArn];
    return {};
  },

  DescribeTargetGroupAttributes({ TargetGroupArn }, { state }) {
    const group = find(state, 'targetGroup', TargetGroupArn);
    return { Attributes: attributeList(targetGroupAttributes(group), group.attributes) };
  },

  ModifyTargetGroupAttributes({ TargetGroupArn, Attributes }, { state }) {
    const group = find(state, 'targetGroup', TargetGroupArn);
    refuseProxiedDatagrams(group, Attributes);
    setAttributes(targetGroupAttributes(group), group.attributes, Attributes, 'Target group');
    return { Attributes: attributeList(targetGroupAttributes(group), group.attributes) };
  },
};
