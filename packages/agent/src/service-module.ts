/** The agent's service module, which takes kube-proxy's place: informers that tell the service proxy what it needs to know. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { type Cidr, parseCidr } from '@enid/ip';
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
import { NetNamespace } from '@enid/linux';
import { Registry } from 'prom-client';
import { VpcBlocks } from './aws/vpc-blocks.ts';
import { serveHttp } from './http.ts';
import { type Logger, openLog } from './log.ts';
import { serveWhenFree } from './serve-when-free.ts';
import {
  disjoint,
  kubeProxyFound,
  kubeProxyGone,
  type NodeFacts,
  type Problem,
  removeServiceTables,
  ServiceProxy,
} from './services/index.ts';

const ZONE = 'topology.kubernetes.io/zone';
/** Set by the cluster autoscaler before it takes a node away. */
const TO_BE_DELETED = 'ToBeDeletedByClusterAutoscaler';
/** Where kube-proxy serves its metrics: on loopback. */
const METRICS = { host: '127.0.0.1', port: 10_249 };

/**
 * Runs the service proxy of a node in the network namespace of the node until SIGTERM or SIGINT, but for the time in which kube-proxy
 * runs there. Services go on without it.
 * @param env MY_NODE_NAME; KUBECONFIG outside of a cluster; AWS_VPC_K8S_CNI_VETHPREFIX as the network module has it;
 *   NODEPORT_ADDRESSES: blocks of those of the node's addresses that have node ports, `10.0.0.0/16,100.64.0.0/10`; all unless given.
 * @throws {Error} when it is not told how to reach the API server, or NODEPORT_ADDRESSES has something else than blocks.
 */
export async function runServiceModule(env: NodeJS.ProcessEnv): Promise<void> {
  const log = openLog({ level: 'info', file: 'stdout' });
  const end = new AbortController();
  const ended = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  void ended.then(([signal]) => end.abort(signal));
  const access = env.KUBECONFIG ? kubeconfigAccess(env.KUBECONFIG) : inClusterAccess(env);
  const options = {
    node: env.MY_NODE_NAME || hostname(),
    podLinks: `${env.AWS_VPC_K8S_CNI_VETHPREFIX || 'eni'}*`,
    nodePortCidrs: nodePortCidrs(env.NODEPORT_ADDRESSES),
    log,
  };
  await using cluster = await Promise.race([followCluster(access, options), ended.then(() => undefined)]);
  // Nothing has been changed yet.
  if (!cluster) process.exit(0);
  using ns = NetNamespace.current();
  for (const { signal } = end; !signal.aborted; ) {
    await kubeProxyGone(ns, signal, async (found) => {
      const message = `${found} is kube-proxy's: Services are left to it. Where it does not run any more, "kube-proxy --cleanup" takes away what it has left`;
      cluster.report({ service: undefined, reason: 'KubeProxyFound', message });
      // Nobody would keep our own up to date, and packets would meet them first.
      await removeServiceTables(ns);
    });
    if (signal.aborted) break;
    await using _serving = await serveServices(cluster, options);
    log.info({ node: options.node, server: access.server }, 'services are followed');
    await kubeProxyFound(ns, signal);
  }
  log.info({ signal: end.signal.reason }, 'the service proxy stops');
}

/**
 * Reads NODEPORT_ADDRESSES.
 * @returns blocks that do not overlap.
 * @throws {Error} when it has something else than blocks.
 */
export function nodePortCidrs(text = ''): Cidr[] {
  try {
    return disjoint(
      text
        .split(',')
        .map((block) => block.trim())
        .filter((block) => block !== '')
        .map(parseCidr),
    );
  } catch (error) {
    throw new Error(`NODEPORT_ADDRESSES="${text}" is no list of CIDR blocks, such as 10.0.0.0/16`, {
      cause: error,
    });
  }
}

type Options = {
  readonly node: string;
  readonly podLinks: string;
  readonly nodePortCidrs: readonly Cidr[];
  readonly log: Logger;
};

/** All that Services depend on, as the API server and the VPC have it. */
type Cluster = AsyncDisposable & {
  readonly services: Informer<Service>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly nodes: Informer<Node>;
  readonly vpc: VpcBlocks;
  /** Tells what is wrong by an event of the Service, or of the node. */
  report(problem: Problem): void;
};

/** @returns when all is known: what is not known yet is not gone. */
async function followCluster(access: ApiAccess, { node, log }: Options): Promise<Cluster> {
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
  const vpc = stack.use(new VpcBlocks(log));
  // Services do not wait for it: which endpoints lie outside can be told later.
  void vpc.read();
  await Promise.all([services.synced, endpointSlices.synced, nodes.synced]);
  const report = ({ service, reason, message }: Problem) => {
    log.warn({ service, reason }, message);
    const kind = service === undefined ? 'Node' : 'Service';
    const about = service === undefined ? nodes.get(node) : services.get(service);
    if (about) events.event({ ...about, apiVersion: 'v1', kind }, 'Warning', reason, message);
  };
  const all = stack.move();
  return {
    ...{ services, endpointSlices, nodes, vpc, report },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Serves Services, and the metrics of that. */
async function serveServices(
  { services, endpointSlices, nodes, vpc, report }: Cluster,
  { node, podLinks, nodePortCidrs }: Options,
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const registry = new Registry();
  const proxy = stack.use(
    await ServiceProxy.start({
      ...{ families: families(), podLinks, endpointCidrs: vpc.blocks, nodePortCidrs, registry, report },
    }),
  );
  // Many objects change in one turn of the event loop when a list is read.
  let telling: NodeJS.Immediate | undefined;
  const tell = () => {
    telling ??= setImmediate(() => {
      telling = undefined;
      const facts = factsOf(node, nodes.get(node));
      proxy.update({ services: services.list(), endpointSlices: endpointSlices.list(), node: facts });
    });
  };
  stack.defer(() => clearImmediate(telling));
  for (const source of [services, endpointSlices, nodes, vpc]) stack.defer(source.onChange(tell));
  tell();
  const answer = async () => ({ type: registry.contentType, body: await registry.metrics() });
  const tellOfMetrics = (error: Error | undefined) => {
    const message = `/metrics cannot be served at port ${METRICS.port}, and will be when it is free: ${error?.message}`;
    if (error) report({ service: undefined, reason: 'MetricsUnavailable', message });
  };
  stack.use(await serveWhenFree(() => serveHttp(METRICS, { '/metrics': answer }), tellOfMetrics));
  return stack.move();
}

function factsOf(name: string, node: Node | undefined): NodeFacts {
  const { metadata, spec } = node ?? {};
  return {
    name,
    zone: metadata?.labels?.[ZONE],
    leaving:
      metadata?.deletionTimestamp !== undefined ||
      (spec?.taints ?? []).some(({ key }) => key === TO_BE_DELETED),
  };
}

/** The families of addresses that the node's kernel has: a cluster of two has Services in both. */
function families(): (4 | 6)[] {
  return existsSync('/proc/net/if_inet6') ? [4, 6] : [4];
}
