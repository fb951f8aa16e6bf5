import type { Assignment, NoAddressError, SandboxMetadata } from '../seams.ts';

/** Whose attachment it is. */
export type PodIdentity = {
  readonly metadata: SandboxMetadata;
  /** The pod's uid, when the runtime tells it. */
  readonly uid?: string;
};

/**
 * Told of what pods got and did not get, to let others know. It is called in the middle of ADD and DEL: it neither
 * throws nor waits.
 */
export interface AttachmentObserver {
  /** The pod has its address. */
  added(assignment: Assignment, uid?: string): void;
  /** The pod's address was released. */
  removed(assignment: Assignment): void;
  /** The pod got no address; the runtime tries again. */
  refused(pod: PodIdentity, error: NoAddressError): void;
}

export const nobody: AttachmentObserver = { added() {}, removed() {}, refused() {} };
