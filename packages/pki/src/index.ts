/** Certificate authorities, and what they issue. */
export { CertificateAuthority, type Credential } from './authority.ts';
