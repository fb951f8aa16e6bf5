/** Certificates by the hosts that they are for. */
import type { Account, AccountCertificate } from '../model/account.ts';
import { InvalidObject } from '../model/errors.ts';

/** Whether a certificate's name holds for a host: `*.example.com` for one label before `.example.com`, and for itself. */
export function isFor(name: string, host: string): boolean {
  const [one, other] = [name.toLowerCase(), host.toLowerCase()];
  if (!one.startsWith('*.')) return one === other;
  const dot = other.indexOf('.');
  return dot > 0 && other.slice(dot) === one.slice(1);
}

/**
 * One certificate for each host: by its very name before one by a wildcard, and of several the newest.
 * @returns ARNs, each once, in their order, which does not depend on that of the hosts.
 * @throws {InvalidObject} for a host without a certificate.
 */
export async function discoverCertificates(
  account: Account,
  object: string,
  hosts: Iterable<string>,
): Promise<string[]> {
  const all = await account.certificates();
  const found = [...new Set(hosts)].map((host) => {
    const exact = ({ names }: AccountCertificate) =>
      Number(names.some((name) => name.toLowerCase() === host.toLowerCase()));
    const [best] = all
      .filter(({ names }) => names.some((name) => isFor(name, host)))
      .toSorted(
        (a, b) =>
          exact(b) - exact(a) || b.importedOrIssuedAt - a.importedOrIssuedAt || (a.arn < b.arn ? -1 : 1),
      );
    if (best) return best.arn;
    throw new InvalidObject(
      object,
      `no certificate for host ${host}: ACM has none issued for it in this account and region; request or import one, or name one by alb.ingress.kubernetes.io/certificate-arn`,
    );
  });
  return [...new Set(found)].toSorted();
}
