import { ImportCertificateCommand } from '@aws-sdk/client-acm';
import type { TestLab } from '../cloud/elbv2/elbv2.fixture.ts';
import type { CertificateAuthority } from '../pki/index.ts';

/** Has ACM hold a certificate for a name. @returns its ARN. */
export async function importCertificate(
  { acm }: TestLab,
  authority: CertificateAuthority,
  name: string,
): Promise<string> {
  const { certificate, key } = await authority.issueServer([name]);
  const input = { Certificate: Buffer.from(certificate), PrivateKey: Buffer.from(key) };
  return (await acm.send(new ImportCertificateCommand(input))).CertificateArn!;
}
