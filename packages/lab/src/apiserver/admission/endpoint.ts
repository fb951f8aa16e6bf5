/** Where a webhook is: at a URL, or behind a Service. */
import type {
  AdmissionregistrationV1ServiceReference,
  V1EndpointSlice,
  V1MutatingWebhook,
  V1Service,
  V1ValidatingWebhook,
} from '@kubernetes/client-node';
import type { Store } from '../storage/store.ts';

const SLICES = 'endpointslices.discovery.k8s.io';

export type Endpoint = {
  /** As the client would call it, whatever is connected to. */
  readonly url: string;
  /** What its certificate must be for. */
  readonly serverName: string;
  /** Where to connect to. @throws Error when nothing there is ready. */
  readonly connect: () => { readonly host: string; readonly port: number };
  /** Authorities of its certificate, PEM; undefined: those that the system trusts. */
  readonly authorities: string | undefined;
};

/**
 * A Service is not asked by its address, which means nothing outside of nodes, but at one of its ready endpoints, as EKS' control plane
 * reaches pods by the VPC.
 */
export function endpointOf(
  store: Store,
  { clientConfig, timeoutSeconds }: V1MutatingWebhook | V1ValidatingWebhook,
): Endpoint {
  const { service, caBundle } = clientConfig;
  const url = clientConfig.url ?? urlOf(service!);
  const { hostname, port } = new URL(url);
  const serverName = hostname.replace(/^\[(.*)\]$/, '$1');
  return {
    url: `${url}?timeout=${timeoutSeconds}s`,
    serverName,
    connect: service
      ? () => readyEndpoint(store, service)
      : () => ({ host: serverName, port: Number(port || 443) }),
    authorities: caBundle ? Buffer.from(caBundle, 'base64').toString() : undefined,
  };
}

function urlOf({ namespace, name, path, port }: AdmissionregistrationV1ServiceReference): string {
  return `https://${name}.${namespace}.svc:${port}${path ?? '/'}`;
}

/** @throws Error in the words of the real server's resolver of services. */
function readyEndpoint(
  store: Store,
  { namespace, name, port }: AdmissionregistrationV1ServiceReference,
): { host: string; port: number } {
  const service = store.get('services', `${namespace}/${name}`) as V1Service | undefined;
  if (!service) throw new Error(`service "${name}" not found`);
  if (service.spec?.type === 'ExternalName') throw new Error('unsupported service type "ExternalName"');
  const wanted = service.spec?.ports?.find((one) => one.port === port);
  if (!wanted) throw new Error(`no service port ${port} found for service "${name}"`);
  const slices = ([...store.all(SLICES)] as unknown as V1EndpointSlice[]).filter(
    ({ metadata }) =>
      metadata?.namespace === namespace && metadata?.labels?.['kubernetes.io/service-name'] === name,
  );
  const ready = slices.flatMap(({ endpoints, ports }) => {
    const at = ports?.find((one) => (one.name ?? '') === (wanted.name ?? ''))?.port;
    const addresses = (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
    return at ? addresses.map((endpoint) => ({ host: endpoint.addresses[0]!, port: at })) : [];
  });
  if (ready.length === 0) throw new Error(`no endpoints available for service "${name}"`);
  return ready[Math.floor(Math.random() * ready.length)]!;
}
