/** Network load balancers in nftables: which target a flow goes to, and whose address it comes from. */
import type {
  ServingListener,
  ServingLoadBalancer,
  ServingTarget,
  ServingTargetGroup,
} from '../cloud/elbv2/serving.ts';
import { OWN_CONNECTION } from '../fabric/load-balancers.ts';
import { eligible, type IsHealthy, type ZoneNode } from './targets.ts';

const TABLE = 'enid-nlb';
/** Of connections whose targets are to see the load balancer. */
const HIDDEN = 1;

const PROTOCOLS: Readonly<Record<string, readonly ('tcp' | 'udp')[]>> = {
  TCP: ['tcp'],
  TLS: ['tcp'],
  UDP: ['udp'],
  TCP_UDP: ['tcp', 'udp'],
};

/** The target group of a network load balancer's listener. */
export function targetGroupOf(
  { targetGroups }: Pick<ServingLoadBalancer, 'targetGroups'>,
  { rules }: ServingListener,
): ServingTargetGroup | undefined {
  const [action] = rules.at(-1)?.actions ?? [];
  return targetGroups[
    action?.TargetGroupArn ?? action?.ForwardConfig?.TargetGroups?.[0]?.TargetGroupArn ?? ''
  ];
}

/** Whether flows are passed on as they are; others are ended by the load balancer, which begins others. */
export function isPassedOn({ protocol }: ServingListener, { attributes }: ServingTargetGroup): boolean {
  return protocol !== 'TLS' && attributes['proxy_protocol_v2.enabled'] !== 'true';
}

/** All rules of a network load balancer, for nft(8): what is there before is replaced, and flows that are tracked go on. */
export function ruleset(
  loadBalancer: ServingLoadBalancer,
  nodes: readonly ZoneNode[],
  isHealthy: IsHealthy,
): string {
  const flows: string[] = [];
  const refused: string[] = [];
  for (const listener of loadBalancer.listeners) {
    const group = targetGroupOf(loadBalancer, listener);
    if (!group) continue;
    for (const { zone, address } of nodes) {
      const targets = eligible(group, zone, isHealthy);
      for (const protocol of PROTOCOLS[listener.protocol]!) {
        const match = `ip daddr ${address} ${protocol} dport ${listener.port}`;
        const isServed = targets.length > 0;
        if (isServed && isPassedOn(listener, group))
          flows.push(`${match} ${hidden(group)}${balanced(group, protocol, targets)}`);
        else if (protocol === 'udp') refused.push(`${match} drop`);
        else if (!isServed) refused.push(`${match} reject with tcp reset`);
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
  chain own {
    type filter hook prerouting priority mangle;
    socket transparent 1 meta mark set ${OWN_CONNECTION}
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
