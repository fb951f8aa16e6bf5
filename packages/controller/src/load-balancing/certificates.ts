import type { Named } from './annotations.ts';
import type { Account } from './model/account.ts';
import { InvalidObject } from './model/errors.ts';

/**
 * The certificates that a user names, the default one first. Those of ACM are looked up, those of IAM are not.
 * @throws {InvalidObject} for what is no ARN of a certificate, and for one that ACM has not issued.
 */
export async function namedCertificates(
  account: Account,
  { object, source, names }: Named,
): Promise<readonly string[]> {
  const refuse = (arn: string, message: string): never => {
    throw new InvalidObject(object, `${source} names "${arn}": ${message}`);
  };
  for (const arn of names) {
    if (!/^arn:[\w-]+:(acm:[\w-]+:\d{12}:certificate|iam::\d{12}:server-certificate)\/\S+$/.test(arn))
      refuse(arn, 'it is not the ARN of a certificate of ACM or IAM');
  }
  const ofAcm = names.filter((arn) => arn.split(':')[2] === 'acm');
  if (ofAcm.length === 0) return names;
  const issued = new Set((await account.certificates()).map(({ arn }) => arn));
  for (const arn of ofAcm) {
    if (!issued.has(arn)) refuse(arn, 'ACM has no such certificate, issued, in this account and region');
  }
  return names;
}
