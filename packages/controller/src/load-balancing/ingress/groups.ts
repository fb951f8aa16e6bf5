/** Which Ingresses are ours, by their class, and which of them share a load balancer: groups as in the AWS Load Balancer Controller. */
import { type Ingress, keyOf, selects } from '@enid/kube';
import { Annotations } from '../annotations.ts';
import { DELETION_PROTECTION, saidOfProtection } from '../deletion-protection.ts';
import { InvalidObject } from '../model/errors.ts';
import { stackName } from '../model/identity.ts';
import type { StackId } from '../model/stack.ts';
import { pairs } from './class-params.ts';
import { type IngressClassParams, type IngressWorld, nameOf, type Problem } from './world.ts';

export const PREFIX = 'alb.ingress.kubernetes.io/';
const CONTROLLER = 'ingress.k8s.aws/alb';
/** Older than classes are: it wins over spec.ingressClassName. */
const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';
const CLASS_ANNOTATION_VALUE = 'alb';
const PARAMS = { apiGroup: 'elbv2.k8s.aws', kind: 'IngressClassParams' };
const IMPLICIT_FINALIZER = 'ingress.k8s.aws/resources';
const EXPLICIT_FINALIZER = 'group.ingress.k8s.aws/';

export type IngressStackId = Extract<StackId, { kind: 'ingress' }>;

export type Member = { readonly ingress: Ingress; readonly params: IngressClassParams | undefined };

export type Group = {
  /** In the order of their rules: by `group.order`, then by name. */
  readonly members: readonly Member[];
  /** Of Ingresses that are part of it, or have been, and do not say rightly of what they are to be. */
  readonly problems: readonly Problem[];
  /** They have its finalizer and are not to be part of it any more. */
  readonly leaving: readonly Ingress[];
};

/** What keeps an Ingress from going while resources of the stack may still be its. */
export const finalizerOf = (id: IngressStackId): string =>
  'group' in id ? EXPLICIT_FINALIZER + id.group : IMPLICIT_FINALIZER;

/** The stacks that an Ingress is or has been part of, by its finalizers. */
export function formerStackIds(ingress: Ingress): IngressStackId[] {
  return (ingress.metadata?.finalizers ?? []).flatMap((finalizer): IngressStackId[] => {
    if (finalizer === IMPLICIT_FINALIZER) return [ownStack(ingress)];
    return finalizer.startsWith(EXPLICIT_FINALIZER)
      ? [{ kind: 'ingress', group: finalizer.slice(EXPLICIT_FINALIZER.length) }]
      : [];
  });
}

/** Whether an Ingress has been part of a stack. */
export const hasBeen = (ingress: Ingress, id: IngressStackId): boolean =>
  formerStackIds(ingress).some((former) => stackName(former) === stackName(id));

/**
 * The stack that an Ingress is to be part of.
 * @returns undefined for one that is going, and one of another controller's class.
 * @throws {InvalidObject} when it is ours and does not say so rightly.
 */
export function stackIdOf(ingress: Ingress, world: IngressWorld): IngressStackId | undefined {
  return claimOf(ingress, world)?.id;
}

/** The group of a stack. An Ingress that has been part of it and whose class is broken stays where it is: it is a problem, not a leave. */
export function membersOf(id: IngressStackId, world: IngressWorld): Group {
  const ordered: { readonly member: Member; readonly order: number }[] = [];
  const problems: Problem[] = [];
  const leaving: Ingress[] = [];
  const stack = stackName(id);
  for (const ingress of world.ingresses()) {
    const was = hasBeen(ingress, id);
    let mine = was || isOwn(id, ingress) || groupAnnotation(ingress) === stack;
    try {
      const claim = claimOf(ingress, world);
      if (!claim || stackName(claim.id) !== stack) {
        if (was) leaving.push(ingress);
        continue;
      }
      mine = true;
      ordered.push({ member: { ingress, params: claim.params }, order: orderOf(ingress) });
    } catch (error) {
      if (!(error instanceof InvalidObject)) throw error;
      if (mine) problems.push({ ingress, error });
    }
  }
  ordered.sort((a, b) => a.order - b.order || byName(a.member.ingress, b.member.ingress));
  return { members: ordered.map(({ member }) => member), problems, leaving };
}

