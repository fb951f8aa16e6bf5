/** The connections that targets have, where they do not end by themselves. */
import { spawn } from 'node:child_process';
import type { NetNamespace } from '@enid/linux';
import { collect } from '../base/output.ts';
import type { ServingLoadBalancer, ServingTarget, ServingTargetGroup } from '../cloud/elbv2/serving.ts';
import type { IsHealthy } from './targets.ts';

/** A load balancer as it was at some time. */
export type View = { readonly loadBalancer: ServingLoadBalancer; readonly isHealthy: IsHealthy };

type Endpoint = Pick<ServingTarget, 'address' | 'port'>;

const keyOf = ({ address, port }: Endpoint): string => `${address}:${port}`;

/**
 * The targets whose connections AWS ends. Those of an application load balancer when the deregistration delay is over; those of a
 * network load balancer then, or once a target is unhealthy, as its target group says.
 */
export function endedTargets(before: View, now: View): Endpoint[] {
  const { type } = before.loadBalancer;
  const ended = Object.values(before.loadBalancer.targetGroups).flatMap((group) => {
    const isSet = (name: string) => group.attributes[`${name}.connection_termination.enabled`] === 'true';
    const next: ServingTargetGroup | undefined = now.loadBalancer.targetGroups[group.arn];
    return group.targets.filter((target) => {
      const kept = next?.targets.find((each) => keyOf(each) === keyOf(target));
      if (!kept) return type === 'application' || isSet('deregistration_delay');
      const isLost = before.isHealthy(group, target) && !now.isHealthy(next!, kept);
      return isLost && isSet('target_health_state.unhealthy');
    });
  });
  const used = new Set(
    Object.values(now.loadBalancer.targetGroups).flatMap((group) =>
      group.targets.filter((target) => now.isHealthy(group, target)).map(keyOf),
    ),
  );
  return ended.filter((target) => !used.has(keyOf(target)));
}

/** Ends what is open from a namespace to a target: its own connections, and flows that it passes on. */
export async function endConnections(ns: NetNamespace, { address, port }: Endpoint): Promise<void> {
  const run = (file: string, ...args: string[]) =>
    collect(ns.run(() => spawn(file, args, { stdio: 'pipe' })));
  await run('ss', '--kill', '--no-header', '--tcp', `dst ${address} and dport = ${port}`);
  for (const protocol of ['tcp', 'udp']) {
    const flow = ['-p', protocol, '--reply-src', address, '--reply-port-src', `${port}`];
    await run('conntrack', '-D', ...flow);
  }
}
