import type { Annotations } from '../annotations.ts';

/**
 * What annotations may ask for that we do not do, and which values ask for nothing of it. To serve an Ingress without them would
 * leave it open where its user thinks it guarded, or lead requests elsewhere.
 */
const UNSUPPORTED: Readonly<Record<string, readonly string[]>> = {
  'auth-type': ['none'],
  'jwt-validation': [],
  'wafv2-acl-arn': ['none'],
  'wafv2-acl-name': ['none'],
  'waf-acl-id': ['none'],
  'web-acl-id': ['none'],
  'shield-advanced-protection': ['false'],
  'ip-address-type': ['ipv4'],
  'customer-owned-ipv4-pool': [],
  'ipam-ipv4-pool-id': [],
  'minimum-load-balancer-capacity': [],
  'enable-frontend-nlb': ['false'],
  'multi-cluster-target-group': ['false'],
  'use-regex-path-match': ['false'],
};

/** @throws {InvalidObject} that names the first annotation that asks for such a thing. */
export function refuseUnsupported(annotations: Annotations): void {
  for (const [name, harmless] of Object.entries(UNSUPPORTED)) {
    const value = annotations.text(name);
    if (value === undefined || harmless.includes(value)) continue;
    const instead = harmless.length > 0 ? `; it may be ${harmless.join(', ')}` : '';
    annotations.refuse(name, `is "${value.slice(0, 60)}", which is not supported${instead}`);
  }
  for (const name of annotations.names('transforms.'))
    annotations.refuse(name, 'is not supported: no rule may change the requests that it passes on');
}
