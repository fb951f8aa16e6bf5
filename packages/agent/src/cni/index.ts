/** Everything that container runtimes, plugin executables, probes and operators ask of the agent by its sockets. */
import type { Ipv4Cidr } from '@enid/ip';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { listSandboxes } from '../container-runtime/container-runtime.ts';
import { type ControlOptions, serveControl } from '../control.ts';
import type { Logger } from '../log.ts';
import type { Pods } from '../network/pods.ts';
import type { PodGuard } from '../policy/guard.ts';
import type { AddressPool } from '../seams.ts';
import { CniBackend } from './backend/backend.ts';
import { CniBackendServer } from './backend/server.ts';
import type { AttachmentObserver } from './observer.ts';
import { CniPlugin } from './plugin.ts';
import { SandboxUpkeep } from './sandboxes/upkeep.ts';
import { CniServer } from './server.ts';

export type CniOptions = {
  readonly config: Pick<Config, 'sockets' | 'network' | 'policy'>;
  readonly pool: AddressPool;
  readonly pods: Pods;
  /** All IPv4 blocks of the VPC, as metadata has them. */
  readonly vpcCidrs: () => Promise<readonly Ipv4Cidr[]>;
  /** Told of what pods got and were refused. */
  readonly observer?: AttachmentObserver | undefined;
  /** Fences pods in. */
  readonly guard?: PodGuard | undefined;
  /** What an operator may do by hand. */
  readonly control: ControlOptions;
  readonly clock: Clock;
  readonly log: Logger;
};

/**
 * Serves our plugin executable and Amazon's, and looks after sandboxes that went without a DEL.
 * @returns what ends it; calls that have begun finish.
 * @throws when another agent answers on one of the sockets.
 */
export async function serveCni(options: CniOptions): Promise<AsyncDisposable> {
  const { config, pool, pods, vpcCidrs, observer, guard, control, clock, log } = options;
  await using stack = new AsyncDisposableStack();
  const plugin = new CniPlugin(pool, pods, observer, guard);
  const backend = new CniBackend({
    plugin,
    ready: () => pool.ready(),
    vpcCidrs,
    snat: config.network,
    networkPolicyMode: config.policy.amazonsMode,
    policies: guard && { mode: config.policy.mode, guard },
    log,
  });
  const { sockets } = config;
  stack.use(await CniBackendServer.listen(sockets.ipamd, backend, log));
  if (guard) stack.use(await CniBackendServer.listen(sockets.npa, backend, log, 'ENID_NPA_SOCKET'));
  stack.use(
    await CniServer.listen(
      sockets.cni,
      (request) => plugin.handle(request),
      ({ command, containerId, milliseconds, error }) => {
        const call = { command, containerId, milliseconds: Math.round(milliseconds * 100) / 100 };
        if (error) log.warn({ ...call, code: error.code, details: error.details }, error.message);
        else log.debug(call, 'CNI call answered');
      },
    ),
  );
  const runtime = async () => {
    const sandboxes = await listSandboxes(sockets.containerRuntime);
    return sandboxes && new Set(sandboxes.map(({ id }) => id));
  };
  stack.use(new SandboxUpkeep({ pool, plugin, runtime, clock, log }).start());
  stack.use(await serveControl(sockets.control, { ...control, plugin, clock, runtime }));
  return stack.move();
}
