/** Services for tests, as the API server holds them. */
import type { Service } from '@enid/kube';
import { type AccountFixture, account, DEFAULTS } from '../account.fixture.ts';
import type { ClusterDefaults } from '../model/account.ts';
import type { Stack } from '../model/stack.ts';
import type { ServicePort } from './reading.ts';
import { stackOfService } from './stack.ts';

export const PREFIX = 'service.beta.kubernetes.io/aws-load-balancer-';

export type ServiceFixture = {
  /** By what follows {@link PREFIX}; other keys have a `/`. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ports?: readonly Partial<ServicePort>[];
  readonly spec?: Partial<NonNullable<Service['spec']>>;
  readonly metadata?: Service['metadata'];
};

/** A Service of our class for port 80, with a NodePort 31080 and pods' port 8080, unless others are given. */
export function service({ annotations = {}, ports, spec, metadata }: ServiceFixture = {}): Service {
  return {
    metadata: {
      namespace: 'shop-prod',
      name: 'web-server',
      uid: '7ab4be33-11c2-4a7b-b655-7add8affab36',
      annotations: Object.fromEntries(
        Object.entries(annotations).map(([key, value]) => [key.includes('/') ? key : PREFIX + key, value]),
      ),
      ...metadata,
    },
    spec: {
      type: 'LoadBalancer',
      loadBalancerClass: 'service.k8s.aws/nlb',
      ports: (ports ?? [{}]).map((port) => ({ ...port80, ...port })),
      ...spec,
    },
  };
}

const port80: ServicePort = { port: 80, protocol: 'TCP', targetPort: 8080, nodePort: 31_080 };

export const stackOf = (
  of: ServiceFixture = {},
  fixture: AccountFixture = {},
  defaults: Partial<ClusterDefaults> = {},
): Promise<Stack> =>
  stackOfService(service(of), { account: account(fixture), defaults: { ...DEFAULTS, ...defaults } });
