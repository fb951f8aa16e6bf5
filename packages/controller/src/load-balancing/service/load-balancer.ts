/** The load balancer itself: its scheme, where it stands, what it is called and how it behaves. */
import { AddressError, contains, type Ipv4, parseIpv4 } from '@enid/ip';
import { type AttributeTable, FLAG, readAttributes } from '../attributes.ts';
import type { AccountLoadBalancer, AccountSubnet } from '../model/account.ts';
import { resourceName } from '../model/identity.ts';
import type { Scheme, SubnetSpec } from '../model/stack.ts';
import { resolveSubnets } from '../subnets.ts';
import type { Reading } from './reading.ts';

const ATTRIBUTES: AttributeTable = {
  'access_logs.s3.enabled': FLAG,
  'deletion_protection.enabled': FLAG,
  'dns_record.client_routing_policy':
    /^(any_availability_zone|partial_availability_zone_affinity|availability_zone_affinity)$/,
  'load_balancing.cross_zone.enabled': FLAG,
  'zonal_shift.config.enabled': FLAG,
};

/** Internal, unless an annotation, or the load balancer that there is already, says otherwise. */
export function readScheme({ annotations }: Reading, present: AccountLoadBalancer | undefined): Scheme {
  const said = annotations.oneOf('scheme', ['internal', 'internet-facing']);
  const internal = annotations.flag('internal');
  if (said) return said;
  if (internal !== undefined) return internal ? 'internal' : 'internet-facing';
  return present?.scheme ?? 'internal';
}

export function checkAddressFamily({ annotations, spec, refuse }: Reading): void {
  const family = annotations.text('ip-address-type') ?? 'ipv4';
  if (family !== 'ipv4')
    annotations.refuse('ip-address-type', `is "${family}": it may be ipv4; IPv6 is not served`);
  for (const name of ['ipv6-addresses', 'source-nat-ipv6-prefixes', 'enable-prefix-for-ipv6-source-nat']) {
    if ((annotations.text(name) ?? 'off') !== 'off')
      annotations.refuse(name, 'is of dualstack load balancers; IPv6 is not served');
  }
  if (spec.ipFamilies?.length && !spec.ipFamilies.includes('IPv4'))
    refuse(`spec.ipFamilies is ${spec.ipFamilies.join(', ')}: it must have IPv4, as the load balancer has`);
}

export function readName({ annotations, namespace, name, uid, world }: Reading, scheme: Scheme): string {
  const said = annotations.text('name');
  if (said === undefined) return resourceName({ namespace, name }, [world.defaults.clusterName, uid, scheme]);
  if (/^(?!internal-)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?$/.test(said)) return said;
  return annotations.refuse(
    'name',
    `is "${said}": it may have 32 letters, digits and hyphens, no hyphen at an end, and not begin with internal-`,
  );
}

export function readSubnets(
  { annotations, world }: Reading,
  scheme: Scheme,
  present: AccountLoadBalancer | undefined,
): Promise<AccountSubnet[]> {
  const hasAddresses = annotations.list('private-ipv4-addresses').length > 0;
  return resolveSubnets(world.account, world.defaults.clusterName, {
    scheme,
    named: annotations.named('subnets'),
    present: present?.scheme === scheme ? present.subnetIds : undefined,
    zones: 1,
    ...(scheme === 'internal' && hasAddresses && { freeAddresses: 0 }),
  });
}

/** The subnets with the addresses that annotations give the load balancer there. */
export function withAddresses(
  { annotations }: Reading,
  scheme: Scheme,
  subnets: readonly AccountSubnet[],
): SubnetSpec[] {
  const checkCount = (name: string, given: readonly unknown[]) => {
    if (given.length !== subnets.length)
      annotations.refuse(
        name,
        `has ${given.length} of the ${subnets.length} that it must have, one for each subnet (${subnets.map(({ id }) => id).join(', ')}): ` +
          'name as many subnets by the annotation aws-load-balancer-subnets, or give as many addresses',
      );
  };
  const elastic = annotations.list('eip-allocations');
  if (elastic.length > 0) {
    if (scheme === 'internal')
      annotations.refuse('eip-allocations', 'is of internet-facing load balancers, and this one is internal');
    for (const id of elastic) {
      if (!/^eipalloc-\w+$/.test(id))
        annotations.refuse(
          'eip-allocations',
          `has "${id}": it may have ids such as eipalloc-0123456789abcdef0`,
        );
    }
    checkCount('eip-allocations', elastic);
  }
  const own = annotations.list('private-ipv4-addresses').map((text): Ipv4 => {
    try {
      return parseIpv4(text);
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
      return annotations.refuse('private-ipv4-addresses', `has "${text}": it is no IPv4 address`);
    }
  });
  if (own.length > 0) {
    if (scheme === 'internet-facing')
      annotations.refuse(
        'private-ipv4-addresses',
        'is of internal load balancers, and this one is internet-facing',
      );
    checkCount('private-ipv4-addresses', own);
  }
  return subnets.map(({ id, cidr }, index) => {
    const allocationId = elastic[index];
    const privateAddress = own.find((address) => contains(cidr, address));
    if (own.length > 0 && !privateAddress)
      annotations.refuse('private-ipv4-addresses', `has no address of ${id}, which is ${cidr}`);
    return { subnetId: id, ...(allocationId && { allocationId }), ...(privateAddress && { privateAddress }) };
  });
}

/** The attributes that are to be set; annotations of their own come before the list of attributes. */
export function readLoadBalancerAttributes({ annotations }: Reading): Record<string, string> {
  const attributes = readAttributes(annotations, 'attributes', ATTRIBUTES);
  const logs = annotations.flag('access-log-enabled');
  const bucket = annotations.text('access-log-s3-bucket-name');
  const prefix = annotations.text('access-log-s3-bucket-prefix');
  const crossZone = annotations.flag('cross-zone-load-balancing-enabled');
  return {
    ...attributes,
    ...(logs !== undefined && { 'access_logs.s3.enabled': `${logs}` }),
    ...(logs && bucket && { 'access_logs.s3.bucket': bucket }),
    ...(logs && prefix && { 'access_logs.s3.prefix': prefix }),
    ...(crossZone !== undefined && { 'load_balancing.cross_zone.enabled': `${crossZone}` }),
  };
}
