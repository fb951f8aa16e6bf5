import { CertificateAuthority } from '../../pki/index.ts';
import type { CloudState } from '../state.ts';
import type { Transition } from '../transition.ts';

const AUTHORITY = 'Amazon, as the lab has it';

/** Certificates that were requested: the account's own authority issues them. Nothing is asked of their domains. */
export function* issuedCertificates(state: CloudState): Generator<Transition> {
  const pending = Object.values(state.certificates).filter(({ status }) => status !== 'ISSUED');
  // The first of all brings the authority that issues the others.
  const first = state.certificateAuthority ? pending : pending.slice(0, 1);
  for (const { arn, status, subjectAlternativeNames } of first) {
    yield {
      key: `${arn} ${status}`,
      delay: ({ certificateDelayMs }) => certificateDelayMs,
      step: {
        async prepare() {
          const { authority, credential } = await authorityOf(state);
          const issued = await authority.issueServer(subjectAlternativeNames as [string, ...string[]], 395);
          return (draft) => {
            draft.certificateAuthority = credential;
            const certificate = draft.certificates[arn];
            if (certificate?.status !== status) return;
            Object.assign(certificate, {
              status: 'ISSUED',
              since: new Date().toISOString(),
              certificate: issued.certificate,
              chain: credential.certificate,
              privateKey: issued.key,
            });
          };
        },
      },
    };
  }
}

async function authorityOf({ certificateAuthority: credential }: CloudState) {
  if (!credential) return await CertificateAuthority.create(AUTHORITY);
  return { authority: await CertificateAuthority.load(credential), credential };
}
