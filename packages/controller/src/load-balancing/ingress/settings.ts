/** What an Ingress asks of the load balancer and the listeners that it shares with its group. */
import { AddressError, familyOf, parseCidr } from '@enid/ip';
import type { Ingress } from '@enid/kube';
import { z } from 'zod';
import type { Annotations, Named } from '../annotations.ts';
import { type AttributeTable, FLAG, readAttributes } from '../attributes.ts';
import { namedCertificates } from '../certificates.ts';
import { readCidrs } from '../cidrs.ts';
import type { Account, ClusterDefaults } from '../model/account.ts';
import type { Scheme, Tags } from '../model/stack.ts';
import { readTags } from '../tags.ts';
import { discoverCertificates } from './certificates.ts';
import { listenerAttributesOf, pairs } from './class-params.ts';
import type { IngressClassParams } from './world.ts';

export type ListenerSettings = {
  readonly protocol: 'HTTP' | 'HTTPS';
  /** ARNs, the default one first, as the next of HTTPS. */
  readonly certificates: readonly string[];
  readonly sslPolicy: string | undefined;
  /** Blocks and prefix lists that may reach it; undefined when the Ingress does not say. */
  readonly inbound: Inbound | undefined;
  readonly attributes: Readonly<Record<string, string>>;
};

export type Inbound = { readonly cidrs: readonly string[]; readonly prefixLists: readonly string[] };

export type Settings = {
  readonly name: string | undefined;
  readonly scheme: Scheme | undefined;
  readonly subnets: {
    readonly named: Named;
    readonly tags: Readonly<Record<string, readonly string[]>> | undefined;
  };
  readonly securityGroups: Named;
  /** Whether the backend's group is attached beside security groups of the user's. */
  readonly manageBackendRules: boolean | undefined;
  readonly attributes: Readonly<Record<string, string>>;
  readonly tags: Tags;
  readonly sslRedirect: number | undefined;
  /** By port. */
  readonly listeners: ReadonlyMap<number, ListenerSettings>;
};

/** Of application load balancers: attributes of ELBv2's API. */
const ATTRIBUTES: AttributeTable = {
  'deletion_protection.enabled': FLAG,
  'access_logs.s3.enabled': FLAG,
  'connection_logs.s3.enabled': FLAG,
  'idle_timeout.timeout_seconds': [1, 4000],
  'client_keep_alive.seconds': [60, 604_800],
  'routing.http2.enabled': FLAG,
  'routing.http.drop_invalid_header_fields.enabled': FLAG,
  'routing.http.preserve_host_header.enabled': FLAG,
  'routing.http.x_amzn_tls_version_and_cipher_suite.enabled': FLAG,
  'routing.http.xff_client_port.enabled': FLAG,
  'routing.http.xff_header_processing.mode': /^(append|preserve|remove)$/,
  'routing.http.desync_mitigation_mode': /^(monitor|defensive|strictest)$/,
  'waf.fail_open.enabled': FLAG,
  'zonal_shift.config.enabled': FLAG,
};

const PORT = [1, 65_535] as const;
const listenPorts = z
  .array(z.partialRecord(z.enum(['HTTP', 'HTTPS']), z.number().int().min(PORT[0]).max(PORT[1])))
  .min(1);
const mutualAuthentication = z.array(z.looseObject({ port: z.number(), mode: z.string() }));

/**
 * @param annotations the class's over the Ingress's.
 * @throws {InvalidObject}
 */
