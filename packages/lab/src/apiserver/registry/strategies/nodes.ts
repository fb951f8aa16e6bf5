import type { Fields } from '../../object.ts';
import type { Strategy } from '../strategy.ts';

const NOT_READY = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' };

/** The kubelet tells a node's status when it makes the node; no pod goes there before it is ready. */
export const nodes: Strategy = {
  keepsStatus: true,
  create(node) {
    const taints = (node.spec?.taints ?? []) as Fields[];
    const tainted = taints.some(({ key, effect }) => key === NOT_READY.key && effect === NOT_READY.effect);
    node.spec = { ...node.spec, taints: tainted ? taints : [...taints, NOT_READY] };
  },
};
