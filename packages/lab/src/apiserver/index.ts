/**
 * The lab's Kubernetes API: what kubectl and client libraries rely on, over one process's objects.
 *
 * A request goes through the rooms in this order: `auth` says who asks, `http` reads what is meant, `registry` does it by
 * what `schema`, `validation`, `patch` and each resource's strategy say, and webhooks through `admission`; `storage` numbers the
 * change and keeps it, and `watch` tells those who want to know.
 */
import type { Server } from 'node:https';
import type { AddressInfo, ListenOptions } from 'node:net';
import type { Pki } from '../pki/index.ts';
import { Webhooks } from './admission/index.ts';
import { ServiceAccountTokens } from './auth/service-account-token.ts';
import { bootstrap, type Endpoint } from './bootstrap.ts';
import { closable } from './http/connections.ts';
import { createApiHttpServer } from './http/server.ts';
import { Kubelets } from './kubelets/proxy.ts';
import { UNREVIEWED } from './registry/admission.ts';
import type { Call } from './registry/call.ts';
import { Catalog } from './registry/catalog.ts';
import { DefinitionKeeper } from './registry/definition-keeper.ts';
import { expireEvents } from './registry/event-expiry.ts';
import type { Cluster } from './registry/strategy.ts';
import type { HistoryLimits } from './storage/history.ts';
import { Store } from './storage/store.ts';

export type ApiServerOptions = {
  /** Where its state is kept. */
  readonly directory: string;
  readonly pki: Pki;
  /** DNS names and addresses that clients call it by, beside those that it has in every cluster. */
  readonly names: readonly string[];
  /** Where it listens: addresses, or sockets by file descriptor. */
  readonly listen: readonly (ListenOptions | { readonly fd: number })[];
  /** Where pods reach it, when that is not where it listens first. */
  readonly endpoint?: Endpoint;
  /** Addresses of services, the first of which is the server's own. */
  readonly serviceCidr?: string;
  readonly history?: HistoryLimits;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
};

export type ApiServer = {
  /** Of each listener, in their order. */
  readonly addresses: readonly AddressInfo[];
  /** Ends all connections, and returns when its state is on disk. */
  close(): Promise<void>;
};

const SERVICE_CIDR = '10.100.0.0/16';
const NAMES = [
  'kubernetes',
  'kubernetes.default',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
];
const SYSTEM = { username: 'system:apiserver', groups: ['system:masters'] };

/** Starts it. @throws when its state is damaged or it cannot listen. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { directory, pki, serviceCidr = SERVICE_CIDR } = options;
  const store = new Store(directory, options.history ? { history: options.history } : {});
  const catalog = new Catalog();
  const own: Cluster = { store, serviceCidr, now: options.now ?? Date.now, admission: UNREVIEWED };
  const cluster: Cluster = { ...own, admission: new Webhooks(store, catalog) };
  const call: Call = {
    user: SYSTEM,
    dryRun: false,
    fieldManager: 'apiserver',
    fieldValidation: 'Strict',
    force: true,
    options: {},
    warn: (message) => process.emitWarning(message),
  };
  const definitions = new DefinitionKeeper(own, catalog, call);
  const stopExpiry = expireEvents(cluster);
  const ownAddress = firstAddress(serviceCidr);
  const certificate = await pki.authority.issueServer([
    'kube-apiserver',
    ...NAMES,
    ownAddress,
    ...options.names,
  ]);
  const client = await pki.authority.issueClient('kube-apiserver-kubelet-client', ['system:masters']);
  const kubelets = new Kubelets(store, { ...client, authority: pki.authority.certificate });
  const servers = options.listen.map(() =>
    createApiHttpServer({
      resources: { cluster, catalog, tokens: new ServiceAccountTokens(pki.serviceAccountKey) },
      kubelets,
      tls: { ...certificate, clientAuthority: pki.authority.certificate },
      address: `${ownAddress}:443`,
    }),
  );
  const closing = servers.map(closable);
  const close = async () => {
    stopExpiry();
    definitions.stop();
    await Promise.all(closing.map((end) => end()));
    await store.close();
  };
  try {
    const addresses: AddressInfo[] = [];
    for (const [index, server] of servers.entries())
      addresses.push(await listen(server, options.listen[index]!));
    const endpoint = options.endpoint ?? addresses[0]!;
    await bootstrap(own, catalog, call, ownAddress, endpoint);
    return { addresses, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function firstAddress(cidr: string): string {
  return cidr.split('/')[0]!.replace(/\d+$/, (octet) => String(Number(octet) + 1));
}

function listen(server: Server, options: ListenOptions | { fd: number }): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options, () => {
      server.off('error', reject);
      resolve(server.address() as AddressInfo);
    });
  });
}
