/** What a cluster waits for before it is called ready. */
import type { DaemonSet, Deployment, Node, Pod } from '@enid/kube';
import type { NodeRecord } from '../base/record.ts';
import { fit } from '../control-loops/daemonset/plan.ts';
import { isDeleted, isReady } from '../control-loops/shared/pods.ts';

export type NodeFacts = {
  readonly nodes: readonly Node[];
  /** Of the add-ons. */
  readonly daemonSets: readonly DaemonSet[];
  /** Of the add-ons. */
  readonly pods: readonly Pod[];
};

/**
 * What nodes lack to be ready for pods: that they are, and so is every daemon that belongs on them. How other nodes are does not
 * matter.
 * @returns names for somebody who waits: `node-1`, `kube-proxy on node-1`.
 */
export function unreadyNodes(
  records: readonly Pick<NodeRecord, 'name' | 'dnsName'>[],
  { nodes, daemonSets, pods }: NodeFacts,
): string[] {
  return records.flatMap(({ name, dnsName }) => {
    const node = nodes.find(({ metadata }) => metadata?.name === dnsName);
    if (!node?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'))
      return [name];
    const here = pods.filter((pod) => pod.spec?.nodeName === dnsName && !isDeleted(pod) && isReady(pod));
    return daemonSets
      .filter(({ spec }) => fit(spec!.template, node).run)
      .filter(({ metadata }) => !here.some((pod) => ownedBy(pod, metadata?.uid)))
      .map(({ metadata }) => `${metadata?.name} on ${name}`);
  });
}

/** The Deployments that have not all of their pods ready. */
export function unreadyDeployments(deployments: readonly Deployment[]): string[] {
  return deployments
    .filter(({ spec, status }) => (status?.readyReplicas ?? 0) < (spec?.replicas ?? 1))
    .map(({ metadata }) => metadata?.name ?? '');
}

function ownedBy({ metadata }: Pod, uid: string | undefined): boolean {
  return metadata?.ownerReferences?.some((owner) => owner.controller && owner.uid === uid) ?? false;
}
