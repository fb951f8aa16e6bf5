/** Names of the host ends of the pods' veth pairs. */
import { createHash } from 'node:crypto';
import type { SandboxKey, SandboxMetadata } from '../seams.ts';

const HASH_DIGITS = 11;

/**
 * The name of a pod's link on the node: prefix and 11 hexadecimal digits of SHA-1.
 *
 * Hashed is `namespace.name`, as Amazon's plugin does it, so that its users find a pod's link by the same command.
 * A sandbox that is no Kubernetes pod has no such name: hashed is its container id. An interface other than eth0
 * has its own name appended, so that two attachments of one pod do not meet. A pod of which nothing but its link is
 * known has that one.
 */
export function hostVethName(prefix: string, key: SandboxKey, metadata: SandboxMetadata): string {
  const { k8sPodNamespace, k8sPodName, hostVeth } = metadata;
  if (hostVeth) return hostVeth;
  const owner = k8sPodNamespace && k8sPodName ? `${k8sPodNamespace}.${k8sPodName}` : key.containerId;
  const attachment = key.ifName === 'eth0' ? owner : `${owner}.${key.ifName}`;
  return prefix + createHash('sha1').update(attachment).digest('hex').slice(0, HASH_DIGITS);
}

/** True for what {@link hostVethName} could have made. */
export function isHostVethName(prefix: string, name: string): boolean {
  return name.startsWith(prefix) && /^[0-9a-f]{11}$/.test(name.slice(prefix.length));
}

/** An attachment's key as text, to compare and to keep in maps. */
export function attachmentId({ network, containerId, ifName }: SandboxKey): string {
  return `${network}/${containerId}/${ifName}`;
}
