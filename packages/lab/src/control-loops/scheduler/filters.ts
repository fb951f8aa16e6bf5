import type { Pod } from '@enid/kube';
import { tolerates, untolerated } from '../shared/taints.ts';
import type { Filter, Refusal } from './filter.ts';
import { interPodAffinity } from './inter-pod-affinity.ts';
import { wantsNode } from './node-affinity.ts';
import { conflict, hostPorts, needs, type Snapshot } from './node-info.ts';
import { topologySpread } from './topology-spread.ts';

const lasting = (reason: string): Refusal => ({ reasons: [reason], lasting: true });
const passing = (reason: string): Refusal => ({ reasons: [reason], lasting: false });

const UNSCHEDULABLE = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

/** All filters for a pod, in the order in which the real scheduler asks its plugins. */
export function filtersFor(pod: Pod, snapshot: Snapshot): Filter[] {
  return [
    nodeUnschedulable(pod),
    nodeName(pod),
    taintToleration(pod),
    nodeAffinity(pod),
    nodePorts(pod),
    nodeResources(pod),
    topologySpread(pod, snapshot),
    interPodAffinity(pod, snapshot),
  ];
}

function nodeUnschedulable(pod: Pod): Filter {
  const tolerated = pod.spec?.tolerations?.some((toleration) => tolerates(toleration, UNSCHEDULABLE));
  return ({ node }) =>
    node.spec?.unschedulable && !tolerated ? lasting('node(s) were unschedulable') : undefined;
}

function nodeName(pod: Pod): Filter {
  const wanted = pod.spec?.nodeName;
  return ({ name }) =>
    wanted && wanted !== name ? lasting("node(s) didn't match the requested node name") : undefined;
}

function taintToleration(pod: Pod): Filter {
  return ({ node }) => {
    const taint = untolerated(node.spec?.taints, pod.spec?.tolerations);
    return taint && lasting(`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`);
  };
}

function nodeAffinity(pod: Pod): Filter {
  return (info) =>
    wantsNode(pod, info) ? undefined : lasting("node(s) didn't match Pod's node affinity/selector");
}

function nodePorts(pod: Pod): Filter {
  const wanted = hostPorts(pod);
  return ({ ports }) =>
    wanted.some((port) => ports.some((taken) => conflict(port, taken)))
      ? passing("node(s) didn't have free ports for the requested pod ports")
      : undefined;
}

function nodeResources(pod: Pod): Filter {
  const { requests } = needs(pod);
  return ({ pods, allocatable, requested }) => {
    const reasons: string[] = [];
    let hopeless = false;
    if ((pods.length + 1) * 1000 > (allocatable.get('pods') ?? 0)) reasons.push('Too many pods');
    for (const [name, amount] of requests) {
      const capacity = allocatable.get(name) ?? 0;
      if (amount === 0 || amount <= capacity - (requested.get(name) ?? 0)) continue;
      reasons.push(`Insufficient ${name}`);
      if (amount > capacity) hopeless = true;
    }
    return reasons.length > 0 ? { reasons, lasting: hopeless } : undefined;
  };
}