export async function readSettings(
  { spec }: Ingress,
  object: string,
  annotations: Annotations,
  params: IngressClassParams | undefined,
  { account, defaults }: { readonly account: Account; readonly defaults: ClusterDefaults },
): Promise<Settings> {
  const named = await namedCertificates(account, annotations.named('certificate-arn'));
  const ports = readListenPorts(annotations, named.length > 0);
  const isTls = [...ports.values()].includes('HTTPS');
  const hosts = [
    ...(spec?.rules ?? []).flatMap(({ host }) => host || []),
    ...(spec?.tls ?? []).flatMap(({ hosts }) => hosts ?? []),
  ];
  const certificates =
    isTls && named.length === 0 ? await discoverCertificates(account, object, hosts) : named;
  const sslPolicy = annotations.text('ssl-policy');
  if (sslPolicy !== undefined && !/^ELBSecurityPolicy-[\w-]+$/.test(sslPolicy))
    annotations.refuse('ssl-policy', `is "${sslPolicy}": it may be a policy of ELB, ELBSecurityPolicy-...`);
  refuseMutualAuthentication(annotations);
  const inbound = readInbound(annotations);
  const listeners = [...ports].map(([port, protocol]) => {
    const isHttps = protocol === 'HTTPS';
    const attributes = {
      ...readAttributes(annotations, `listener-attributes.${protocol}-${port}`, {}),
      ...listenerAttributesOf(params, protocol, port),
    };
    const settings: ListenerSettings = {
      protocol,
      certificates: isHttps ? certificates : [],
      sslPolicy: isHttps ? sslPolicy : undefined,
      inbound,
      attributes,
    };
    return [port, settings] as const;
  });
  const name = annotations.text('load-balancer-name');
  if (name !== undefined && !/^(?!internal-)[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?$/.test(name))
    annotations.refuse(
      'load-balancer-name',
      `is "${name}": it may have letters, digits and "-", 32 of them, and not begin with internal-`,
    );
  return {
    name,
    scheme: annotations.oneOf('scheme', ['internal', 'internet-facing']),
    subnets: readSubnets(annotations, params),
    securityGroups: annotations.named('security-groups'),
    manageBackendRules: annotations.flag('manage-backend-security-group-rules'),
    attributes: {
      ...readAttributes(annotations, 'load-balancer-attributes', ATTRIBUTES),
      ...pairs(params?.spec?.loadBalancerAttributes),
    },
    tags: { ...readTags(annotations, 'tags', {}), ...pairs(params?.spec?.tags), ...defaults.tags },
    sslRedirect: annotations.number('ssl-redirect', PORT),
    listeners: new Map(listeners),
  };
}

/** By the tags that the class says before those that anybody names. */
function readSubnets(annotations: Annotations, params: IngressClassParams | undefined): Settings['subnets'] {
  const named = annotations.named('subnets');
  const { ids, tags } = params?.spec?.subnets ?? {};
  return tags && !ids ? { named: { ...named, names: [] }, tags } : { named, tags: undefined };
}

function readListenPorts(annotations: Annotations, preferTls: boolean): Map<number, 'HTTP' | 'HTTPS'> {
  const name = 'listen-ports';
  const given = annotations.json(name, listenPorts) ?? [preferTls ? { HTTPS: 443 } : { HTTP: 80 }];
  const ports = new Map<number, 'HTTP' | 'HTTPS'>();
  for (const [protocol, port] of given.flatMap((entry) => Object.entries(entry))) {
    if (port === undefined) continue;
    const other = ports.get(port) ?? protocol;
    if (other !== protocol) annotations.refuse(name, `has port ${port} twice, for HTTP and for HTTPS`);
    ports.set(port, protocol as 'HTTP' | 'HTTPS');
  }
  if (ports.size === 0)
    annotations.refuse(name, 'has no port: it is a list such as [{"HTTP": 80}, {"HTTPS": 443}]');
  return ports;
}

function readInbound(annotations: Annotations): Inbound | undefined {
  const blocks = annotations.named('inbound-cidrs');
  const prefixLists = annotations.list('security-group-prefix-lists');
  const wrong = prefixLists.find((id) => !/^pl-[0-9a-z]+$/.test(id));
  if (wrong !== undefined)
    annotations.refuse('security-group-prefix-lists', `has "${wrong}": it is a list such as pl-0123,pl-4567`);
  if (blocks.names.length + prefixLists.length === 0) return undefined;
  // Nobody reaches an IPv4 load balancer from an IPv6 block.
  const names = blocks.names.filter((block) => !isIpv6(block));
  return { cidrs: readCidrs({ ...blocks, names }), prefixLists };
}

function isIpv6(block: string): boolean {
  try {
    return familyOf(parseCidr(block)) === 6;
  } catch (error) {
    if (error instanceof AddressError) return false;
    throw error;
  }
}

function refuseMutualAuthentication(annotations: Annotations): void {
  const name = 'mutual-authentication';
  for (const { port, mode } of annotations.json(name, mutualAuthentication) ?? []) {
    if (mode !== 'off')
      annotations.refuse(name, `has mode ${mode} for port ${port}, which is not supported: it may be off`);
  }
}
