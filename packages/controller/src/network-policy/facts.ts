/** What policies depend on of pods and Services, and nothing else: a change of anything else is none. */
import type { Labels, Pod, Service } from '@enid/kube';
import { keyOf } from '@enid/kube';

export type NamedPort = { readonly name: string; readonly protocol: string; readonly port: number };

export type PodFacts = {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  readonly podIP: string;
  readonly hostIP: string;
  /** All of its addresses, `podIP` among them. */
  readonly addresses: readonly string[];
  readonly ports: readonly NamedPort[];
  /** It has its node's address: no policy binds it, and no selector finds it as a peer. */
  readonly hostNetwork: boolean;
};

export type ServicePort = {
  readonly protocol: string;
  readonly port: number;
  readonly target: number | string;
};

export type ServiceFacts = {
  readonly key: string;
  readonly namespace: string;
  readonly selector: Labels;
  readonly addresses: readonly string[];
  readonly ports: readonly ServicePort[];
};

/** @returns undefined for a pod that has no address (yet, or any more). */
export function podFacts(pod: Pod): PodFacts | undefined {
  const { metadata = {}, spec, status } = pod;
  const { podIP, hostIP = '', podIPs = [], phase } = status ?? {};
  if (!podIP || phase === 'Succeeded' || phase === 'Failed') return undefined;
  const sidecars = (spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  const ports = [...(spec?.containers ?? []), ...sidecars].flatMap((container) =>
    (container.ports ?? []).flatMap(({ name, protocol = 'TCP', containerPort: port }) =>
      name ? [{ name, protocol, port }] : [],
    ),
  );
  return {
    key: keyOf(pod),
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    labels: metadata.labels ?? {},
    podIP,
    hostIP,
    addresses: [...new Set([podIP, ...podIPs.map(({ ip }) => ip)])].filter((ip) => ip !== undefined),
    ports,
    hostNetwork: spec?.hostNetwork === true,
  };
}

/** @returns undefined for a Service without an address or without pods of its own. */
export function serviceFacts(service: Service): ServiceFacts | undefined {
  const { selector, clusterIP, clusterIPs, ports = [], type } = service.spec ?? {};
  const addresses = (clusterIPs ?? [clusterIP]).filter((ip) => ip && ip !== 'None') as string[];
  if (type === 'ExternalName' || !selector || Object.keys(selector).length === 0 || addresses.length === 0)
    return undefined;
  return {
    key: keyOf(service),
    namespace: service.metadata?.namespace ?? '',
    selector,
    addresses,
    ports: ports.map(({ protocol = 'TCP', port, targetPort }) => ({
      protocol,
      port,
      target: (targetPort as number | string | undefined) || port,
    })),
  };
}
