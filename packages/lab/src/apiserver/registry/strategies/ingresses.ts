import type { Strategy } from '../strategy.ts';

const CLASSES = 'ingressclasses.networking.k8s.io';
/** Of a class: that it is meant where none is named. */
const IS_DEFAULT = 'ingressclass.kubernetes.io/is-default-class';
/** How an Ingress named its class before it had a field for it. */
const NAMED = 'kubernetes.io/ingress.class';

export const ingresses: Strategy = {
  /** Gives an Ingress the default class (admission DefaultIngressClass): of several the newest, then the first by name. */
  admit(ingress, { store }) {
    const { metadata, spec = {} } = ingress;
    if (spec.ingressClassName || metadata.annotations?.[NAMED]) return;
    const [newest] = [...store.all(CLASSES)]
      .filter(({ metadata: { annotations } }) => annotations?.[IS_DEFAULT] === 'true')
      .sort(({ metadata: a }, { metadata: b }) =>
        a.creationTimestamp === b.creationTimestamp
          ? a.name.localeCompare(b.name)
          : b.creationTimestamp!.localeCompare(a.creationTimestamp!),
      );
    if (newest) ingress.spec = { ...spec, ingressClassName: newest.metadata.name };
  },
};
