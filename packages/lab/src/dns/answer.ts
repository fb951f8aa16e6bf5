import type { Answer, Question } from 'dns-packet';
import type { ClusterRecords, ServiceRecord } from './records.ts';

/** What a zone says of itself. */
export type Zone = {
  /** `cluster.local` */
  readonly name: string;
  /** Of every record, in seconds. */
  readonly ttl: number;
};

/** An answer from the cluster's records. */
export type Resolution = {
  readonly rcode: 'NOERROR' | 'NXDOMAIN';
  readonly answers: readonly Answer[];
  readonly authorities: readonly Answer[];
  readonly additionals: readonly Answer[];
  /** A name outside the cluster that an answer leads to: whoever asked for an address wants its as well. */
  readonly follow?: string;
};

/** The version of the names' schema that {@link answer} follows. */
const SCHEMA_VERSION = '1.1.0';

/** What is found at a name. */
type Found = {
  readonly addresses?: readonly string[];
  readonly alias?: string;
  readonly services?: readonly {
    readonly target: string;
    readonly port: number;
    readonly address?: string;
  }[];
  readonly text?: string;
};

/** A name that exists only because names below it do. */
const EMPTY: Found = {};

/**
 * Answers a question about the cluster, by the specification of DNS-based service discovery of Kubernetes.
 * @returns undefined when the name is none of the cluster's, so that others have to be asked.
 */
export function answer(question: Question, records: ClusterRecords, zone: Zone): Resolution | undefined {
  const name = question.name.toLowerCase().replace(/\.$/, '');
  if (name.endsWith('.in-addr.arpa')) return reverse(question, name, records, zone);
  const suffix = `.${zone.name}`;
  if (name !== zone.name && !name.endsWith(suffix)) return undefined;
  const labels = name === zone.name ? [] : name.slice(0, -suffix.length).split('.');
  const found = labels.length === 0 ? EMPTY : find(labels.reverse(), records, zone);
  if (!found) return { rcode: 'NXDOMAIN', answers: [], authorities: [soa(zone)], additionals: [] };
  return resolve(question, found, labels.length === 0, zone);
}

/** Turns what is at a name into the records that were asked for. */
function resolve({ name, type }: Question, found: Found, isApex: boolean, zone: Zone): Resolution {
  const { ttl } = zone;
  const asked = type as string;
  const answers: Answer[] = [];
  const additionals: Answer[] = [];
  let follow: string | undefined;
  if (found.alias && asked !== 'SRV') {
    answers.push({ type: 'CNAME', name, ttl, data: found.alias });
    if (asked === 'A' || asked === 'AAAA') follow = found.alias;
  } else if (asked === 'A') {
    for (const data of found.addresses ?? []) answers.push({ type: 'A', name, ttl, data });
  } else if (asked === 'SRV') {
    for (const { target, port, address } of found.services ?? []) {
      answers.push({ type: 'SRV', name, ttl, data: { priority: 0, weight: 100, port, target } });
      const known = additionals.some((each) => each.name === target);
      if (address && !known) additionals.push({ type: 'A', name: target, ttl, data: address });
    }
  } else if (asked === 'TXT' && found.text) {
    answers.push({ type: 'TXT', name, ttl, data: found.text });
  } else if (isApex && asked === 'SOA') {
    answers.push({ ...soa(zone), name });
  } else if (isApex && asked === 'NS') {
    answers.push({ type: 'NS', name, ttl, data: `ns.dns.${zone.name}` });
  }
  return {
    rcode: 'NOERROR',
    answers,
    // With no answer, how long that may be remembered.
    authorities: answers.length === 0 ? [soa(zone)] : [],
    additionals,
    ...(follow !== undefined && { follow }),
  };
}

