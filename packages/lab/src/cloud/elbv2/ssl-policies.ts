/** What each security policy of ELBv2 negotiates. Ciphers have OpenSSL's names, in order of preference. */

export type SslPolicy = {
  readonly protocols: readonly ('TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3')[];
  readonly ciphers: readonly string[];
};

const TLS13 = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'];
const EC_GCM = ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256'];
const EC_GCM_256 = ['ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-RSA-AES256-GCM-SHA384'];
const EC_CBC_SHA2 = ['ECDHE-ECDSA-AES128-SHA256', 'ECDHE-RSA-AES128-SHA256'];
const EC_CBC_SHA2_256 = ['ECDHE-ECDSA-AES256-SHA384', 'ECDHE-RSA-AES256-SHA384'];
const EC_CBC = ['ECDHE-ECDSA-AES128-SHA', 'ECDHE-RSA-AES128-SHA'];
const EC_CBC_256 = ['ECDHE-RSA-AES256-SHA', 'ECDHE-ECDSA-AES256-SHA'];
const RSA_SHA2 = ['AES128-GCM-SHA256', 'AES128-SHA256', 'AES256-GCM-SHA384', 'AES256-SHA256'];
const RSA_SHA = ['AES128-SHA', 'AES256-SHA'];

const GCM = [...EC_GCM, ...EC_GCM_256];
const STRONG = [...EC_GCM, ...EC_CBC_SHA2, ...EC_GCM_256, ...EC_CBC_SHA2_256];
const FORWARD = [...STRONG, ...EC_CBC, ...EC_CBC_256];
const ALL = [...FORWARD, ...RSA_SHA2, ...RSA_SHA];

const since = (first: SslPolicy['protocols'][number], last: 'TLSv1.2' | 'TLSv1.3') => {
  const all = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;
  return all.slice(all.indexOf(first), all.indexOf(last) + 1);
};

/** https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html */
export const SSL_POLICIES: ReadonlyMap<string, SslPolicy> = new Map(
  Object.entries({
    'ELBSecurityPolicy-TLS13-1-2-2021-06': {
      protocols: since('TLSv1.2', 'TLSv1.3'),
      ciphers: [...TLS13, ...STRONG],
    },
    'ELBSecurityPolicy-TLS13-1-2-Res-2021-06': {
      protocols: since('TLSv1.2', 'TLSv1.3'),
      ciphers: [...TLS13, ...GCM],
    },
    'ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06': {
      protocols: since('TLSv1.2', 'TLSv1.3'),
      ciphers: [...TLS13, ...STRONG, ...RSA_SHA2],
    },
    'ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06': {
      protocols: since('TLSv1.2', 'TLSv1.3'),
      ciphers: [...TLS13, ...ALL],
    },
    'ELBSecurityPolicy-TLS13-1-3-2021-06': { protocols: since('TLSv1.3', 'TLSv1.3'), ciphers: TLS13 },
    'ELBSecurityPolicy-TLS13-1-1-2021-06': {
      protocols: since('TLSv1.1', 'TLSv1.3'),
      ciphers: [...TLS13, ...ALL],
    },
    'ELBSecurityPolicy-TLS13-1-0-2021-06': {
      protocols: since('TLSv1', 'TLSv1.3'),
      ciphers: [...TLS13, ...ALL],
    },
    'ELBSecurityPolicy-2016-08': { protocols: since('TLSv1', 'TLSv1.2'), ciphers: ALL },
    'ELBSecurityPolicy-2015-05': { protocols: since('TLSv1', 'TLSv1.2'), ciphers: ALL },
    'ELBSecurityPolicy-TLS-1-2-2017-01': {
      protocols: since('TLSv1.2', 'TLSv1.2'),
      ciphers: [...STRONG, ...RSA_SHA2],
    },
    'ELBSecurityPolicy-TLS-1-2-Ext-2018-06': { protocols: since('TLSv1.2', 'TLSv1.2'), ciphers: ALL },
    'ELBSecurityPolicy-TLS-1-1-2017-01': { protocols: since('TLSv1.1', 'TLSv1.2'), ciphers: ALL },
    'ELBSecurityPolicy-FS-2018-06': { protocols: since('TLSv1', 'TLSv1.2'), ciphers: FORWARD },
    'ELBSecurityPolicy-FS-1-1-2019-08': { protocols: since('TLSv1.1', 'TLSv1.2'), ciphers: FORWARD },
    'ELBSecurityPolicy-FS-1-2-2019-08': { protocols: since('TLSv1.2', 'TLSv1.2'), ciphers: FORWARD },
    'ELBSecurityPolicy-FS-1-2-Res-2019-08': { protocols: since('TLSv1.2', 'TLSv1.2'), ciphers: STRONG },
    'ELBSecurityPolicy-FS-1-2-Res-2020-10': { protocols: since('TLSv1.2', 'TLSv1.2'), ciphers: GCM },
  } satisfies Record<string, SslPolicy>),
);

/** What a listener has when the request names none. */
export const DEFAULT_SSL_POLICY = 'ELBSecurityPolicy-2016-08';
