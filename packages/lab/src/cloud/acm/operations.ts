import { createPrivateKey, X509Certificate } from 'node:crypto';
import type * as sdk from '@aws-sdk/client-acm';
import type { CertificateDetail, CertificateSummary, KeyAlgorithm, Tag } from '@aws-sdk/client-acm';
import type { Draft } from 'immer';
import type { Certificate } from '../elbv2/state.ts';
import { AwsError } from '../errors.ts';
import type { Context } from '../operation.ts';
import type { CommandInput, CommandName, CommandOutput } from '../query/sdk.ts';
import type { Handler } from '../service.ts';
import type { CloudState } from '../state.ts';

type Sdk = typeof sdk;
type Operations = {
  readonly [Name in CommandName<Sdk>]?: (
    input: CommandInput<Sdk, Name>,
    context: Context,
  ) => CommandOutput<Sdk, Name>;
};

const invalid = (message: string) => new AwsError('ValidationException', message);

function find(state: Draft<CloudState>, arn: string): Draft<Certificate> {
  if (!/^arn:aws:acm:[^:]+:\d+:certificate\/[\w-]+$/.test(arn)) {
    throw new AwsError('InvalidArnException', `'${arn}' is no ARN of a certificate`);
  }
  const found = state.certificates[arn];
  if (found) return found;
  throw new AwsError('ResourceNotFoundException', `Could not find certificate ${arn}.`);
}

function checkDomain(name: string): string {
  if (/^(\*\.)?([a-z\d]([a-z\d-]{0,61}[a-z\d])?\.)+[a-z\d-]{2,63}$/i.test(name) && name.length <= 253)
    return name;
  throw invalid(`The domain name '${name}' is not valid`);
}

function addTags({ quotas }: Context, tags: Record<string, string>, added: readonly Tag[] | undefined): void {
  for (const { Key = '', Value = '' } of added ?? []) {
    if (!Key || Key.length > 128 || Key.startsWith('aws:')) {
      throw new AwsError('InvalidTagException', `'${Key}' is no tag key that can be set`);
    }
    tags[Key] = Value;
  }
  if (Object.keys(tags).length <= quotas.tagsPerResource) return;
  throw new AwsError('TooManyTagsException', `A certificate has at most ${quotas.tagsPerResource} tags`);
}

const tagList = (tags: Readonly<Record<string, string>>): Tag[] =>
  Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));

/** The load balancers whose listeners have a certificate. */
const usersOf = (state: CloudState, arn: string): string[] => [
  ...new Set(
    Object.values(state.listeners)
      .filter(({ certificates }) => certificates.includes(arn))
      .map(({ loadBalancerArn }) => loadBalancerArn),
  ),
];

function keyAlgorithm({ publicKey }: X509Certificate): KeyAlgorithm {
  const { modulusLength, namedCurve } = publicKey.asymmetricKeyDetails ?? {};
  const curves = {
    prime256v1: 'EC_prime256v1',
    secp384r1: 'EC_secp384r1',
    secp521r1: 'EC_secp521r1',
  } as const;
  return curves[namedCurve as keyof typeof curves] ?? (`RSA_${modulusLength}` as KeyAlgorithm);
}

const parse = (certificate: Certificate): X509Certificate | undefined =>
  certificate.certificate === undefined ? undefined : new X509Certificate(certificate.certificate);

const date = (time: string | undefined): Date | undefined =>
  time === undefined ? undefined : new Date(time);

