/** Whose Ingress of a group it is that asks for what AWS refuses to do. */
import type { AwsError } from '../aws/error.ts';
import { type Change, describe } from '../deploy/changes.ts';
import type { ActionSpec, ListenerSpec } from '../model/stack.ts';
import type { ReadMember } from './member.ts';

/** What AWS has refused to an Ingress, without which its group goes on. */
export class RefusedByAws extends Error {
  /** `Ingress shop/web`. */
  readonly object: string;

  constructor(object: string, change: Change, cause: AwsError) {
    super(`${object}: ${describe(change).what}: ${cause.message}; its group goes on without it meanwhile`, {
      cause,
    });
    this.object = object;
  }
}

/** A group as it has become a load balancer. */
export type Composed = {
  /** The oldest first. */
  readonly byAge: readonly ReadMember[];
  readonly listeners: readonly {
    readonly spec: ListenerSpec;
    /** Of each of its rules whose it is. */
    readonly rules: readonly { readonly member: ReadMember }[];
  }[];
};

/** Something that an Ingress says, by the names and keys that AWS would name it by. */
type Said = { readonly member: ReadMember; readonly words: readonly string[] };

/**
 * Whose a change is that AWS has refused: whose words AWS names, else who asks for all of it. Of several it is the youngest: a
 * newcomer breaks nobody.
 * @returns undefined when that cannot be told.
 */
export function blame(change: Change, error: AwsError, composed: Composed): ReadMember | undefined {
  const { said, isAll } = saidIn(change, composed);
  const named = said.filter(({ words }) =>
    words.some((word) => error.message.includes(word) || isUnnamed(word, error)),
  );
  // Of the stack's own, what is not found is deleted by hand or not seen yet, and what is in use was the old load balancer's.
  const isOwn = error.isNotFound || error.code === IN_USE;
  const suspects = named.length > 0 ? named : isAll && !isOwn ? said : [];
  return composed.byAge.findLast((member) => suspects.some((suspect) => suspect.member === member));
}

/** A target group works for one load balancer. */
const IN_USE = 'TargetGroupAssociationLimit';

/** AWS does not always say which target group of an action it means: it is more likely the user's than the stack's. */
const isUnnamed = (word: string, { code }: AwsError) =>
  (code === 'TargetGroupNotFound' || code === IN_USE) && word.includes(':targetgroup/');

/** What Ingresses say in a change, and whether there is nothing else in it. */
function saidIn(
  change: Change,
  { byAge, listeners }: Composed,
): { readonly said: readonly Said[]; readonly isAll: boolean } {
  const saying = (
    has: (member: ReadMember) => boolean,
    ...words: readonly (string | undefined)[]
  ): readonly Said[] =>
    byAge.filter(has).map((member) => ({ member, words: words.filter((word) => word !== undefined) }));
  const at = (port: number, { settings }: ReadMember) => settings.listeners.get(port);
  const all = (said: readonly Said[]) => ({ said, isAll: true });
  const some = (...said: readonly (readonly Said[])[]) => ({ said: said.flat(), isAll: false });

  switch (change.call) {
    case 'CreateTargetGroup':
    case 'ModifyTargetGroup':
    case 'ModifyTargetGroupAttributes':
      return all(saying(({ targetGroups }) => targetGroups.has(change.spec.id)));
    case 'CreateRule':
    case 'ModifyRule': {
      const { spec, rules } = listeners.find((listener) => listener.spec.port === change.port)!;
      const member = rules[spec.rules.indexOf(change.spec)]?.member;
      return all(saying((each) => each === member, ...foreign(change.spec.actions)));
    }
    case 'CreateListener':
    case 'ModifyListener': {
      const { port, sslPolicy, certificates, defaultActions } = change.spec;
      const [first] = certificates;
      return some(
        saying((member) => sslPolicy !== undefined && at(port, member)?.sslPolicy === sslPolicy, sslPolicy),
        saying(
          (member) => first !== undefined && at(port, member)?.certificates.includes(first) === true,
          first,
        ),
        saying(({ defaultAction }) => defaultActions.includes(defaultAction!), ...foreign(defaultActions)),
      );
    }
    case 'ModifyListenerAttributes':
      return all(
        Object.keys(change.attributes).flatMap((key) =>
          saying((member) => Object.hasOwn(at(change.port, member)?.attributes ?? {}, key), key),
        ),
      );
    case 'AddListenerCertificates': {
      const { port, certificate } = change;
      return all(
        saying((member) => at(port, member)?.certificates.includes(certificate) === true, certificate),
      );
    }
    case 'ModifyLoadBalancerAttributes':
      return all(
        Object.keys(change.attributes).flatMap((key) =>
          saying(({ settings }) => Object.hasOwn(settings.attributes, key), key),
        ),
      );
    case 'CreateLoadBalancer': {
      const { name, subnets, securityGroups } = change.spec;
      return some(
        saying(({ settings }) => settings.name === name, name),
        saying(placesIt, ...subnets.map(({ subnetId }) => subnetId)),
        saying(guardsIt, ...securityGroups.map((group) => ('id' in group ? group.id : undefined))),
      );
    }
    case 'SetSubnets':
      return all(saying(placesIt, ...change.subnets.map(({ subnetId }) => subnetId)));
    case 'SetSecurityGroups':
      return all(saying(guardsIt));
    case 'AuthorizeSecurityGroupIngress':
      return some(
        ...change.rules.map(({ ports: [port], from }) => {
          const [peer] = Object.values(from) as string[];
          const isSaid = (member: ReadMember) => {
            const { cidrs = [], prefixLists = [] } = at(port, member)?.inbound ?? {};
            return [...cidrs, ...prefixLists].includes(peer!);
          };
          return saying(isSaid, peer);
        }),
      );
    default:
      return some();
  }
}

const placesIt = ({ settings: { subnets } }: ReadMember) =>
  subnets.tags !== undefined || subnets.named.names.length > 0;
const guardsIt = ({ settings: { securityGroups } }: ReadMember) => securityGroups.names.length > 0;

/** The target groups of actions that are not the stack's: their ARNs. */
const foreign = (actions: readonly ActionSpec[]): string[] =>
  actions.flatMap((action) =>
    action.type === 'forward'
      ? action.targetGroups.flatMap(({ group }) => ('arn' in group ? [group.arn] : []))
      : [],
  );
