/** Questions that are asked by creating an object which is not kept: who am I, whose token is this, may I do that. */
import type { ServiceAccountTokens } from '../auth/service-account-token.ts';
import { authenticated, type User } from '../auth/user.ts';
import type { Fields } from '../object.ts';
import type { Resource } from './resource.ts';
import type { Cluster } from './strategy.ts';

/** @returns the answer's status; undefined for what is no question. */
export function review(
  resource: Resource,
  body: Fields,
  user: User,
  cluster: Cluster,
  tokens: ServiceAccountTokens,
): Fields | undefined {
  switch (resource.kind) {
    case 'SelfSubjectReview':
      return { userInfo: user };
    case 'TokenReview': {
      const token = String((body.spec as Fields | undefined)?.token ?? '');
      const owner = attempt(() => tokens.authenticate(token, cluster.store, cluster.now()));
      return owner ? { authenticated: true, user: authenticated(owner) } : { authenticated: false, user: {} };
    }
    case 'SelfSubjectAccessReview':
    case 'SubjectAccessReview':
      return { allowed: true, reason: 'roles are accepted and not enforced in the lab' };
    case 'SelfSubjectRulesReview':
      return {
        resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
        nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
        incomplete: false,
      };
    default:
      return undefined;
  }
}

/** What is no token of ours may be malformed in one of many ways. */
function attempt<T>(read: () => T | undefined): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
