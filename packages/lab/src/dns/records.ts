/** The parts of Kubernetes' objects that names are made from. */
type Metadata = {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Record<string, string>;
};

export type Service = {
  readonly metadata: Metadata;
  readonly spec: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly externalName?: string;
    readonly ports?: readonly { name?: string; protocol?: string; port: number }[];
  };
};

export type EndpointSlice = {
  readonly metadata: Metadata;
  readonly addressType?: string;
  readonly endpoints?: readonly {
    readonly addresses?: readonly string[];
    readonly hostname?: string;
    readonly conditions?: { readonly ready?: boolean };
  }[];
  readonly ports?: readonly { name?: string; protocol?: string; port?: number }[];
};

export type Namespace = { readonly metadata: Metadata };

/** A port as SRV records tell it. */
type Port = { readonly name: string; readonly protocol: string; readonly port: number };

type Endpoint = { readonly address: string; readonly hostname: string; readonly ports: readonly Port[] };

/** A service as names are resolved to it. Addresses are IPv4. */
export type ServiceRecord = {
  readonly name: string;
  readonly namespace: string;
  /** Empty for a headless service. */
  readonly clusterIPs: readonly string[];
  /** Where the name leads instead, for a service of type ExternalName. */
  readonly externalName?: string;
  readonly ports: readonly Port[];
  /** Those that are ready, in the order of their addresses. */
  readonly endpoints: readonly Endpoint[];
};

/** What the cluster's names are resolved from, at one moment. */
export class ClusterRecords {
  readonly namespaces: ReadonlySet<string>;
  readonly #services: ReadonlyMap<string, ServiceRecord>;
  readonly #names: ReadonlyMap<string, readonly string[]>;

  constructor(
    namespaces: Iterable<Namespace>,
    services: Iterable<Service>,
    endpointSlices: Iterable<EndpointSlice>,
  ) {
    this.namespaces = new Set(Iterator.from(namespaces).map(({ metadata }) => metadata.name));
    const slices = Map.groupBy(
      Iterator.from(endpointSlices).filter(({ addressType = 'IPv4' }) => addressType === 'IPv4'),
      ({ metadata }) => `${metadata.labels?.['kubernetes.io/service-name']}.${metadata.namespace}`,
    );
    this.#services = new Map(
      Iterator.from(services).map((service) => {
        const key = `${service.metadata.name}.${service.metadata.namespace}`;
        return [key, recordOf(service, slices.get(key) ?? [])] as const;
      }),
    );
    this.#names = namesByAddress(this.#services.values());
  }

  service(name: string, namespace: string): ServiceRecord | undefined {
    return this.#services.get(`${name}.${namespace}`);
  }

  /** Names that an address has, up to and without the cluster's domain. */
  namesOf(address: string): readonly string[] {
    return this.#names.get(address) ?? [];
  }
}

function recordOf({ metadata, spec }: Service, slices: readonly EndpointSlice[]): ServiceRecord {
  const addresses = spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []);
  return {
    name: metadata.name,
    namespace: metadata.namespace ?? 'default',
    clusterIPs: addresses.filter((address) => address !== 'None' && !address.includes(':')),
    ...(spec.type === 'ExternalName' && spec.externalName && { externalName: spec.externalName }),
    ports: (spec.ports ?? []).map(portOf),
    endpoints: slices.flatMap(endpointsOf).sort((a, b) => a.address.localeCompare(b.address)),
  };
}

function endpointsOf({ endpoints, ports }: EndpointSlice): Endpoint[] {
  const served = (ports ?? []).flatMap((port) =>
    port.port === undefined ? [] : [portOf({ ...port, port: port.port })],
  );
  // One without a condition counts as ready, and one that publishes unready addresses is said to be.
  return (endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
    .flatMap(({ addresses, hostname }) =>
      (addresses ?? []).map((address) => ({
        address,
        hostname: hostname || address.replaceAll('.', '-'),
        ports: served,
      })),
    );
}

function portOf({ name, protocol, port }: { name?: string; protocol?: string; port: number }): Port {
  return { name: name ?? '', protocol: (protocol ?? 'TCP').toLowerCase(), port };
}

function namesByAddress(services: Iterable<ServiceRecord>): Map<string, string[]> {
  const names = new Map<string, string[]>();
  const add = (address: string, name: string) => {
    const known = names.get(address);
    if (known) known.push(name);
    else names.set(address, [name]);
  };
  for (const { name, namespace, clusterIPs, endpoints } of services) {
    for (const address of clusterIPs) add(address, `${name}.${namespace}.svc`);
    for (const { address, hostname } of endpoints) add(address, `${hostname}.${name}.${namespace}.svc`);
  }
  return names;
}
