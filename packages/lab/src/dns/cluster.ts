import { readFileSync } from 'node:fs';
import { ClusterRecords, type EndpointSlice, type Namespace, type Service } from './records.ts';
import { type ApiAccess, Reflector } from './watch.ts';

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The API as a pod reaches it. @throws when this is no pod. */
export function inClusterAccess(env: NodeJS.ProcessEnv): ApiAccess {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (!host) throw new Error('KUBERNETES_SERVICE_HOST is not set: this program runs in a pod of a cluster');
  return {
    server: `https://${host}:${port}`,
    ca: readFileSync(`${ACCOUNT}/ca.crt`, 'utf8'),
    tokenFile: `${ACCOUNT}/token`,
  };
}

/** The cluster's records, kept up with its services, endpoints and namespaces. */
export class ClusterWatch {
  readonly #services: Reflector<Service>;
  readonly #endpointSlices: Reflector<EndpointSlice>;
  readonly #namespaces: Reflector<Namespace>;
  #records: ClusterRecords | undefined;

  constructor(access: ApiAccess) {
    // Made again when they are asked for, however many changes come before that.
    const changed = () => {
      this.#records = undefined;
    };
    this.#services = new Reflector(access, '/api/v1/services', changed);
    this.#endpointSlices = new Reflector(access, '/apis/discovery.k8s.io/v1/endpointslices', changed);
    this.#namespaces = new Reflector(access, '/api/v1/namespaces', changed);
  }

  /** What is known now; undefined until all of it was read once. */
  readonly records = (): ClusterRecords | undefined => {
    if (this.#records) return this.#records;
    const [namespaces, services, slices] = [
      this.#namespaces.objects,
      this.#services.objects,
      this.#endpointSlices.objects,
    ];
    if (namespaces && services && slices) this.#records = new ClusterRecords(namespaces, services, slices);
    return this.#records;
  };

  /** Runs until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(
      [this.#services, this.#endpointSlices, this.#namespaces].map((each) => each.run(signal)),
    );
  }
}
