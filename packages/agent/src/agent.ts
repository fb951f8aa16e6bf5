/** The node daemon put together: what is started, in which order, and stopped in the opposite one. */
import { once } from 'node:events';
import type { Registry } from 'prom-client';
import { mapOf } from './address-map-source.ts';
import { AwsEc2, type CallObserver } from './aws/ec2.ts';
import { AwsError } from './aws/errors.ts';
import { Imds, type InstanceIdentity, type MetadataEni } from './aws/metadata.ts';
import { systemClock } from './clock.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import { installExecutable, removeConflist, writeConflist } from './conflist.ts';
import { serveHealth } from './health.ts';
import { type HttpService, serveHttp } from './http.ts';
import { introspectionRoutes } from './introspection.ts';
import { type Kubernetes, maxPodsOf, openKubernetes } from './kubernetes/index.ts';
import { type Logger, openLog } from './log.ts';
import type { LinuxNodeNetwork } from './network/node-network.ts';
import { NetworkUpkeep } from './network-upkeep.ts';
import type { Policies } from './policy/index.ts';
import { CheckpointFile } from './pool/checkpoint.ts';
import { nodeEniOf } from './pool/eni-policy.ts';
import type { KubernetesEniConfigs } from './pool/kubernetes-eni-configs.ts';
import { WarmPool } from './pool/warm-pool.ts';
import { settingsWithoutEffect } from './print-config.ts';
import type { BindAddress } from './socket-paths.ts';

const METRICS = { host: '0.0.0.0', port: 61_678 };

/**
 * Runs the agent in the network namespace of its node until SIGTERM or SIGINT. Pods keep their network.
 * @param env Amazon's variables, see `config.ts`.
 * @throws {ConfigError} for a variable that cannot be used.
 * @throws {CheckpointError} for a checkpoint that cannot be read.
 * @throws {AwsError} when the instance cannot be found out.
 */
export async function runAgent(env: NodeJS.ProcessEnv): Promise<void> {
  const config = readConfig(env);
  const log = openLog(config.log);
  try {
    await using _agent = await startAgent(config, env, log);
    // Until here a signal ends the process on the spot: the next start finds its way from any instant.
    const [signal] = await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
    log.info({ signal }, 'the agent stops');
  } catch (error) {
    log.error({ err: error }, 'the agent ends');
    throw error;
  }
}

async function startAgent(config: Config, env: NodeJS.ProcessEnv, log: Logger): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const clock = systemClock;
  for (const { name, value, because } of settingsWithoutEffect(env))
    log.warn({ [name]: value, because }, 'this setting has no effect');

  // The AWS SDK takes longest to load: the rest goes on meanwhile.
  const sdk = config.pool.imdsOnly ? undefined : AwsEc2.load();
  sdk?.catch(() => {}); // Awaited further down.
  const [{ LinuxNodeNetwork }, { serveCni }, metrics, { identity, primary, vpcCidrs, metadata }] =
    await Promise.all([
      import('./network/node-network.ts'),
      import('./cni/index.ts'),
      config.metrics ? import('./metrics.ts').then(({ AgentMetrics }) => new AgentMetrics()) : undefined,
      readInstance(),
    ]);
  log.info({ ...identity, primaryEni: primary.id }, 'the agent starts');
  const kubernetes = stack.use(await openKubernetes(env, config, log));

  const network = new LinuxNodeNetwork(config.network);
  stack.defer(() => network.close());
  const primaryEni = nodeEniOf(primary);
  await network.setup({ primaryEni, vpcCidrs });

  const eniConfigs = stack.use(await openEniConfigs(config, kubernetes));
  const ec2 = sdk && openEc2(await sdk, identity, metrics?.observeCall);
  stack.defer(() => ec2?.close());
  if (ec2) metrics?.showPace(() => ec2.pace);
  const pool = await WarmPool.start({
    ec2,
    metadata,
    network,
    clock,
    log,
    identity,
    random: Math.random,
    store: new CheckpointFile(config.pool.checkpointPath),
    settings: config.pool,
    clusterName: config.clusterName,
    eniConfigs,
    schedulable: () => kubernetes?.schedulable ?? true,
    maxPods: () => kubernetes?.node?.maxPods,
    onShortage: (refusal) => kubernetes?.short(refusal),
    runtimePods: async () => {
      const { listSandboxes } = await import('./container-runtime/container-runtime.ts');
      return ((await listSandboxes(config.sockets.containerRuntime)) ?? []).filter(({ running }) => running);
    },
  });
  stack.defer(() => pool.stop());
  const { instanceType } = identity;
  kubernetes?.follow({ pool, instanceType, maxPods: () => maxPodsOf(pool.view) });

  // A node without pods is shown as not ready until an address is there. One with pods goes on being ready: else
  // each restart of the agent would take it out of every load balancer.
  if (pool.assignments().length === 0) await removeConflist(config.cni);
  const upkeep = stack.use(new NetworkUpkeep({ network, pool, metadata, primaryEni, clock, log }));
  await upkeep.start();

  const policies = stack.use(await openPolicies(config, kubernetes, network, pool, metrics?.registry, log));

  const map = mapOf({ node: config.nodeName ?? identity.instanceId, identity, metadata, ec2, pool, clock });
  stack.use(
    await serveCni({
      ...{ config, pool, clock, log },
      pods: network.pods,
      vpcCidrs: () => metadata.vpcCidrs(primaryEni.mac),
      observer: kubernetes,
      guard: policies?.guard,
      control: { pool, map, policies: policies?.control, log },
    }),
  );
  // Before the CNI server lets its calls finish: none of them waits for an ENI any more.
  stack.defer(() => pool.stop());
  pool.whenReady
    .then(async () => {
      await installExecutable(config.cni.binDir);
      await writeConflist(config.cni);
      log.info({ directory: config.cni.confDir }, 'the node is ready for pods');
    })
    .catch((error: unknown) => log.error({ err: error }, 'the node could not be made known as ready'));

  const view = () => pool.view;
  if (config.introspection) {
    stack.use(await serve('introspection', config.introspection, introspectionRoutes(view, env, map), log));
  }
  if (metrics) {
    metrics.showPool(view, clock);
    const { registry } = metrics;
    if (kubernetes) await kubernetes.showMetrics(registry);
    const answer = async () => ({ type: registry.contentType, body: await registry.metrics() });
    stack.use(await serve('metrics', METRICS, { '/metrics': answer }, log));
  }
  // At last: whoever sees it ready may rely on all that is above.
  stack.use(await serveHealth(() => pool.ready(), log));
  return stack.move();
}

