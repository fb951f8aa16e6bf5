/** Network load balancers in nftables: which target a flow goes to, and whose address it comes from. */
import type { Ipv4 } from '@enid/ip';
import type {
  ServingListener,
  ServingLoadBalancer,
  ServingTarget,
  ServingTargetGroup,
} from '../cloud/elbv2/serving.ts';

const TABLE = 'enid-nlb';
/** Of connections whose targets are to see the load balancer. */
const HIDDEN = 1;

/** A load balancer's address in a zone, and the device that has it. */
export type ZoneNode = { readonly zone: string; readonly address: Ipv4; readonly link: string };

export type IsHealthy = (group: ServingTargetGroup, target: ServingTarget) => boolean;

const PROTOCOLS: Readonly<Record<string, readonly ('tcp' | 'udp')[]>> = {
  TCP: ['tcp'],
  UDP: ['udp'],
  TCP_UDP: ['tcp', 'udp'],
};

/** The target group of a listener whose flows are passed on as they are; others are terminated first. */
export function passedOnTo(
  { targetGroups }: Pick<ServingLoadBalancer, 'targetGroups'>,
  { protocol, rules }: ServingListener,
): ServingTargetGroup | undefined {
  const [action] = rules.at(-1)?.actions ?? [];
  const arn = action?.TargetGroupArn ?? action?.ForwardConfig?.TargetGroups?.[0]?.TargetGroupArn;
  const group = targetGroups[arn ?? ''];
  const terminated = group?.attributes['proxy_protocol_v2.enabled'] === 'true';
  return PROTOCOLS[protocol] && !terminated ? group : undefined;
}

/**
 * Whom a zone's node sends new flows to: of the targets that it reaches those that are healthy or, when none is, all of them, as
 * AWS fails open.
 */
export function eligible(group: ServingTargetGroup, zone: string, isHealthy: IsHealthy): ServingTarget[] {
  const reached = group.targets.filter(
    (target) => !target.draining && (group.crossZone || target.zone === zone || target.zone === 'all'),
  );
  const healthy = reached.filter((target) => isHealthy(group, target));
  return healthy.length > 0 ? healthy : reached;
}

/** All rules of a load balancer, for nft(8): what is there before is replaced, and flows that are tracked go on. */
export function ruleset(
  loadBalancer: ServingLoadBalancer,
  nodes: readonly ZoneNode[],
  isHealthy: IsHealthy,
): string {
  const flows: string[] = [];
  const refused: string[] = [];
  for (const listener of loadBalancer.listeners) {
    const group = passedOnTo(loadBalancer, listener);
    if (!group) continue;
    for (const { zone, address } of nodes) {
      const targets = eligible(group, zone, isHealthy);
      for (const protocol of PROTOCOLS[listener.protocol]!) {
        const match = `ip daddr ${address} ${protocol} dport ${listener.port}`;
        if (targets.length > 0) flows.push(`${match} ${hidden(group)}${balanced(group, protocol, targets)}`);
        else refused.push(`${match} ${protocol === 'tcp' ? 'reject with tcp reset' : 'drop'}`);
      }
    }
  }
  const leaving = nodes.map(({ address, link }) => `oifname "${link}" ct mark ${HIDDEN} snat to ${address}`);
  return `table ip ${TABLE}
delete table ip ${TABLE}
table ip ${TABLE} {
  chain refused {
    type filter hook prerouting priority mangle;
    ${refused.join('\n    ')}
  }
  chain flows {
    type nat hook prerouting priority dstnat;
    ${flows.join('\n    ')}
  }
  chain leaving {
    type nat hook postrouting priority srcnat;
    ${leaving.join('\n    ')}
  }
}
`;
}

const hidden = ({ attributes }: ServingTargetGroup): string =>
  attributes['preserve_client_ip.enabled'] === 'true' ? '' : `ct mark set ${HIDDEN} `;

/** By the hash of the flow, or of its client where clients are to stick to their targets. */
function balanced(
  { attributes }: ServingTargetGroup,
  protocol: 'tcp' | 'udp',
  targets: readonly ServingTarget[],
): string {
  const sticky = attributes['stickiness.enabled'] === 'true';
  const flow = sticky ? 'ip saddr' : `ip saddr . ${protocol} sport . ip daddr . ${protocol} dport`;
  const [only] = targets;
  if (targets.length === 1) return `dnat to ${only!.address}:${only!.port}`;
  const map = targets.map(({ address, port }, i) => `${i} : ${address} . ${port}`).join(', ');
  return `dnat ip to jhash ${flow} mod ${targets.length} seed 0x656e6964 map { ${map} }`;
}