function describe(state: CloudState, certificate: Certificate): CertificateDetail {
  const { arn, type, domainName, status } = certificate;
  const x509 = parse(certificate);
  const isImported = type === 'IMPORTED';
  return {
    CertificateArn: arn,
    DomainName: domainName,
    SubjectAlternativeNames: [...certificate.subjectAlternativeNames],
    Status: status,
    Type: type,
    CreatedAt: date(certificate.createdAt),
    ImportedAt: isImported ? date(certificate.since) : undefined,
    IssuedAt: isImported ? undefined : date(certificate.since),
    InUseBy: usersOf(state, arn),
    RenewalEligibility: 'INELIGIBLE',
    Options: { CertificateTransparencyLoggingPreference: isImported ? 'DISABLED' : 'ENABLED' },
    ...(x509 && {
      Serial: x509.serialNumber.toLowerCase().replace(/..(?=.)/g, '$&:'),
      Subject: x509.subject.replaceAll('\n', ','),
      Issuer: x509.issuer.replaceAll('\n', ','),
      NotBefore: new Date(x509.validFrom),
      NotAfter: new Date(x509.validTo),
      KeyAlgorithm: keyAlgorithm(x509),
      SignatureAlgorithm: x509.publicKey.asymmetricKeyType === 'ec' ? 'SHA256WITHECDSA' : 'SHA256WITHRSA',
    }),
    ...(!isImported && {
      DomainValidationOptions: [...certificate.subjectAlternativeNames].map((DomainName) => ({
        DomainName,
        ValidationDomain: DomainName,
        ValidationMethod: certificate.validationMethod,
        ValidationStatus: status === 'ISSUED' ? ('SUCCESS' as const) : ('PENDING_VALIDATION' as const),
      })),
    }),
  };
}

function summarize(state: CloudState, certificate: Certificate): CertificateSummary {
  const detail = describe(state, certificate);
  return {
    CertificateArn: detail.CertificateArn,
    DomainName: detail.DomainName,
    SubjectAlternativeNameSummaries: detail.SubjectAlternativeNames,
    HasAdditionalSubjectAlternativeNames: false,
    Status: detail.Status,
    Type: detail.Type,
    KeyAlgorithm: detail.KeyAlgorithm,
    InUse: (detail.InUseBy ?? []).length > 0,
    CreatedAt: detail.CreatedAt,
    IssuedAt: detail.IssuedAt,
    ImportedAt: detail.ImportedAt,
    NotBefore: detail.NotBefore,
    NotAfter: detail.NotAfter,
  };
}

function newArn({ state, newId }: Context): string {
  const digits = [newId('c'), newId('c')].map((id) => id.slice(2)).join('');
  const uuid = digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5');
  return `arn:aws:acm:${state.region}:${state.accountId}:certificate/${uuid}`;
}

function checkCount({ state, quotas }: Context): void {
  if (Object.keys(state.certificates).length < quotas.certificates) return;
  throw new AwsError('LimitExceededException', `The account has at most ${quotas.certificates} certificates`);
}

/** @throws {AwsError} ValidationException unless the key is the certificate's. */
function readPair(certificate: string, privateKey: string): X509Certificate {
  let x509: X509Certificate;
  try {
    x509 = new X509Certificate(certificate);
  } catch {
    throw invalid('The certificate field contains more than one certificate, or none, in PEM format.');
  }
  try {
    if (x509.checkPrivateKey(createPrivateKey(privateKey))) return x509;
  } catch {
    throw invalid('The private key is not supported: it must be PEM, and not encrypted.');
  }
  throw invalid('The private key does not match the public key of the certificate.');
}