/** Looks a name up. @param labels below the zone, the last one first. */
function find(labels: readonly string[], records: ClusterRecords, zone: Zone): Found | undefined {
  const [kind, namespace, name, ...rest] = labels;
  if (kind === 'dns-version' && labels.length === 1) return { text: SCHEMA_VERSION };
  if (kind !== 'svc' && kind !== 'pod') return undefined;
  if (namespace === undefined) return EMPTY;
  if (!records.namespaces.has(namespace)) return undefined;
  if (name === undefined) return EMPTY;
  if (kind === 'pod') return rest.length === 0 ? findPod(name) : undefined;
  const service = records.service(name, namespace);
  return service && findInService(service, rest, zone);
}

/** `10-0-1-5` is an address, whether a pod has it or not. */
function findPod(name: string): Found | undefined {
  const address = name.replaceAll('-', '.');
  return isAddress(address) ? { addresses: [address] } : undefined;
}

function findInService(service: ServiceRecord, labels: readonly string[], zone: Zone): Found | undefined {
  const [first, second, ...rest] = labels;
  if (service.externalName) return first === undefined ? { alias: service.externalName } : undefined;
  if (rest.length > 0) return undefined;
  if (first === undefined) return serviceItself(service, zone, () => true);
  if (first.startsWith('_')) {
    const [protocol, port] = [first.slice(1), second?.slice(1)];
    if (second !== undefined && !second.startsWith('_')) return undefined;
    const found = serviceItself(
      service,
      zone,
      (each) => each.protocol === protocol && (port === undefined || each.name === port),
    );
    if (found.services?.length === 0) return undefined;
    return second === undefined ? EMPTY : found;
  }
  const endpoints = service.endpoints.filter(({ hostname }) => hostname === first);
  if (second !== undefined || endpoints.length === 0) return undefined;
  return {
    addresses: distinct(endpoints.map(({ address }) => address)),
    services: endpoints.flatMap(({ address, ports }) =>
      ports.map(({ port }) => ({ target: `${first}.${domainOf(service, zone)}`, port, address })),
    ),
  };
}

type PortFilter = (port: { readonly name: string; readonly protocol: string }) => boolean;

function serviceItself(service: ServiceRecord, zone: Zone, wanted: PortFilter): Found {
  const domain = domainOf(service, zone);
  if (service.clusterIPs.length > 0) {
    const [address] = service.clusterIPs;
    return {
      addresses: service.clusterIPs,
      services: service.ports
        .filter(wanted)
        .map(({ port }) => ({ target: domain, port, ...(address !== undefined && { address }) })),
    };
  }
  return {
    addresses: distinct(service.endpoints.map(({ address }) => address)),
    services: service.endpoints.flatMap(({ address, hostname, ports }) =>
      ports.filter(wanted).map(({ port }) => ({ target: `${hostname}.${domain}`, port, address })),
    ),
  };
}

function reverse(
  question: Question,
  name: string,
  records: ClusterRecords,
  zone: Zone,
): Resolution | undefined {
  const address = name.slice(0, -'.in-addr.arpa'.length).split('.').reverse().join('.');
  const names = records.namesOf(address);
  if (names.length === 0) return undefined;
  const answers: Answer[] = names.map((each) => ({
    type: 'PTR',
    name: question.name,
    ttl: zone.ttl,
    data: `${each}.${zone.name}`,
  }));
  const isAsked = question.type === 'PTR';
  return {
    rcode: 'NOERROR',
    answers: isAsked ? answers : [],
    authorities: isAsked ? [] : [soa(zone)],
    additionals: [],
  };
}

function soa({ name, ttl }: Zone): Answer {
  return {
    type: 'SOA',
    name,
    ttl,
    data: {
      mname: `ns.dns.${name}`,
      rname: `hostmaster.${name}`,
      serial: 1,
      refresh: 7200,
      retry: 1800,
      expire: 86_400,
      minimum: ttl,
    },
  };
}

function domainOf({ name, namespace }: ServiceRecord, zone: Zone): string {
  return `${name}.${namespace}.svc.${zone.name}`;
}

function distinct(values: readonly string[]): string[] {
  return [...new Set(values)];
}

function isAddress(text: string): boolean {
  const parts = text.split('.');
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256);
}
