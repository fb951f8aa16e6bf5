/** The agent's service module, which takes kube-proxy's place: informers that tell the service proxy what it needs to know. */
import { once } from 'node:events';
import { hostname } from 'node:os';
import {
  type ApiAccess,
  type EndpointSlice,
  EventRecorder,
  Informer,
  inClusterAccess,
  KubeClient,
  kubeconfigAccess,
  type Node,
  type Service,
} from '@enid/kube';
import { Registry } from 'prom-client';
import { serveHttp } from './http.ts';
import { type Logger, openLog } from './log.ts';
import { ServiceProxy } from './services/index.ts';

const ZONE = 'topology.kubernetes.io/zone';
/** Where kube-proxy serves its metrics: on loopback. */
const METRICS = { host: '127.0.0.1', port: 10_249 };

/**
 * Runs the service proxy of a node in the network namespace of the node until SIGTERM or SIGINT. Services go on without it.
 * @param env MY_NODE_NAME; KUBECONFIG outside of a cluster; AWS_VPC_K8S_CNI_VETHPREFIX as the network module has it.
 * @throws {Error} when it is not told how to reach the API server.
 */
export async function runServiceModule(env: NodeJS.ProcessEnv): Promise<void> {
  const log = openLog({ level: 'info', file: 'stdout' });
  const access = env.KUBECONFIG ? kubeconfigAccess(env.KUBECONFIG) : inClusterAccess(env);
  const node = env.MY_NODE_NAME || hostname();
  await using _module = await startServiceModule({
    access,
    node,
    podLinks: `${env.AWS_VPC_K8S_CNI_VETHPREFIX || 'eni'}*`,
    log,
  });
  log.info({ node, server: access.server }, 'services are followed');
  const [signal] = await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  log.info({ signal }, 'the service proxy stops');
}

type Options = {
  readonly access: ApiAccess;
  readonly node: string;
  readonly podLinks: string;
  readonly log: Logger;
};

async function startServiceModule({ access, node, podLinks, log }: Options): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const client = new KubeClient(access);
  stack.defer(() => client.close());
  const onError = (error: Error) => log.warn({ err: error }, 'the API server does not answer as it should');
  const events = new EventRecorder({ client, component: 'kube-proxy', host: node, onError });
  stack.defer(() => events.close());
  const follow = <T extends object>(
    path: string,
    selector: { fieldSelector?: string; labelSelector?: string } = {},
  ) => {
    const informer = new Informer<T>({ client, path, ...selector, onError });
    stack.defer(() => informer.stop());
    return informer;
  };
  const services = follow<Service>('/api/v1/services');
  const endpointSlices = follow<EndpointSlice>('/apis/discovery.k8s.io/v1/endpointslices');
  const nodes = follow<Node>('/api/v1/nodes', { fieldSelector: `metadata.name=${node}` });

  const registry = new Registry();
  const proxy = stack.use(
    await ServiceProxy.start({
      podLinks,
      registry,
      report({ service, reason, message }) {
        log.warn({ service, reason }, message);
        const about = service === undefined ? nodes.get(node) : services.get(service);
        const kind = service === undefined ? 'Node' : 'Service';
        if (about) events.event({ ...about, apiVersion: 'v1', kind }, 'Warning', reason, message);
      },
    }),
  );
  // Many objects change in one turn of the event loop when a list is read.
  let telling: NodeJS.Immediate | undefined;
  const tell = () => {
    telling ??= setImmediate(() => {
      telling = undefined;
      const zone = nodes.get(node)?.metadata?.labels?.[ZONE];
      const facts = { name: node, zone };
      proxy.update({ services: services.list(), endpointSlices: endpointSlices.list(), node: facts });
    });
  };
  stack.defer(() => clearImmediate(telling));
  // What is not known yet is not gone: the tables stay until all is known.
  await Promise.all([services.synced, endpointSlices.synced, nodes.synced]);
  for (const informer of [services, endpointSlices, nodes]) stack.defer(informer.onChange(tell));
  tell();
  const answer = async () => ({ type: registry.contentType, body: await registry.metrics() });
  stack.use(await serveHttp(METRICS, { '/metrics': answer }));
  return stack.move();
}
