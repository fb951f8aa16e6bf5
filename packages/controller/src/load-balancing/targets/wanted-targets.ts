/** Which targets a target group is to have: pods by their addresses, or nodes by their instances. */
import {
  type EndpointSlice,
  type LabelSelector,
  type Node,
  type Pod,
  type Service,
  selects,
} from '@enid/kube';
import { readinessGate } from './objects.ts';

export type Target = { readonly id: string; readonly port: number };

/** A pod that is a target, or a node. */
export type WantedTarget = Target & ({ readonly pod: Pod | undefined } | { readonly node: Node });

export const targetKey = ({ id, port }: Target): string => `${id}:${port}`;

export type ServicePort = NonNullable<NonNullable<Service['spec']>['ports']>[number];

/** The port of a Service by its number or name; undefined when it has none such. */
export function servicePort(service: Service, wanted: number | string): ServicePort | undefined {
  return service.spec?.ports?.find(({ name, port }) =>
    typeof wanted === 'number' ? port === wanted : name === wanted,
  );
}

/**
 * The pods of a Service that are to be targets: those that are ready and those that wait for nothing but for this target
 * group to find them healthy. A pod that ends is none, so that it gets no new connections while it still serves.
 * @param binding the name of the TargetGroupBinding. @param podOf finds a pod by `namespace/name`.
 */
export function podTargets(
  binding: string,
  port: ServicePort,
  slices: readonly EndpointSlice[],
  podOf: (key: string) => Pod | undefined,
): WantedTarget[] {
  const found = new Map<string, WantedTarget>();
  for (const { addressType, ports, endpoints, metadata } of slices) {
    if (addressType !== 'IPv4') continue;
    const number = ports?.find(({ name }) => (name ?? '') === (port.name ?? ''))?.port;
    if (number === undefined) continue;
    for (const { addresses, conditions, targetRef } of endpoints ?? []) {
      const pod =
        targetRef?.kind === 'Pod'
          ? podOf(`${targetRef.namespace ?? metadata?.namespace}/${targetRef.name}`)
          : undefined;
      if (conditions?.terminating || pod?.metadata?.deletionTimestamp) continue;
      if (conditions?.ready === false && !(pod && awaits(pod, binding))) continue;
      for (const id of addresses) found.set(targetKey({ id, port: number }), { id, port: number, pod });
    }
  }
  return [...found.values()];
}

/** Whether a pod's containers are ready and the pod has the gate of this binding. */
function awaits({ spec, status }: Pod, binding: string): boolean {
  const isGated = spec?.readinessGates?.some(({ conditionType }) => conditionType === readinessGate(binding));
  return Boolean(
    isGated &&
      status?.conditions?.some(({ type, status: state }) => type === 'ContainersReady' && state === 'True'),
  );
}

const EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers';
const LEAVES = 'ToBeDeletedByClusterAutoscaler';

/** The nodes that may pass on connections from load balancers, as Kubernetes' service controller chooses them. */
export function nodeTargets(
  port: ServicePort,
  selector: LabelSelector | undefined,
  nodes: readonly Node[],
): WantedTarget[] {
  const { nodePort } = port;
  if (!nodePort) return [];
  return nodes.flatMap((node) => {
    const id = instanceOf(node);
    return id && isEligible(node) && selects(selector ?? {}, node.metadata?.labels)
      ? [{ id, port: nodePort, node }]
      : [];
  });
}

function isEligible({ metadata, spec, status }: Node): boolean {
  return (
    !metadata?.deletionTimestamp &&
    metadata?.labels?.[EXCLUDED] === undefined &&
    !spec?.taints?.some(({ key }) => key === LEAVES) &&
    Boolean(status?.conditions?.some(({ type, status: state }) => type === 'Ready' && state === 'True'))
  );
}

/** `i-0123...` of a node's provider id, `aws:///us-east-1a/i-0123...`; undefined for a node that is no EC2 instance. */
export function instanceOf({ spec }: Pick<Node, 'spec'>): string | undefined {
  return /^aws:\/\/\/.*\/(i-[0-9a-f]+)$/.exec(spec?.providerID ?? '')?.[1];
}
