import type { PodIdentity } from '../cni/observer.ts';

/** Fences pods in. It is called in the middle of ADD and DEL. */
export interface PodGuard {
  /**
   * Puts in force what binds a pod, before it can send or receive.
   * @param ifindex of the pod's link on the node.
   * @throws {PolicyUnknownError} when it cannot be found out what does.
   */
  guard(pod: PodIdentity, ifindex: number): Promise<void>;
  /**
   * Puts in force what binds a pod that somebody else has wired.
   * @returns whether it has a link on the node.
   * @throws {PolicyUnknownError} when it cannot be found out what does.
   */
  guardNamed(namespace: string, name: string): Promise<boolean>;
  /** The link is gone. */
  release(ifindex: number): void;
}

/** It cannot be found out which policies bind a pod. The message says why, and the way out. */
export class PolicyUnknownError extends Error {
  override readonly name = 'PolicyUnknownError';
}
