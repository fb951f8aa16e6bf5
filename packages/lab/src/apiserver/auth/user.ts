/** Who a request is from (authentication.k8s.io `UserInfo`). */
export type User = {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
};

/** Every user who has proved to be one is in this group too. */
export function authenticated(user: User): User {
  return { ...user, groups: [...user.groups, 'system:authenticated'] };
}
