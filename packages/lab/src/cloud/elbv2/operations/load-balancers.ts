import type { LoadBalancer as ElbLoadBalancer, Tag } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Draft } from 'immer';
import { AwsError } from '../../errors.ts';
import { defaultGroupOf } from '../../interfaces.ts';
import type { Context } from '../../operation.ts';
import type { CloudState } from '../../state.ts';
import { attributeList, attributesOf, loadBalancerAttributes, setAttributes } from '../attributes.ts';
import { hostedZoneId, loadBalancerDnsName } from '../names.ts';
import { checkOneOf, invalid, type Operations, optional, page } from '../operation.ts';
import { elbArn, find, listenersOf, newElbId, pathOf, rulesOf } from '../resources.ts';
import type { LoadBalancer, LoadBalancerZone } from '../state.ts';
import { addTags, hasTags } from '../tags.ts';
import { closeZone, isZoneAs, openZone, readZones, type ZoneRequest } from '../zones.ts';

const badConfiguration = (message: string) => new AwsError('InvalidConfigurationRequest', message);

export function checkName(name: string, what: string): string {
  if (name.length > 32) throw invalid(`${what} name '${name}' cannot be longer than '32' characters`);
  if (!/^[a-zA-Z0-9-]+$/.test(name)) {
    throw invalid(
      `${what} name '${name}' can only contain characters that are alphanumeric characters or hyphens(-)`,
    );
  }
  if (/^-|-$/.test(name)) throw invalid(`${what} name '${name}' cannot begin or end with '-'`);
  return name;
}

function checkLoadBalancerName(name: string): string {
  if (name.startsWith('internal-'))
    throw invalid(`Load balancer name '${name}' cannot begin with 'internal-'`);
  return checkName(name, 'Load balancer');
}

/** The security groups of a load balancer: of an application one, the VPC's default group unless others are named. */
function readGroups(
  context: Context,
  { type, vpcId }: Pick<LoadBalancer, 'type' | 'vpcId'>,
  ids: readonly string[] | undefined,
): string[] {
  const { state, quotas } = context;
  if (!ids?.length) return type === 'application' ? [defaultGroupOf(context, vpcId)] : [];
  const groups = [...new Set(ids)];
  const bad = groups.filter((id) => state.securityGroups[id]?.vpcId !== vpcId);
  if (bad.length > 0) {
    throw new AwsError('InvalidSecurityGroup', `One or more security groups are invalid: ${bad.join(', ')}`);
  }
  if (groups.length > quotas.securityGroupsPerInterface) {
    throw badConfiguration(
      `A load balancer has at most ${quotas.securityGroupsPerInterface} security groups`,
    );
  }
  return groups;
}

function checkIpv4(type: string | undefined): void {
  if (type === undefined || type === 'ipv4') return;
  throw badConfiguration(`The VPCs of the lab have IPv4 CIDR blocks alone: '${type}' cannot be had`);
}

function describeZone(
  { networkInterfaces }: CloudState,
  { type, scheme }: LoadBalancer,
  zone: LoadBalancerZone,
) {
  const eni = networkInterfaces[zone.networkInterfaceId];
  const publicIp = eni?.publicIps[eni.primaryIp];
  const isStatic = publicIp?.allocationId !== undefined;
  return {
    ZoneName: zone.zone,
    SubnetId: zone.subnetId,
    LoadBalancerAddresses:
      type === 'network' && (isStatic || scheme === 'internal')
        ? [
            isStatic
              ? { IpAddress: publicIp.publicIp, AllocationId: publicIp.allocationId }
              : { PrivateIPv4Address: eni?.primaryIp },
          ]
        : [],
  };
}

function describe(state: CloudState, loadBalancer: LoadBalancer): ElbLoadBalancer {
  const { type } = loadBalancer;
  return {
    LoadBalancerArn: loadBalancer.arn,
    LoadBalancerName: loadBalancer.name,
    DNSName: loadBalancer.dnsName,
    CanonicalHostedZoneId: hostedZoneId(type),
    CreatedTime: new Date(loadBalancer.createdTime),
    Scheme: loadBalancer.scheme,
    VpcId: loadBalancer.vpcId,
    State: { Code: loadBalancer.state },
    Type: type,
    AvailabilityZones: loadBalancer.zones.map((zone) => describeZone(state, loadBalancer, zone)),
    SecurityGroups: [...loadBalancer.securityGroups],
    IpAddressType: 'ipv4',
    EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic:
      type === 'network' && loadBalancer.securityGroups.length > 0
        ? (loadBalancer.enforceInboundRulesOnPrivateLink ?? 'on')
        : undefined,
  };
}

