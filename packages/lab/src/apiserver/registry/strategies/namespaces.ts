import type { KubeObject } from '../../object.ts';
import { forbidden } from '../../status.ts';
import { BUILT_IN } from '../resources.ts';
import type { Strategy } from '../strategy.ts';

const NAMESPACES = BUILT_IN.find(({ storage }) => storage === 'namespaces')!;
/** Without these the cluster is none. */
const IMMORTAL = new Set(['default', 'kube-system', 'kube-public']);

const finalizers = (namespace: KubeObject) => (namespace.spec?.finalizers ?? []) as string[];

/** A namespace is held by `spec.finalizers` until a control loop has deleted what is in it. */
export const namespaces: Strategy = {
  create(namespace) {
    const labels = { ...namespace.metadata.labels, 'kubernetes.io/metadata.name': namespace.metadata.name! };
    namespace.metadata.labels = labels;
    namespace.spec = { finalizers: [...new Set([...finalizers(namespace), 'kubernetes'])] };
    namespace.status = { phase: 'Active' };
  },
  update(namespace, old) {
    const labels = { ...namespace.metadata.labels, 'kubernetes.io/metadata.name': old.metadata.name };
    namespace.metadata.labels = labels;
    namespace.spec = { ...old.spec };
  },
  beginDelete(namespace) {
    const { name = '' } = namespace.metadata;
    if (IMMORTAL.has(name)) throw forbidden(NAMESPACES, name, 'this namespace may not be deleted');
    namespace.status = { ...namespace.status, phase: 'Terminating' };
  },
  isHeld: (namespace) => finalizers(namespace).length > 0,
};
