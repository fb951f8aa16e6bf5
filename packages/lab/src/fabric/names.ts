import type { Ipv4 } from '@enid/ip';

/** Where instance metadata is served. */
export const IMDS_ADDRESS = '169.254.169.254' as Ipv4;
/** Where the lab's AWS endpoints are served. */
export const AWS_ENDPOINT_ADDRESS = '169.254.169.250' as Ipv4;
/** Local addresses of every VPC's namespace, reached from each interface whatever its security groups say. */
export const LINK_LOCAL_SERVICES: readonly Ipv4[] = [IMDS_ADDRESS, AWS_ENDPOINT_ADDRESS];

/** The namespace of a VPC: its routes, security groups, network address translation, and a port per interface. */
export function vpcNamespaceName(prefix: string, vpcId: string): string {
  return `${prefix}-${vpcId}`;
}

/** The namespace that an EC2 instance boots in. */
export function instanceNamespaceName(prefix: string, instanceId: string): string {
  return `${prefix}-${instanceId}`;
}

export function natGatewayNamespaceName(prefix: string, natGatewayId: string): string {
  return `${prefix}-${natGatewayId}`;
}

/** The namespace of an AWS service that holds interfaces in VPCs. */
export function serviceNamespaceName(prefix: string, holder: string): string {
  return `${prefix}-svc-${holder}`;
}

/** The namespace of a load balancer. @param id the last part of its ARN. */
export function loadBalancerNamespaceName(prefix: string, id: string): string {
  return `${prefix}-elb-${id}`;
}

/** The namespace of everything beyond the internet gateways. */
export function internetNamespaceName(prefix: string): string {
  return `${prefix}-internet`;
}

/** The namespaces of a lab among `names`, for taking away also what a killed process left. */
export function namespacesOf(prefix: string, names: readonly string[]): string[] {
  return names.filter(
    (name) =>
      name.startsWith(`${prefix}-`) &&
      /^(vpc-|i-|nat-|svc-|elb-|internet$)/.test(name.slice(prefix.length + 1)),
  );
}

/** The VPC's end of an interface: `eni-` and the last 11 digits of its id, as long as a link's name can be. */
export function portName(networkInterfaceId: string): string {
  return `eni-${networkInterfaceId.slice(-11)}`;
}

/** The VPC's end of the cable to the internet, there while an internet gateway is attached. */
export const INTERNET_GATEWAY_LINK = 'igw';

/** The internet's end of the cable to a VPC. */
export function internetLinkName(vpcId: string): string {
  return `vpc-${vpcId.slice(-11)}`;
}

/** Whether a link of a VPC's namespace is the VPC's end of a cable. */
export function isPortName(link: string): boolean {
  return link === INTERNET_GATEWAY_LINK || link.startsWith('eni-');
}
