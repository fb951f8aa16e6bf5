/** Clusters of Ingresses for tests, written shortly. */
import { type Ingress, type IngressClass, keyOf, type Service } from '@enid/kube';
import { type AccountFixture, account, DEFAULTS } from '../account.fixture.ts';
import type { AccountCertificate } from '../model/account.ts';
import { PREFIX } from './groups.ts';
import type { IngressClassParams, IngressWorld } from './world.ts';

type Metadata = NonNullable<Ingress['metadata']>;
type Spec = NonNullable<Ingress['spec']>;
type Backend = NonNullable<Spec['defaultBackend']>;

/** `web:80`, `web:http`, or `name:use-annotation`. */
export function backend(text: string): Backend {
  const [name = '', port = ''] = text.split(':');
  return { service: { name, port: /^\d+$/.test(port) ? { number: Number(port) } : { name: port } } };
}

/** `Prefix /path web:80`; the kind of path may be left out, and is Prefix then. */
function path(text: string) {
  const parts = text.split(' ');
  const [pathType, where, to] = parts.length === 3 ? parts : ['Prefix', ...parts];
  return { pathType: pathType!, path: where!, backend: backend(to!) };
}

export type Short = {
  /** Without the prefix. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** By host; `''` is any. */
  readonly rules?: Readonly<Record<string, readonly string[]>>;
  readonly defaultBackend?: string;
  readonly tls?: readonly string[];
  /** null is none. */
  readonly className?: string | null;
  readonly metadata?: Partial<Metadata>;
};

/** @param key `namespace/name`. */
export function ingress(key: string, short: Short = {}): Ingress {
  const [namespace = '', name = ''] = key.split('/');
  const { annotations = {}, rules = {}, defaultBackend, tls, className = 'alb', metadata } = short;
  return {
    metadata: {
      namespace,
      name,
      uid: `uid of ${key}`,
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...metadata,
      annotations: {
        ...Object.fromEntries(Object.entries(annotations).map(([key, value]) => [PREFIX + key, value])),
        ...metadata?.annotations,
      },
    },
    spec: {
      ...(className !== null && { ingressClassName: className }),
      ...(defaultBackend && { defaultBackend: backend(defaultBackend) }),
      ...(tls && { tls: [{ hosts: [...tls] }] }),
      rules: Object.entries(rules).map(([host, paths]) => ({
        ...(host && { host }),
        http: { paths: paths.map(path) },
      })),
    },
  };
}

/** @param ports `name=port:targetPort:nodePort`, of which the name and the last two may be left out. */
export function service(
  key: string,
  ports: readonly string[] = ['80:8080'],
  more: { readonly type?: string; readonly annotations?: Readonly<Record<string, string>> } = {},
): Service {
  const [namespace = '', name = ''] = key.split('/');
  const annotations = Object.fromEntries(
    Object.entries(more.annotations ?? {}).map(([key, value]) => [PREFIX + key, value]),
  );
  return {
    metadata: { namespace, name, uid: `uid of ${key}`, annotations },
    spec: {
      type: more.type ?? 'ClusterIP',
      ports: ports.map((text) => {
        const [, named, port = '', target = port, nodePort] =
          /^(?:(.+)=)?(\d+)(?::([^:]+))?(?::(\d+))?$/.exec(text) ?? [];
        return {
          ...(named && { name: named }),
          protocol: 'TCP',
          port: Number(port),
          targetPort: /^\d+$/.test(target) ? Number(target) : target,
          ...(nodePort && { nodePort: Number(nodePort) }),
        };
      }),
    },
  } as Service;
}

export const ingressClass = (name: string, params?: string, controller = 'ingress.k8s.aws/alb') =>
  ({
    metadata: { name },
    spec: {
      controller,
      ...(params && {
        parameters: { apiGroup: 'elbv2.k8s.aws', kind: 'IngressClassParams', name: params },
      }),
    },
  }) as IngressClass;

export const classParams = (name: string, spec: IngressClassParams['spec']): IngressClassParams => ({
  metadata: { name },
  ...(spec && { spec }),
});

export function certificate(
  id: string,
  names: readonly string[],
  importedOrIssuedAt = 0,
): AccountCertificate {
  return { arn: `arn:aws:acm:eu-central-1:111122223333:certificate/${id}`, names, importedOrIssuedAt };
}

export type Cluster = {
  readonly ingresses?: readonly Ingress[];
  readonly services?: readonly Service[];
  readonly classes?: readonly IngressClass[];
  readonly params?: readonly IngressClassParams[];
  /** Labels by name. */
  readonly namespaces?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly account?: AccountFixture;
  readonly clusterName?: string;
};

export function world(cluster: Cluster): IngressWorld {
  const {
    ingresses = [],
    services = [],
    classes = [ingressClass('alb')],
    params = [],
    namespaces = {},
  } = cluster;
  const named = <T extends { metadata?: { name?: string | undefined } | undefined }>(all: readonly T[]) => {
    return (name: string) => all.find(({ metadata }) => metadata?.name === name);
  };
  return {
    ingresses: () => ingresses,
    ingressClass: named(classes),
    ingressClassParams: named(params),
    namespace: (name) => ({ metadata: { name, labels: { ...namespaces[name] } } }),
    service: (key) => services.find((object) => keyOf(object) === key),
    account: account(cluster.account),
    defaults: {
      ...DEFAULTS,
      targetType: 'ip',
      ...(cluster.clusterName && { clusterName: cluster.clusterName }),
    },
  };
}
