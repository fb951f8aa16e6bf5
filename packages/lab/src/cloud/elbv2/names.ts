/** The DNS names of load balancers, and what they lead to. */
import { createHash } from 'node:crypto';
import type { Ipv4 } from '@enid/ip';
import type { CloudState } from '../state.ts';
import { healthyZones } from './health.ts';
import type { LoadBalancer, LoadBalancerZone } from './state.ts';

/** The hosted zones of us-east-1, whatever the lab's region is called. */
export function hostedZoneId(type: LoadBalancer['type']): string {
  return type === 'application' ? 'Z35SXDOTRQ7X7K' : 'Z26RNL4JYFTOTI';
}

/** `internal-web-1234567890.us-east-1.elb.amazonaws.com`, `web-0123456789abcdef.elb.us-east-1.amazonaws.com`. */
export function loadBalancerDnsName(
  region: string,
  { type, scheme, name, id }: Pick<LoadBalancer, 'type' | 'scheme' | 'name' | 'id'>,
): string {
  const lower = name.toLowerCase();
  if (type === 'network') return `${lower}-${id}.elb.${region}.amazonaws.com`;
  const number = createHash('sha256').update(id).digest().readUInt32BE();
  return `${scheme === 'internal' ? 'internal-' : ''}${lower}-${number}.${region}.elb.amazonaws.com`;
}

/** The address that a zone's clients reach it by: the public one of an internet-facing load balancer, for whoever asks. */
function addressOf(state: CloudState, { scheme }: LoadBalancer, zone: LoadBalancerZone): Ipv4[] {
  const eni = state.networkInterfaces[zone.networkInterfaceId];
  const address = scheme === 'internal' ? eni?.primaryIp : eni?.publicIps[eni.primaryIp]?.publicIp;
  return address ? [address] : [];
}

/**
 * What a name of the account's load balancers leads to: an address for each zone that has healthy targets, or for all
 * zones when none has; for `us-east-1a.<name>` the address of that zone.
 * @param name lower-case.
 * @returns undefined for a name that is none of theirs.
 */
export function resolveLoadBalancer(state: CloudState, name: string): Ipv4[] | undefined {
  for (const loadBalancer of Object.values(state.loadBalancers)) {
    const { dnsName, zones } = loadBalancer;
    if (loadBalancer.state !== 'active' || !name.endsWith(dnsName)) continue;
    if (name === dnsName) {
      return healthyZones(state, loadBalancer).flatMap((zone) => addressOf(state, loadBalancer, zone));
    }
    const zone = zones.find((each) => name === `${each.zone}.${dnsName}`);
    if (zone && loadBalancer.type === 'network') return addressOf(state, loadBalancer, zone);
  }
  return undefined;
}
