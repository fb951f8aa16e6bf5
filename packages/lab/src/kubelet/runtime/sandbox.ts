import type { Pod } from '@enid/kube';
import type { DnsConfig, PodSandboxConfig } from '../cri/types.ts';
import { isHostNetwork, nameOf, namespaceOf, uidOf } from '../pod.ts';
import { podLabels } from './labels.ts';
import { hasPrivileged, namespacesOf, seccompOf, supplementalGroupsOf } from './security.ts';

export type SandboxParts = {
  /** How many sandboxes the pod had before. */
  readonly attempt: number;
  readonly logDirectory: string;
  readonly dns: DnsConfig;
  readonly cgroupParent: string;
};

/** The host name in a pod. */
export function hostNameOf(pod: Pod): string {
  return (pod.spec?.hostname || nameOf(pod)).slice(0, 63).replace(/[-.]+$/, '');
}

/** The control group of a pod, with those of its containers in it. */
export function podCgroup(cgroupParent: string, uid: string): string {
  return `${cgroupParent}/kubepods/pod${uid}`;
}

export function sandboxConfigOf(
  pod: Pod,
  { attempt, logDirectory, dns, cgroupParent }: SandboxParts,
): PodSandboxConfig {
  const { runAsUser, runAsGroup, seccompProfile, sysctls = [] } = pod.spec?.securityContext ?? {};
  return {
    metadata: { name: nameOf(pod), namespace: namespaceOf(pod), uid: uidOf(pod), attempt },
    // In the node's network the runtime takes the node's.
    hostname: isHostNetwork(pod) ? '' : hostNameOf(pod),
    logDirectory,
    dnsConfig: dns,
    portMappings: isHostNetwork(pod) ? [] : portMappingsOf(pod),
    labels: podLabels(pod),
    annotations: { ...pod.metadata!.annotations },
    linux: {
      cgroupParent: podCgroup(cgroupParent, uidOf(pod)),
      sysctls: Object.fromEntries(sysctls.map(({ name, value }) => [name, value])),
      securityContext: {
        namespaceOptions: namespacesOf(pod),
        ...(runAsUser !== undefined && { runAsUser: { value: runAsUser } }),
        ...(runAsUser !== undefined && runAsGroup !== undefined && { runAsGroup: { value: runAsGroup } }),
        supplementalGroups: supplementalGroupsOf(pod),
        privileged: hasPrivileged(pod),
        seccomp: seccompOf(seccompProfile, { type: 'RuntimeDefault' }),
      },
    },
  };
}

function portMappingsOf(pod: Pod): PodSandboxConfig['portMappings'] {
  const { containers, initContainers = [] } = pod.spec!;
  const sidecars = initContainers.filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...sidecars, ...containers].flatMap(({ ports = [] }) =>
    ports.map(({ containerPort, hostPort = 0, hostIP = '', protocol = 'TCP' }) => ({
      protocol: protocol as 'TCP' | 'UDP' | 'SCTP',
      containerPort,
      hostPort,
      hostIp: hostIP,
    })),
  );
}
