/** What containers may do, from security contexts to the runtime's words. */

import type { Pod, Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';
import type { LinuxContainerSecurityContext, NamespaceOption, SecurityProfile } from '../cri/types.ts';
import { type Container, containersOf, isHostNetwork } from '../pod.ts';

const MASKED_PATHS = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
];
const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** @param targetId of the container whose processes an ephemeral one is to see. */
export function namespacesOf(pod: Pod, targetId?: string): NamespaceOption {
  const { hostPID, hostIPC, shareProcessNamespace } = pod.spec!;
  const own = shareProcessNamespace ? 'POD' : 'CONTAINER';
  return {
    network: isHostNetwork(pod) ? 'NODE' : 'POD',
    pid: targetId ? 'TARGET' : hostPID ? 'NODE' : own,
    ipc: hostIPC ? 'NODE' : 'POD',
    ...(targetId && { targetId }),
  };
}

export function isPrivileged(container: Container): boolean {
  return container.securityContext?.privileged === true;
}

export function hasPrivileged(pod: Pod): boolean {
  return containersOf(pod).some(({ spec }) => isPrivileged(spec));
}

export function seccompOf(...profiles: (Wire<k8s.V1SeccompProfile> | undefined)[]): SecurityProfile {
  const profile = profiles.find(Boolean);
  switch (profile?.type) {
    case 'RuntimeDefault':
      return { profileType: 'RuntimeDefault' };
    case 'Localhost':
      return {
        profileType: 'Localhost',
        localhostRef: `/var/lib/kubelet/seccomp/${profile.localhostProfile}`,
      };
    default:
      return { profileType: 'Unconfined' };
  }
}

/** The groups of every process in the pod, beside its own. */
export function supplementalGroupsOf(pod: Pod): number[] {
  const { supplementalGroups = [], fsGroup } = pod.spec?.securityContext ?? {};
  return fsGroup === undefined ? supplementalGroups : [...supplementalGroups, fsGroup];
}

/** @param imageUser whom the image runs as: a group alone is no user to the runtime. */
export function securityContextOf(
  pod: Pod,
  container: Container,
  namespaceOptions: NamespaceOption,
  imageUser: number,
): LinuxContainerSecurityContext {
  const own = container.securityContext ?? {};
  const shared = pod.spec?.securityContext ?? {};
  const privileged = isPrivileged(container);
  const group = own.runAsGroup ?? shared.runAsGroup;
  const user = own.runAsUser ?? shared.runAsUser ?? (group === undefined ? undefined : imageUser);
  const seesAll = privileged || own.procMount === 'Unmasked';
  return {
    privileged,
    namespaceOptions,
    capabilities: {
      addCapabilities: own.capabilities?.add ?? [],
      dropCapabilities: own.capabilities?.drop ?? [],
    },
    ...(user !== undefined && { runAsUser: { value: user } }),
    ...(group !== undefined && { runAsGroup: { value: group } }),
    readonlyRootfs: own.readOnlyRootFilesystem ?? false,
    supplementalGroups: supplementalGroupsOf(pod),
    noNewPrivs: own.allowPrivilegeEscalation === false,
    maskedPaths: seesAll ? [] : MASKED_PATHS,
    readonlyPaths: seesAll ? [] : READONLY_PATHS,
    seccomp: seccompOf(own.seccompProfile, shared.seccompProfile),
  };
}
