import type { Named } from './annotations.ts';
import type { Account } from './model/account.ts';
import { InvalidObject } from './model/errors.ts';

/**
 * The security groups that a user names, by their ids or by the values of their tag `Name`.
 * @returns ids, each once, in the order of their names.
 * @throws {InvalidObject} for a name of none, or of several.
 */
export async function resolveSecurityGroups(
  account: Account,
  { object, source, names }: Named,
): Promise<string[]> {
  if (names.length === 0) return [];
  const all = await account.securityGroups();
  const refuse = (message: string): never => {
    throw new InvalidObject(object, `${source} ${message}`);
  };
  const found = names.map((name) => {
    const [group, ...more] = all.filter(({ id, tags }) => id === name || tags.Name === name);
    if (!group)
      return refuse(
        `names "${name}": no security group of ${account.vpcId} has that id, or that value of its tag Name`,
      );
    if (more.length > 0)
      refuse(`names "${name}": several security groups have that name; write the id of one`);
    return group.id;
  });
  return [...new Set(found)];
}
