import type { Node, Pod, Service, Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';
import { isDeleted, isFinished, isReady } from './pods.ts';

export type Port = Wire<k8s.DiscoveryV1EndpointPort>;

/** A pod as its Service's endpoint. */
export type ServiceEndpoint = {
  readonly pod: Pod;
  readonly address: string;
  readonly family: 'IPv4' | 'IPv6';
  readonly ports: readonly Port[];
  /** Takes new connections. */
  readonly ready: boolean;
  /** Answers, though it may be about to end. */
  readonly serving: boolean;
  readonly terminating: boolean;
  /** For DNS, in a headless Service. */
  readonly hostname: string | undefined;
  readonly nodeName: string | undefined;
  readonly zone: string | undefined;
};

/** @param pods those that the Service's selector selects. @param nodeOf finds a node by name. */
export function serviceEndpoints(
  service: Service,
  pods: readonly Pod[],
  nodeOf: (name: string) => Node | undefined,
): ServiceEndpoint[] {
  const families = service.spec?.ipFamilies ?? ['IPv4'];
  const always = service.spec?.publishNotReadyAddresses ?? false;
  return pods.flatMap((pod) => {
    if (isFinished(pod)) return [];
    const serving = isReady(pod);
    const terminating = isDeleted(pod);
    const addresses =
      pod.status?.podIPs?.map(({ ip }) => ip) ?? (pod.status?.podIP ? [pod.status.podIP] : []);
    const ports = portsOf(service, pod);
    const { nodeName, hostname, subdomain } = pod.spec!;
    const zone = nodeName ? nodeOf(nodeName)?.metadata?.labels?.['topology.kubernetes.io/zone'] : undefined;
    return addresses.flatMap((address): ServiceEndpoint[] => {
      const family = address.includes(':') ? 'IPv6' : 'IPv4';
      if (!families.includes(family)) return [];
      const named = hostname && subdomain === service.metadata?.name ? hostname : undefined;
      const ready = always || (serving && !terminating);
      return [{ pod, address, family, ports, ready, serving, terminating, hostname: named, nodeName, zone }];
    });
  });
}

/** The Service's ports on this pod: a named target port is where a container says it is. */
function portsOf(service: Service, pod: Pod): Port[] {
  return (service.spec?.ports ?? []).flatMap(
    ({ name = '', port, protocol = 'TCP', targetPort, appProtocol }) => {
      const number =
        typeof targetPort === 'string' ? namedPort(pod, targetPort, protocol) : targetPort || port;
      if (number === undefined) return [];
      return [{ name, port: number, protocol, ...(appProtocol && { appProtocol }) }];
    },
  );
}

function namedPort(pod: Pod, name: string, protocol: string): number | undefined {
  const sidecars = pod.spec?.initContainers?.filter(({ restartPolicy }) => restartPolicy === 'Always') ?? [];
  return [...(pod.spec?.containers ?? []), ...sidecars]
    .flatMap(({ ports = [] }) => ports)
    .find((port) => port.name === name && (port.protocol ?? 'TCP') === protocol)?.containerPort;
}

export const targetRef = ({ metadata }: Pod) => ({
  kind: 'Pod',
  namespace: metadata?.namespace,
  name: metadata?.name,
  uid: metadata?.uid,
});

/** Whether the Service's endpoints are found by a selector; else they are somebody else's to write. */
export const hasSelector = (service: Service | undefined) =>
  Object.keys(service?.spec?.selector ?? {}).length > 0 && service?.spec?.type !== 'ExternalName';