/** By `namespace/name`, byte by byte. */
export function byName(a: Ingress, b: Ingress): number {
  const [one, other] = [keyOf(a), keyOf(b)];
  return one < other ? -1 : one > other ? 1 : 0;
}

type Claim = { readonly id: IngressStackId; readonly params: IngressClassParams | undefined };

function claimOf(ingress: Ingress, world: IngressWorld): Claim | undefined {
  if (ingress.metadata?.deletionTimestamp) return undefined;
  const ours = classOf(ingress, world);
  if (!ours) return undefined;
  const { params } = ours;
  const group = params?.spec?.group?.name ?? groupAnnotation(ingress);
  if (group === undefined) return { id: ownStack(ingress), params };
  if (!/^([a-z0-9][-a-z0-9.]*)?[a-z0-9]$/.test(group) || group.length > 63) {
    const source = params?.spec?.group
      ? `its IngressClassParams ${params.metadata?.name} has group.name`
      : `annotation ${PREFIX}group.name is`;
    throw new InvalidObject(
      nameOf(ingress),
      `${source} "${group}": it may have lower case letters, digits, "-" and ".", begin and end with a letter or digit, and be 63 characters long`,
    );
  }
  return { id: { kind: 'ingress', group }, params };
}

/** Whether the class is ours, and what it asks for. */
function classOf(
  ingress: Ingress,
  world: IngressWorld,
): { readonly params: IngressClassParams | undefined } | undefined {
  const annotation = ingress.metadata?.annotations?.[CLASS_ANNOTATION];
  if (annotation !== undefined)
    return annotation === CLASS_ANNOTATION_VALUE ? { params: undefined } : undefined;
  const name = ingress.spec?.ingressClassName;
  if (name === undefined) return undefined;
  const found = world.ingressClass(name);
  const refuse = (message: string): never => {
    throw new InvalidObject(nameOf(ingress), `its IngressClass ${name} ${message}`);
  };
  // A class that does not exist is nobody's, or was ours when it did.
  if (!found) return formerStackIds(ingress).length > 0 ? refuse('does not exist any more') : undefined;
  if (found.spec?.controller !== CONTROLLER) return undefined;
  const reference = found.spec.parameters;
  if (!reference) return { params: undefined };
  if (reference.apiGroup !== PARAMS.apiGroup || reference.kind !== PARAMS.kind)
    refuse(
      `has parameters of kind ${reference.kind} in ${reference.apiGroup}: it may be ${PARAMS.kind} in ${PARAMS.apiGroup}`,
    );
  const params = world.ingressClassParams(reference.name);
  if (!params) return refuse(`names ${PARAMS.kind} ${reference.name}, which does not exist`);
  const namespace = ingress.metadata?.namespace ?? '';
  const { namespaceSelector } = params.spec ?? {};
  if (namespaceSelector && !selects(namespaceSelector, world.namespace(namespace)?.metadata?.labels))
    refuse(`is not for namespace ${namespace}: see namespaceSelector of ${PARAMS.kind} ${reference.name}`);
  return { params };
}

/** What an Ingress that is leaving says of its load balancer's protection from deletion, or its class for it. */
export function protectionOf(ingress: Ingress, world: IngressWorld): 'true' | 'false' | undefined {
  const said = saidOfProtection(annotationsOf(ingress), 'load-balancer-attributes');
  try {
    const ofClass = pairs(classOf(ingress, world)?.params?.spec?.loadBalancerAttributes)[DELETION_PROTECTION];
    return ofClass === 'true' || ofClass === 'false' ? ofClass : said;
  } catch (error) {
    // A class that is broken says nothing.
    if (!(error instanceof InvalidObject)) throw error;
    return said;
  }
}

const annotationsOf = (ingress: Ingress) =>
  new Annotations(nameOf(ingress), PREFIX, ingress.metadata?.annotations);
/** The group that an Ingress names, whosever it is. */
export const groupAnnotation = (ingress: Ingress) => annotationsOf(ingress).text('group.name');
const orderOf = (ingress: Ingress) => annotationsOf(ingress).number('group.order', [-1000, 1000]) ?? 0;

const isOwn = (id: IngressStackId, ingress: Ingress) => !('group' in id) && stackName(id) === keyOf(ingress);

function ownStack(ingress: Ingress): IngressStackId {
  const { namespace = '', name = '' } = ingress.metadata ?? {};
  return { kind: 'ingress', namespace, name };
}
