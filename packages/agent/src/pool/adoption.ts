/**
 * A node whose pods run on while the checkpoint is gone. Who holds which address is put together from the kernel, where
 * each pod's link and route are, and from the container runtime, which knows the pods' names.
 */
import { hostVethName } from '../network/names.ts';
import type { PodLink, SandboxKey } from '../seams.ts';
import type { CheckpointData } from './checkpoint.ts';

/** A sandbox that runs, as the container runtime has it. */
export type RuntimePod = { readonly id: string; readonly namespace: string; readonly name: string };

/** The network and the interface that a kubelet's pods have. */
const NETWORK = 'aws-cni';
const INTERFACE = 'eth0';
/** Of a holder that no runtime can name: its collection of garbage, which names those that it knows, must pass it by. */
const UNKNOWN = 'unknown';
/** Of a hash, at the end of a link's name. */
const HASH = /[0-9a-f]{11}$/;

/**
 * The allocations of pods that are wired. A link's name is a hash of its pod's, so a pod of the runtime is found by it; of
 * one that is not among them, nothing but its link is known, and its address is free when that is gone. Every other
 * address may have been released a moment ago.
 */
export function adopt(links: readonly PodLink[], pods: readonly RuntimePod[], now: number): CheckpointData {
  const allocations = links.map(({ name, address }) => {
    const prefix = name.replace(HASH, '');
    const pod = pods.find((each) => hostVethName(prefix, keyOf(each.id), namesOf(each)) === name);
    return {
      key: pod ? keyOf(pod.id) : { ...keyOf(name), network: UNKNOWN },
      address,
      since: now,
      metadata: pod ? namesOf(pod) : { hostVeth: name },
    };
  });
  return { allocations, released: [], othersReleasedAt: now };
}

const keyOf = (containerId: string): SandboxKey => ({ network: NETWORK, containerId, ifName: INTERFACE });
const namesOf = ({ namespace, name }: RuntimePod) => ({ k8sPodNamespace: namespace, k8sPodName: name });
