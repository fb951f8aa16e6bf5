import type { Ipv4 } from '@enid/ip';

const dashed = (address: Ipv4): string => address.replaceAll('.', '-');

/** `ip-10-0-1-5.ec2.internal`; outside us-east-1 the domain names the region. */
export function privateDnsName(region: string, address: Ipv4): string {
  const domain = region === 'us-east-1' ? 'ec2.internal' : `${region}.compute.internal`;
  return `ip-${dashed(address)}.${domain}`;
}

/** `ec2-203-0-113-5.compute-1.amazonaws.com`; outside us-east-1 the domain names the region. */
export function publicDnsName(region: string, address: Ipv4): string {
  const domain = region === 'us-east-1' ? 'compute-1' : `${region}.compute`;
  return `ec2-${dashed(address)}.${domain}.amazonaws.com`;
}

/** The id of a zone, the same for every account: `use1-az1`. */
export function zoneId(zone: string): string {
  const [area = '', direction = '', number = ''] = zone.slice(0, -1).split('-');
  const short = direction.replace(/north|south|east|west|central/g, (word) => word.charAt(0));
  return `${area}${short}${number}-az${zone.charCodeAt(zone.length - 1) - 96}`;
}

/** `arn:aws:ec2:us-east-1:123456789012:subnet/subnet-…`. */
export function arn(region: string, accountId: string, kind: string, id: string): string {
  return `arn:aws:ec2:${region}:${accountId}:${kind}/${id}`;
}