const definitions: Operations = {
  ImportCertificate(input, context) {
    const { state, now } = context;
    const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
    const [certificate, privateKey] = [text(input.Certificate), text(input.PrivateKey)];
    const x509 = readPair(certificate, privateKey);
    const chain = input.CertificateChain && text(input.CertificateChain);
    const commonName = /^CN=(.*)$/m.exec(x509.subject)?.[1];
    const names = (x509.subjectAltName ?? '')
      .split(', ')
      .flatMap((name) => /^DNS:(.*)$/.exec(name)?.[1] ?? []);
    const domainName = commonName ?? names[0] ?? '';
    const before = input.CertificateArn === undefined ? undefined : find(state, input.CertificateArn);
    if (before && before.type !== 'IMPORTED') throw invalid(`${before.arn} was not imported`);
    if (before && input.Tags?.length) throw invalid('A certificate that is imported again takes no tags');
    if (!before) checkCount(context);
    const arn = before?.arn ?? newArn(context);
    const tags: Record<string, string> = { ...before?.tags };
    addTags(context, tags, input.Tags);
    state.certificates[arn] = {
      arn,
      type: 'IMPORTED',
      domainName,
      subjectAlternativeNames: names.length > 0 ? names : [domainName],
      status: 'ISSUED',
      createdAt: before?.createdAt ?? now.toISOString(),
      since: now.toISOString(),
      certificate,
      ...(chain && { chain }),
      privateKey,
      tags,
    };
    return { CertificateArn: arn };
  },

  RequestCertificate(input, context) {
    const { state, now } = context;
    const { IdempotencyToken: idempotencyToken } = input;
    const domainName = checkDomain(input.DomainName);
    const names = [...new Set([domainName, ...(input.SubjectAlternativeNames ?? []).map(checkDomain)])];
    const same = Object.values(state.certificates).find(
      (other) =>
        idempotencyToken !== undefined &&
        other.idempotencyToken === idempotencyToken &&
        other.subjectAlternativeNames.join() === names.join(),
    );
    if (same) return { CertificateArn: same.arn };
    checkCount(context);
    const arn = newArn(context);
    const tags: Record<string, string> = {};
    addTags(context, tags, input.Tags);
    state.certificates[arn] = {
      arn,
      type: 'AMAZON_ISSUED',
      domainName,
      subjectAlternativeNames: names,
      status: 'PENDING_VALIDATION',
      createdAt: now.toISOString(),
      ...(idempotencyToken !== undefined && { idempotencyToken }),
      validationMethod: input.ValidationMethod === 'EMAIL' ? 'EMAIL' : 'DNS',
      tags,
    };
    return { CertificateArn: arn };
  },

  DescribeCertificate: ({ CertificateArn }, { state }) => ({
    Certificate: describe(state, find(state, CertificateArn)),
  }),

  ListCertificates(input, { state }) {
    const { CertificateStatuses: statuses, Includes: includes } = input;
    const all = Object.values(state.certificates)
      .filter(({ status }) => !statuses?.length || statuses.includes(status))
      .map((certificate) => summarize(state, certificate))
      .filter(
        ({ KeyAlgorithm: key }) =>
          !includes?.keyTypes?.length || includes.keyTypes.some((type) => type === key),
      )
      .sort((a, b) => (a.CertificateArn! < b.CertificateArn! ? -1 : 1));
    const rest = all.filter(({ CertificateArn }) => CertificateArn! > (input.NextToken ?? ''));
    const page = rest.slice(0, input.MaxItems ?? 1000);
    const more = rest.length > page.length;
    return { CertificateSummaryList: page, ...(more && { NextToken: page.at(-1)!.CertificateArn }) };
  },

  GetCertificate({ CertificateArn }, { state }) {
    const { certificate, chain } = find(state, CertificateArn);
    if (certificate === undefined) {
      throw new AwsError(
        'RequestInProgressException',
        `The certificate ${CertificateArn} is not issued yet.`,
      );
    }
    return { Certificate: certificate, CertificateChain: chain };
  },

  DeleteCertificate({ CertificateArn }, { state }) {
    const { arn } = find(state, CertificateArn);
    const users = usersOf(state, arn);
    if (users.length > 0) {
      throw new AwsError(
        'ResourceInUseException',
        `Certificate ${arn} in account ${state.accountId} is in use by ${users}.`,
      );
    }
    delete state.certificates[arn];
    return {};
  },

  ListTagsForCertificate: ({ CertificateArn }, { state }) => ({
    Tags: tagList(find(state, CertificateArn).tags),
  }),

  AddTagsToCertificate({ CertificateArn, Tags }, context) {
    addTags(context, find(context.state, CertificateArn).tags, Tags);
    return {};
  },

  RemoveTagsFromCertificate({ CertificateArn, Tags }, { state }) {
    const { tags } = find(state, CertificateArn);
    for (const { Key = '', Value } of Tags) {
      if (Value === undefined || tags[Key] === Value) delete tags[Key];
    }
    return {};
  },
};

/** Every operation of ACM that the lab has, by name. */
export const operations: ReadonlyMap<string, Handler> = new Map(
  Object.entries(definitions) as unknown as [string, Handler][],
);
