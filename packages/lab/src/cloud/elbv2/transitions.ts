/** What happens to load balancers by itself: they come to be active, targets are drained, interfaces go. */
import { deleteInterface } from '../interfaces.ts';
import type { CloudState } from '../state.ts';
import type { Transition } from '../transition.ts';
import { attributesOf, targetGroupAttributes } from './attributes.ts';

const DEREGISTRATION_DELAY = 'deregistration_delay.timeout_seconds';

export function* loadBalancers(state: CloudState): Generator<Transition> {
  for (const { arn, state: status } of Object.values(state.loadBalancers)) {
    if (status === 'active') continue;
    yield {
      key: `${arn} ${status}`,
      delay: ({ loadBalancerDelayMs }) => loadBalancerDelayMs,
      step(draft) {
        const loadBalancer = draft.loadBalancers[arn];
        if (loadBalancer) loadBalancer.state = 'active';
      },
    };
  }
}

/** The interfaces of load balancers that are deleted. */
export function* releasedInterfaces(state: CloudState): Generator<Transition> {
  const held = new Set(
    Object.values(state.loadBalancers).flatMap(({ zones }) => zones.map((zone) => zone.networkInterfaceId)),
  );
  for (const { id, kind } of Object.values(state.networkInterfaces)) {
    if ((kind !== 'load_balancer' && kind !== 'network_load_balancer') || held.has(id)) continue;
    yield {
      key: `${id} released`,
      delay: ({ loadBalancerReleaseDelayMs }) => loadBalancerReleaseDelayMs,
      step(draft) {
        const eni = draft.networkInterfaces[id];
        if (eni) deleteInterface({ state: draft }, eni);
      },
    };
  }
}

export function* drainingTargets(state: CloudState): Generator<Transition> {
  for (const group of Object.values(state.targetGroups)) {
    for (const [key, { drainingSince }] of Object.entries(group.targets)) {
      if (drainingSince === undefined) continue;
      const attributes = attributesOf(targetGroupAttributes(group), group.attributes);
      yield {
        key: `${group.arn} ${key} draining since ${drainingSince}`,
        delay: () => Number(attributes[DEREGISTRATION_DELAY]) * 1000,
        step(draft) {
          const targets = draft.targetGroups[group.arn]?.targets;
          if (targets?.[key]?.drainingSince === drainingSince) delete targets[key];
        },
      };
    }
  }
}