async function readInstance(): Promise<{
  metadata: Imds;
  identity: InstanceIdentity;
  primary: MetadataEni;
  vpcCidrs: Awaited<ReturnType<Imds['vpcCidrs']>>;
}> {
  const metadata = await Imds.open(systemClock);
  const [identity, enis] = await Promise.all([metadata.identity(), metadata.enis()]);
  const primary = enis.find(({ mac }) => mac === identity.mac);
  if (!primary) {
    throw new AwsError(
      'Metadata',
      'GetMetadata',
      `instance metadata does not show the primary ENI, ${identity.mac}`,
    );
  }
  return { metadata, identity, primary, vpcCidrs: await metadata.vpcCidrs(primary.mac) };
}

/** @throws {ConfigError} when custom networking is on and there is no Kubernetes to ask. */
async function openEniConfigs(
  { pool, eniConfig: keys }: Config,
  kubernetes: Kubernetes | undefined,
): Promise<KubernetesEniConfigs | undefined> {
  if (!pool.customNetworking) return undefined;
  if (!kubernetes?.node) {
    throw new ConfigError(
      'AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG is "true" but the Kubernetes API cannot be asked for ENIConfigs: run as a pod with a service account, or set KUBECONFIG.',
    );
  }
  const { KubernetesEniConfigs } = await import('./pool/kubernetes-eni-configs.ts');
  return new KubernetesEniConfigs({
    client: kubernetes.client,
    node: kubernetes.node,
    keys,
    clock: systemClock,
  });
}

/** @throws {ConfigError} when policies are to be enforced and there is no Kubernetes to ask for them. */
async function openPolicies(
  { policy: config, nodeName }: Config,
  kubernetes: Kubernetes | undefined,
  network: LinuxNodeNetwork,
  pool: WarmPool,
  registry: Registry | undefined,
  log: Logger,
): Promise<Policies | undefined> {
  if (!config.enabled) return undefined;
  if (!kubernetes || !nodeName) {
    throw new ConfigError(
      'ENABLE_NETWORK_POLICY is "true" but the Kubernetes API cannot be asked for policies: run as a pod with a service account, or set KUBECONFIG, and set MY_NODE_NAME.',
    );
  }
  const { openPolicies } = await import('./policy/index.ts');
  const { client } = kubernetes;
  const links = () =>
    network.pods.wired(pool.assignments()).map(({ pod: { metadata }, link }) => {
      const { k8sPodUid: uid } = metadata;
      return { pod: { metadata, ...(uid && { uid }) }, ifindex: link.index };
    });
  return openPolicies({ config, client, nodeName, links, registry, clock: systemClock, log });
}

function openEc2(
  sdk: Awaited<ReturnType<typeof AwsEc2.load>>,
  { region, instanceId }: InstanceIdentity,
  observe: CallObserver | undefined,
): AwsEc2 {
  return AwsEc2.open(sdk, { region, instanceId, ...(observe && { observe }) });
}

/** Serves over HTTP. Whoever holds the port does not keep pods from running: that is only logged. */
async function serve(
  name: string,
  at: BindAddress,
  routes: Parameters<typeof serveHttp>[1],
  log: Logger,
): Promise<HttpService | undefined> {
  try {
    return await serveHttp(at, routes);
  } catch (error) {
    log.error({ err: error, ...at }, `${name} cannot be served: free the port, or set another`);
    return undefined;
  }
}
