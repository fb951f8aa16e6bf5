import { readFileSync } from 'node:fs';
import { arch, release } from 'node:os';
import type { Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';

/** The API that the kubelet follows. */
export const VERSION = 'v1.33.0-enid';

/** What the node is. */
export function nodeInfoOf(runtime: {
  runtimeName: string;
  runtimeVersion: string;
}): Wire<k8s.V1NodeSystemInfo> {
  const osImage = /^PRETTY_NAME="?(.*?)"?$/m.exec(read('/etc/os-release'))?.[1] ?? 'Linux';
  const machineID = read('/etc/machine-id').trim();
  return {
    machineID,
    systemUUID: machineID,
    bootID: read('/proc/sys/kernel/random/boot_id').trim(),
    kernelVersion: release(),
    osImage,
    containerRuntimeVersion: `${runtime.runtimeName}://${runtime.runtimeVersion.replace(/^v/, '')}`,
    kubeletVersion: VERSION,
    kubeProxyVersion: '',
    operatingSystem: 'linux',
    architecture: arch() === 'x64' ? 'amd64' : arch(),
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // Not every machine has it.
  }
}
