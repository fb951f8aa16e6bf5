import { MAIN_TABLE, NetNamespace, Rtnetlink } from '@enid/linux';
import { hostBlock } from '../../network/routing.ts';
import type { Assignment } from '../../seams.ts';
import { netnsAt } from './metadata.ts';

/**
 * The assignments whose sandbox the kernel does not have: neither is its namespace where it was, nor does a route lead to
 * the pod. Such a route goes with the pod's link, which goes with its namespace, whoever wired it.
 * @param node the node's namespace, the caller's own by default.
 */
export function withoutSandbox(assignments: readonly Assignment[], node?: NetNamespace): Assignment[] {
  const unseen = assignments.filter((assignment) => !hasNamespace(assignment));
  if (unseen.length === 0) return [];
  const routed = routedBlocks(node);
  return unseen.filter(({ address }) => !routed.has(hostBlock(address)));
}

function hasNamespace({ metadata: { netns, netnsInode } }: Assignment): boolean {
  return netns !== undefined && `${netnsAt(netns)?.inode}` === netnsInode;
}

function routedBlocks(node: NetNamespace | undefined): Set<string> {
  using own = node ? undefined : NetNamespace.current();
  using netlink = Rtnetlink.open((node ?? own)!);
  return new Set(netlink.routes({ family: 4, table: MAIN_TABLE }).map(({ destination }) => destination));
}
