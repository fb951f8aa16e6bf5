/** The cluster that whole-system tests are pointed at by KUBECONFIG, in place of one of the lab. */
import * as node from 'node:test';

/** Its kubeconfig; undefined: tests make a lab. */
export const GIVEN = process.env.KUBECONFIG || undefined;

/** Why tests that ask AWS are skipped; false: they are not. The account of a given cluster is that of the environment. */
export const WITHOUT_AWS =
  Boolean(GIVEN) &&
  !(process.env.AWS_ACCESS_KEY_ID || process.env.AWS_PROFILE) &&
  'needs the AWS account of the cluster: set AWS_REGION, and AWS_ACCESS_KEY_ID with its secret or AWS_PROFILE';

type Tests = Pick<typeof node, 'after' | 'before' | 'test'>;

/**
 * What a file uses of `node:test` whose tests need more than a Kubernetes API. With a cluster given they are skipped.
 * @param why what they need, said of each.
 */
export function labOnly(why: string): Tests {
  if (!GIVEN) return node;
  const nothing = () => {};
  const skipped = (name: string) => node.test(name, { skip: `needs ${why}` }, nothing);
  return { after: nothing, before: nothing, test: skipped as typeof node.test };
}
