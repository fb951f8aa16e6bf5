/** The controller as a process: leader election around the loops, metrics and health. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { hostname } from 'node:os';
import {
  type ApiAccess,
  EventRecorder,
  Informers,
  inClusterAccess,
  KubeClient,
  kubeconfigAccess,
} from '@enid/kube';
import { type Logger, pino } from 'pino';
import { serveEndpoints } from './http.ts';
import { leadByLease } from './leader-election/leader-election.ts';
import { type LoadBalancing, readLoadBalancing, wantsLoadBalancers } from './load-balancing/configuration.ts';
import { ControllerMetrics } from './metrics.ts';
import { startNetworkPolicies } from './network-policy/index.ts';
import { preflight, shortcomings } from './preflight.ts';
import { startPodWebhook } from './webhook/index.ts';

const LEASE = 'enid-controller';

/**
 * Runs the controller until SIGTERM or SIGINT.
 * @param env KUBECONFIG outside of a cluster; POD_NAMESPACE, where the Lease is (kube-system); POD_NAME;
 *   METRICS_PORT (8080); WEBHOOK_PORT (9443), and WEBHOOK_HOST where the API server reaches this process by no Service;
 *   LOG_LEVEL (info); and what {@link readLoadBalancing} says.
 * @throws {Error} when the cluster lacks something, or the leadership was lost: start it again.
 */
export async function runController(env: NodeJS.ProcessEnv): Promise<void> {
  const log = pino({
    level: env.LOG_LEVEL || 'info',
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
  });
  const stop = new AbortController();
  const signals = { signal: stop.signal };
  const heard = Promise.race([once(process, 'SIGTERM', signals), once(process, 'SIGINT', signals)]).then(
    ([signal]) => {
      log.info({ signal }, 'the controller stops');
      stop.abort();
    },
    () => {},
  );
  try {
    await startController({
      access: env.KUBECONFIG ? kubeconfigAccess(env.KUBECONFIG) : inClusterAccess(env),
      namespace: env.POD_NAMESPACE || 'kube-system',
      identity: `${env.POD_NAME || hostname()}_${randomUUID()}`,
      port: Number(env.METRICS_PORT || 8080),
      ...(wantsLoadBalancers(env) && {
        loadBalancing: await readLoadBalancing(env),
        webhook: {
          port: Number(env.WEBHOOK_PORT || 9443),
          ...(env.WEBHOOK_HOST && { host: env.WEBHOOK_HOST }),
        },
      }),
      log,
      signal: stop.signal,
    });
  } finally {
    stop.abort();
    await heard;
  }
}

export type ControllerOptions = {
  readonly access: ApiAccess;
  /** The Lease's. */
  readonly namespace: string;
  readonly identity: string;
  /** Of metrics and health; 0 takes any. */
  readonly port: number;
  /** None: no load balancers. */
  readonly loadBalancing?: LoadBalancing;
  /** Of pods' readiness gates: the port, and where the API server finds it, when it is not by a Service. */
  readonly webhook?: { readonly port: number; readonly host?: string };
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly signal: AbortSignal;
};

/** Runs the controller until the signal aborts. Throws as {@link runController} does. */
export async function startController(options: ControllerOptions): Promise<void> {
  const { access, namespace, identity, port, loadBalancing, webhook, log, signal } = options;
  await using stack = new AsyncDisposableStack();
  const client = new KubeClient(access);
  stack.defer(() => client.close());
  const onError = (error: Error) => log.warn({ err: error }, 'the API server does not answer as it should');
  await preflight(client, { loadBalancers: loadBalancing !== undefined });
  for (const shortcoming of await shortcomings(client)) log.warn({}, shortcoming);
  const metrics = new ControllerMetrics();
  stack.use(await serveEndpoints(port, metrics.registry, () => undefined));
  // AWS's SDK is for those who need it.
  const lb = loadBalancing && (await import('./load-balancing/index.ts'));
  // Every replica answers, whoever leads.
  if (lb && webhook)
    stack.use(await startPodWebhook({ client, namespace, ...webhook, mutate: lb.gateInjector(client) }));
  log.info({ identity, server: access.server }, 'the controller waits to lead');
  await leadByLease({ client, namespace, name: LEASE, identity, signal, onError }, async (leading) => {
    const recorder = new EventRecorder({ client, component: LEASE, onError });
    await using work = new AsyncDisposableStack();
    work.defer(() => recorder.close());
    const informers = work.use(new Informers({ client, onError, signal: leading }));
    const common = { client, informers, recorder };
    try {
      const policies = await startNetworkPolicies({ ...common, onError, observe: metrics.networkPolicies });
      work.use(policies);
      metrics.networkPolicyQueue = () => policies.waiting;
      if (lb) {
        const { region, ...settings } = loadBalancing;
        const aws = work.use(lb.openAws({ region, observe: metrics.awsRequest, signal: leading }));
        const onFailure = (error: Error) =>
          log.warn({ err: error }, 'a load balancer is not as it should be');
        const observe = metrics.loadBalancers;
        const loadBalancers = await lb.startLoadBalancers({
          ...common,
          ...settings,
          aws,
          observe,
          signal: leading,
          onError: onFailure,
        });
        work.use(loadBalancers);
        metrics.loadBalancerQueue = () => loadBalancers.waiting;
      }
    } catch (error) {
      if (leading.aborted) return;
      throw error;
    }
    metrics.lead(true);
    log.info({ identity, loadBalancers: lb !== undefined }, 'the controller leads');
    if (!leading.aborted) await once(leading, 'abort');
    metrics.lead(false);
  });
}
