import { readFileSync } from 'node:fs';
import { EventRecorder, Informer, KubeClient, type Pod, type Service, systemClock } from '@enid/kube';
import { pino } from 'pino';
import { CriClient } from './cri/client.ts';
import { TaskExits } from './cri/task-exits.ts';
import { Images } from './images/images.ts';
import { NodeRegistration } from './node/node.ts';
import { nodeInfoOf } from './node/node-info.ts';
import { RuntimeHealth } from './node/runtime-health.ts';
import { ObjectCache } from './objects/object-cache.ts';
import type { KubeletOptions } from './options.ts';
import { Backoff } from './pods/backoff.ts';
import { type PodContext, tell } from './pods/context.ts';
import { PodManager } from './pods/pod-manager.ts';
import { Prober } from './probes/prober.ts';
import { parseResolvConf } from './runtime/dns.ts';
import { Paths } from './runtime/paths.ts';
import { bytes } from './runtime/resources.ts';
import { KubeletServer } from './server/server.ts';
import { StatusWriter } from './status/status-writer.ts';
import { Tokens } from './volumes/tokens.ts';
import { Volumes } from './volumes/volumes.ts';

export type Kubelet = {
  /** Where its server listens. */
  readonly port: number;
  /** Ends the kubelet. The pods go on, and the next kubelet of the node takes them over. */
  close(): Promise<void>;
};

const RUNTIME_TIMEOUT = 30_000;
const REMEMBERED_EXITS = 1_000;

/**
 * Starts a node's kubelet in the namespaces of the node. It keeps no book of its own: what runs it asks the runtime.
 * @throws when the runtime does not answer, or the API server refuses the node.
 */
export async function startKubelet(options: KubeletOptions): Promise<Kubelet> {
  const { nodeName, containerdSocket, clock = systemClock, log = pino({ level: 'warn' }) } = options;
  const cri = new CriClient(containerdSocket);
  await cri.ready(RUNTIME_TIMEOUT).catch((error) => {
    cri.close();
    throw new Error(`containerd does not answer at ${containerdSocket}: is it running?`, { cause: error });
  });
  const client = new KubeClient(options.api);
  const onError = (error: Error) => log.warn(error.message);
  const paths = new Paths(options.rootDirectory, options.podLogsDirectory);
  const events = new EventRecorder({ client, component: 'kubelet', host: nodeName, clock, onError });
  const statuses = new StatusWriter(client, log);
  const images = new Images(cri, {
    registries: options.registries ?? false,
    known: options.images ?? [],
    hint: options.knownImagesHint ?? '',
  });

  const exited = new Set<string>();
  const health = new RuntimeHealth(cri, clock, () => {
    void node.tell();
    manager.pokeAll();
  });
  const objects = new ObjectCache(client, (uid) => manager.retry(uid));
  const prober = new Prober({
    client: cri,
    clock,
    changed: (uid) => manager.poke(uid),
    unhealthy: (pod, container, message) => tell({ events }, pod, 'Warning', 'Unhealthy', message, container),
  });
  const services = new Informer<Service>({ client, path: '/api/v1/services', onError, clock });
  const context: PodContext = {
    client,
    cri,
    clock,
    log,
    events,
    images,
    volumes: new Volumes(paths),
    tokens: new Tokens(client, clock),
    objects,
    environment: { objects, services: () => services.list(), nodeResources: options.capacity },
    prober,
    statuses,
    paths,
    crashes: new Backoff(clock),
    pulls: new Backoff(clock),
    hostIPs: [options.nodeAddress],
    clusterDns: { servers: options.clusterDNS, domain: options.clusterDomain },
    hostDns: () => parseResolvConf(readFileSync(options.resolvConf ?? '/etc/resolv.conf', 'utf8')),
    nodeMemory: bytes(options.capacity.memory),
    cgroupParent: options.cgroupParent,
    hasExited: (id) => exited.has(id),
    networkProblem: () => health.now.networkProblem,
  };
  const manager = new PodManager(context, options.maxPods);
  const server = new KubeletServer(options.server, { cri, clock, log, pods: () => manager.pods });
  const taskExits = new TaskExits(
    containerdSocket,
    (id) => {
      exited.add(id);
      if (exited.size > REMEMBERED_EXITS) exited.delete(exited.values().next().value!);
      manager.taskEnded(id);
    },
    () => manager.pokeAll(),
  );

  const port = await server.listen(options.server);
  const info = nodeInfoOf(await cri.version());
  const node = new NodeRegistration(
    client,
    options,
    { info, health: () => health.now, images: () => images.list(), port },
    clock,
    log,
  );
  await health.start();
  await node.start();
  await services.synced;
  const pods = new Informer<Pod>({
    client,
    path: '/api/v1/pods',
    fieldSelector: `spec.nodeName=${nodeName}`,
    onError,
    clock,
  });
  pods.onChange((old, now) => manager.changed(old, now));
  await pods.synced;
  await manager.start();

  return {
    port,
    async close() {
      taskExits.close();
      health.close();
      await Promise.all([pods.stop(), services.stop(), server.close(), node.close()]);
      prober.close();
      await manager.close();
      await Promise.all([objects.close(), statuses.close(), events.close()]);
      client.close();
      cri.close();
    },
  };
}
