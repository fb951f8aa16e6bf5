import { statSync } from 'node:fs';
import type { SandboxMetadata } from '../../seams.ts';

/** A pod's network namespace: where it is mounted, and which it is. */
export type Netns = { readonly path: string; readonly inode: bigint };

/** What is kept with an allocation: Amazon's names, the pod's uid, and the namespace by which it is known whether it is still there. */
export function sandboxMetadata({
  namespace,
  name,
  uid,
  netns,
}: {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly uid?: string | undefined;
  readonly netns?: Netns | undefined;
}): SandboxMetadata {
  return {
    ...(namespace && { k8sPodNamespace: namespace }),
    ...(name && { k8sPodName: name }),
    ...(uid && { k8sPodUid: uid }),
    ...(netns && { netns: netns.path, netnsInode: `${netns.inode}` }),
  };
}

/** The namespace mounted at the path, if there is one. */
export function netnsAt(path: string): Netns | undefined {
  const there = statSync(path, { bigint: true, throwIfNoEntry: false });
  return there && { path, inode: there.ino };
}
