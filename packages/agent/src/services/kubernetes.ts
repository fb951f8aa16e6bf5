/**
 * The part of Services and EndpointSlices that is read here, as the API server sends it. Objects of any client library
 * fit, whatever else they hold.
 */

export type ObjectMeta = {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly creationTimestamp?: string | Date | undefined;
};

export type Service = {
  readonly metadata?: ObjectMeta | undefined;
  readonly spec?: ServiceSpec | undefined;
  readonly status?:
    | { readonly loadBalancer?: { readonly ingress?: readonly Ingress[] | undefined } | undefined }
    | undefined;
};

export type ServiceSpec = {
  readonly type?: string | undefined;
  readonly clusterIP?: string | undefined;
  readonly clusterIPs?: readonly string[] | undefined;
  readonly externalIPs?: readonly string[] | undefined;
  readonly ports?: readonly ServicePortSpec[] | undefined;
  readonly internalTrafficPolicy?: string | undefined;
  readonly externalTrafficPolicy?: string | undefined;
  readonly healthCheckNodePort?: number | undefined;
  readonly loadBalancerSourceRanges?: readonly string[] | undefined;
  readonly sessionAffinity?: string | undefined;
  readonly sessionAffinityConfig?:
    | { readonly clientIP?: { readonly timeoutSeconds?: number | undefined } | undefined }
    | undefined;
};

export type ServicePortSpec = {
  readonly name?: string | undefined;
  readonly protocol?: string | undefined;
  readonly port: number;
  readonly nodePort?: number | undefined;
};

export type Ingress = { readonly ip?: string | undefined; readonly ipMode?: string | undefined };

export type EndpointSlice = {
  readonly metadata?: ObjectMeta | undefined;
  readonly addressType: string;
  readonly endpoints?: readonly SliceEndpoint[] | null | undefined;
  readonly ports?: readonly SlicePort[] | null | undefined;
};

export type SlicePort = {
  readonly name?: string | undefined;
  readonly protocol?: string | undefined;
  readonly port?: number | undefined;
};

export type SliceEndpoint = {
  readonly addresses: readonly string[];
  readonly nodeName?: string | undefined;
  readonly conditions?:
    | {
        readonly ready?: boolean | undefined;
        readonly serving?: boolean | undefined;
        readonly terminating?: boolean | undefined;
      }
    | undefined;
  readonly hints?:
    | {
        readonly forZones?: readonly { readonly name: string }[] | undefined;
        readonly forNodes?: readonly { readonly name: string }[] | undefined;
      }
    | undefined;
};

const SERVICE_NAME = 'kubernetes.io/service-name';
/** Whoever sets one of these labels, with any value, takes the Service away from the service proxy. */
const NOT_PROXIED = ['service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless'];
/** When what made the controller write a slice happened. */
export const LAST_CHANGE = 'endpoints.kubernetes.io/last-change-trigger-time';

/** `namespace/name`. */
export function nameOf({ metadata }: Service): string {
  return `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
}

/** The `namespace/name` of the Service that a slice belongs to; undefined when it belongs to none. */
export function serviceOf({ metadata }: EndpointSlice): string | undefined {
  const name = metadata?.labels?.[SERVICE_NAME];
  return name === undefined ? undefined : `${metadata?.namespace ?? ''}/${name}`;
}

/** Whether a Service or slice is left to somebody else. */
export function isLeftToOthers({ metadata }: { readonly metadata?: ObjectMeta | undefined }): boolean {
  return NOT_PROXIED.some((label) => metadata?.labels?.[label] !== undefined);
}
