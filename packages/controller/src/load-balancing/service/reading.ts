/** What the parts of a Service's load balancer are all read from. */
import type { Service } from '@enid/kube';
import { Annotations, type Named } from '../annotations.ts';
import type { Account, ClusterDefaults } from '../model/account.ts';
import { InvalidObject } from '../model/errors.ts';
import type { StackId, Tags } from '../model/stack.ts';
import { readTags } from '../tags.ts';
import { annotationsOf } from './owned.ts';

export type ServiceWorld = { readonly account: Account; readonly defaults: ClusterDefaults };

export type ServicePort = NonNullable<NonNullable<Service['spec']>['ports']>[number];

export type Reading = {
  readonly world: ServiceWorld;
  readonly annotations: Annotations;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly spec: NonNullable<Service['spec']>;
  readonly targetType: 'instance' | 'ip';
  /** What every resource of the stack is to carry. */
  readonly tags: Tags;
  /** The blocks that clients may come from; none: the user says nothing. */
  readonly sourceRanges: Named;
  /** @throws {InvalidObject} about the Service. */
  refuse(message: string): never;
};

export function stackIdOf({ metadata }: Service): Extract<StackId, { kind: 'service' }> {
  return { kind: 'service', namespace: metadata?.namespace ?? 'default', name: metadata?.name ?? '' };
}

export function read(service: Service, world: ServiceWorld): Reading {
  const annotations = annotationsOf(service);
  const { namespace, name } = stackIdOf(service);
  const spec = service.spec ?? {};
  const object = `Service ${namespace}/${name}`;
  return {
    world,
    annotations,
    namespace,
    name,
    uid: service.metadata?.uid ?? '',
    spec,
    targetType: readTargetType(annotations, world.defaults),
    tags: readTags(annotations, 'additional-resource-tags', world.defaults.tags),
    sourceRanges: readSourceRanges(service, object),
    refuse: (message) => {
      throw new InvalidObject(object, message);
    },
  };
}

function readTargetType(annotations: Annotations, defaults: ClusterDefaults): 'instance' | 'ip' {
  const said = annotations.oneOf('nlb-target-type', ['instance', 'ip']);
  if (annotations.text('type') === 'nlb-ip') return 'ip';
  return said ?? defaults.targetType;
}

function readSourceRanges({ spec, metadata }: Service, object: string): Named {
  const names = spec?.loadBalancerSourceRanges ?? [];
  if (names.length > 0) return { object, source: 'spec.loadBalancerSourceRanges', names };
  const annotations = new Annotations(object, 'service.beta.kubernetes.io/', metadata?.annotations);
  return annotations.named('load-balancer-source-ranges');
}

/** What a port of the Service leads to on a target: a port of nodes, or a number or name among a pod's ports. */
export function targetPort(
  { targetType }: Pick<Reading, 'targetType'>,
  { port, nodePort, targetPort }: ServicePort,
): number | string | undefined {
  return targetType === 'instance' ? nodePort || undefined : (targetPort ?? port);
}
