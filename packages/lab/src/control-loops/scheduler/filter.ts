import type { NodeInfo } from './node-info.ts';

/** Why a pod cannot be on a node, in the words that the real scheduler uses. */
export type Refusal = {
  readonly reasons: readonly string[];
  /** Whether taking other pods from the node would not help. */
  readonly lasting: boolean;
};

/** Undefined: the node is fine. */
export type Filter = (node: NodeInfo) => Refusal | undefined;