/** The load balancer of a name, when it is what a request asks for; a request may be sent twice. */
function existing(
  state: CloudState,
  wanted: Pick<LoadBalancer, 'name' | 'type' | 'scheme' | 'securityGroups'>,
  zones: readonly ZoneRequest[],
  tags: readonly Tag[] | undefined,
): LoadBalancer | undefined {
  const { name } = wanted;
  const found = Object.values(state.loadBalancers).find((other) => other.name === name);
  if (!found) return undefined;
  const isSame =
    found.type === wanted.type &&
    found.scheme === wanted.scheme &&
    found.securityGroups.toSorted().join() === wanted.securityGroups.toSorted().join() &&
    found.zones.length === zones.length &&
    zones.every((request) => found.zones.some((zone) => isZoneAs(state, zone, request)));
  if (isSame && hasTags(found.tags, tags)) return found;
  const difference = isSame ? "tags didn't match the specified tags" : 'with different settings';
  throw new AwsError(
    'DuplicateLoadBalancerName',
    `A load balancer with the same name '${name}' exists, but ${difference}`,
  );
}

const byZone = (zones: readonly LoadBalancerZone[]) => zones.toSorted((a, b) => (a.zone < b.zone ? -1 : 1));

export const operations: Operations = {
  CreateLoadBalancer(input, context) {
    const { state, quotas } = context;
    const name = checkLoadBalancerName(input.Name);
    const type = checkOneOf(input.Type ?? 'application', ['application', 'network'], 'Load balancer type');
    const scheme = input.Scheme ?? 'internet-facing';
    if (scheme !== 'internal' && scheme !== 'internet-facing') {
      throw new AwsError('InvalidScheme', `Scheme '${scheme}' must be 'internal' or 'internet-facing'`);
    }
    checkIpv4(input.IpAddressType);
    const zones = readZones(context, { type, scheme }, input);
    const vpcId = zones[0]!.subnet.vpcId;
    const securityGroups = readGroups(context, { type, vpcId }, input.SecurityGroups);
    const same = existing(state, { name, type, scheme, securityGroups }, zones, input.Tags);
    if (same) return { LoadBalancers: [describe(state, same)] };

    const limit = type === 'application' ? quotas.applicationLoadBalancers : quotas.networkLoadBalancers;
    if (Object.values(state.loadBalancers).filter((other) => other.type === type).length >= limit) {
      throw new AwsError(
        'TooManyLoadBalancers',
        `The account has at most ${limit} load balancers of type '${type}'`,
      );
    }
    const id = newElbId(context);
    const arn = elbArn(state, `loadbalancer/${pathOf({ type, name, id })}`);
    const loadBalancer: Draft<LoadBalancer> = {
      arn,
      id,
      name,
      type,
      scheme,
      vpcId,
      state: 'provisioning',
      createdTime: context.now.toISOString(),
      dnsName: loadBalancerDnsName(state.region, { type, scheme, name, id }),
      securityGroups,
      zones: [],
      attributes: {},
      tags: addTags(quotas, {}, input.Tags),
    };
    loadBalancer.zones = byZone(zones.map((zone) => openZone(context, loadBalancer, zone)));
    state.loadBalancers[arn] = loadBalancer;
    return { LoadBalancers: [describe(state, loadBalancer)] };
  },

  DescribeLoadBalancers(input, { state }) {
    const { LoadBalancerArns: arns, Names: names } = input;
    if (arns?.length && names?.length) throw invalid('Specify load balancer ARNs or names, not both');
    if ((arns?.length ?? 0) > 20) throw invalid('At most 20 load balancers can be named');
    const all = Object.values(state.loadBalancers);
    const named = names?.map((name) => {
      const found = all.find((other) => other.name === name);
      if (found) return found;
      throw new AwsError('LoadBalancerNotFound', `Load balancers '[${name}]' not found`);
    });
    const found = arns?.length
      ? arns.map((arn) => find(state, 'loadBalancer', arn))
      : named?.length
        ? named
        : all;
    const { items, next } = page(found, ({ arn }) => arn, input);
    return { LoadBalancers: items.map((loadBalancer) => describe(state, loadBalancer)), ...next };
  },

  DeleteLoadBalancer({ LoadBalancerArn }, { state }) {
    const loadBalancer = state.loadBalancers[LoadBalancerArn];
    if (!loadBalancer) return {};
    const { attributes } = loadBalancer;
    if (attributes['deletion_protection.enabled'] === 'true') {
      throw new AwsError(
        'OperationNotPermitted',
        `Load balancer '${LoadBalancerArn}' cannot be deleted because deletion protection is enabled`,
      );
    }
    for (const { arn } of listenersOf(state, LoadBalancerArn)) {
      for (const rule of rulesOf(state, arn)) delete state.rules[rule.arn];
      delete state.listeners[arn];
    }
    // Its interfaces, now nobody's, go in a while.
    delete state.loadBalancers[LoadBalancerArn];
    return {};
  },

  DescribeLoadBalancerAttributes({ LoadBalancerArn }, { state }) {
    const loadBalancer = find(state, 'loadBalancer', LoadBalancerArn);
    return { Attributes: attributeList(loadBalancerAttributes(loadBalancer), loadBalancer.attributes) };
  },

  ModifyLoadBalancerAttributes({ LoadBalancerArn, Attributes }, { state }) {
    const loadBalancer = find(state, 'loadBalancer', LoadBalancerArn);
    const table = loadBalancerAttributes(loadBalancer);
    setAttributes(table, loadBalancer.attributes, Attributes, 'Load balancer');
    const all = attributesOf(table, loadBalancer.attributes);
    if (all['access_logs.s3.enabled'] === 'true' && !all['access_logs.s3.bucket']) {
      throw badConfiguration('Access logs need a bucket: set access_logs.s3.bucket');
    }
    return { Attributes: attributeList(table, loadBalancer.attributes) };
  },

  SetSubnets(input, context) {
    const { state } = context;
    const loadBalancer = find(state, 'loadBalancer', input.LoadBalancerArn);
    checkIpv4(input.IpAddressType);
    const wanted = readZones(context, loadBalancer, input);
    if (wanted.some(({ subnet }) => subnet.vpcId !== loadBalancer.vpcId)) {
      throw new AwsError(
        'InvalidSubnet',
        `The load balancer '${loadBalancer.arn}' is in ${loadBalancer.vpcId}`,
      );
    }
    const kept = loadBalancer.zones.filter((zone) =>
      wanted.some((request) => isZoneAs(state, zone, request)),
    );
    for (const zone of loadBalancer.zones) if (!kept.includes(zone)) closeZone(context, zone);
    const added = wanted
      .filter((request) => !kept.some((zone) => isZoneAs(state, zone, request)))
      .map((request) => openZone(context, loadBalancer, request));
    loadBalancer.zones = byZone([...kept, ...added]);
    const zones = loadBalancer.zones.map((zone) => describeZone(state, loadBalancer, zone));
    return { AvailabilityZones: zones, IpAddressType: 'ipv4' };
  },

  SetSecurityGroups(input, context) {
    const { state } = context;
    const loadBalancer = find(state, 'loadBalancer', input.LoadBalancerArn);
    if (
      loadBalancer.type === 'network' &&
      loadBalancer.securityGroups.length === 0 &&
      input.SecurityGroups.length
    ) {
      throw badConfiguration(
        `You cannot associate security groups with '${loadBalancer.arn}', which was created without: make it anew`,
      );
    }
    if (input.SecurityGroups.length === 0) throw invalid('At least one security group must be specified');
    loadBalancer.securityGroups = readGroups(context, loadBalancer, input.SecurityGroups);
    for (const { networkInterfaceId } of loadBalancer.zones) {
      const eni = state.networkInterfaces[networkInterfaceId];
      if (eni) eni.groups = [...loadBalancer.securityGroups];
    }
    const enforced = input.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic;
    if (enforced !== undefined && loadBalancer.type === 'network') {
      loadBalancer.enforceInboundRulesOnPrivateLink = checkOneOf(enforced, ['on', 'off'], 'The enforcement');
    }
    return {
      SecurityGroupIds: [...loadBalancer.securityGroups],
      ...optional(
        'EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic',
        loadBalancer.enforceInboundRulesOnPrivateLink,
      ),
    };
  },

  SetIpAddressType({ LoadBalancerArn, IpAddressType }, { state }) {
    find(state, 'loadBalancer', LoadBalancerArn);
    checkIpv4(IpAddressType);
    return { IpAddressType: 'ipv4' };
  },
};
