/** IngressClassParams as what annotations say, over those of the Ingresses of the class. */
import { Annotations } from '../annotations.ts';
import type { IngressClassParams } from './world.ts';

/** The field that stands for an annotation. */
const FIELDS: Readonly<Record<string, string>> = {
  'load-balancer-name': 'loadBalancerName',
  'ip-address-type': 'ipAddressType',
  subnets: 'subnets.ids',
  'inbound-cidrs': 'inboundCIDRs',
  'security-group-prefix-lists': 'PrefixListsIDs',
  'certificate-arn': 'certificateArn',
  'ssl-policy': 'sslPolicy',
  'ssl-redirect': 'sslRedirectPort',
  'target-type': 'targetType',
  'wafv2-acl-arn': 'wafv2AclArn',
  'wafv2-acl-name': 'wafv2AclName',
  'ipam-ipv4-pool-id': 'ipamConfiguration',
  'minimum-load-balancer-capacity': 'minimumLoadBalancerCapacity',
};

/** What the class says in place of annotations, but for tags and attributes of load balancers, which are merged. */
export function classAnnotations(prefix: string, params: IngressClassParams): Annotations {
  const spec = params.spec ?? {};
  const said = {
    scheme: spec.scheme,
    'load-balancer-name': spec.loadBalancerName,
    'ip-address-type': spec.ipAddressType,
    subnets: spec.subnets?.ids?.join(','),
    'inbound-cidrs': spec.inboundCIDRs?.join(','),
    'security-group-prefix-lists': spec.PrefixListsIDs?.join(','),
    'certificate-arn': spec.certificateArn?.join(','),
    'ssl-policy': spec.sslPolicy,
    'ssl-redirect': spec.sslRedirectPort,
    'target-type': spec.targetType,
    'wafv2-acl-arn': spec.wafv2AclArn,
    'wafv2-acl-name': spec.wafv2AclName,
    'ipam-ipv4-pool-id': spec.ipamConfiguration && JSON.stringify(spec.ipamConfiguration),
    'minimum-load-balancer-capacity':
      spec.minimumLoadBalancerCapacity && JSON.stringify(spec.minimumLoadBalancerCapacity),
  };
  const values = Object.entries(said).flatMap(([name, value]) => (value ? [[prefix + name, value]] : []));
  return new Annotations(
    `IngressClassParams ${params.metadata?.name}`,
    prefix,
    Object.fromEntries(values),
    (name) => `spec.${FIELDS[name] ?? name}`,
  );
}

/** Pairs of key and value, of tags and attributes. */
export const pairs = (list: readonly { readonly key: string; readonly value: string }[] | undefined) =>
  Object.fromEntries((list ?? []).map(({ key, value }) => [key, value]));

/** The attributes that the class gives a listener. */
export function listenerAttributesOf(
  params: IngressClassParams | undefined,
  protocol: string,
  port: number,
): Record<string, string> {
  const of = (params?.spec?.listeners ?? []).filter(
    (listener) => listener.protocol === protocol && listener.port === port,
  );
  return Object.assign({}, ...of.map(({ listenerAttributes }) => pairs(listenerAttributes)));
}
