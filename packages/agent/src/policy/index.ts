/** Network policies on a node. Import this file alone, and only where they are enforced: it loads the eBPF library. */
import type { Ip } from '@enid/ip';
import { EventRecorder, type KubeClient } from '@enid/kube';
import type { Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Logger } from '../log.ts';
import { DataPlane } from './data-plane/index.ts';
import { explain, type PolicyAnswer, type PolicyQuestion } from './explain.ts';
import { FlowLog } from './flow-log.ts';
import { showPolicies } from './metrics.ts';
import { type PodLinkOf, PolicyModule } from './policy-module.ts';
import { type VerdictLine, Verdicts } from './verdicts.ts';

export type { PolicyAnswer, PolicyQuestion } from './explain.ts';
export type { VerdictLine } from './verdicts.ts';

export type PolicyOptions = {
  readonly config: Config['policy'];
  readonly client: KubeClient;
  readonly nodeName: string;
  /** The links of all pods that are wired at the moment. */
  readonly links: () => readonly PodLinkOf[];
  readonly registry?: Registry | undefined;
  readonly clock: Clock;
  readonly log: Logger;
};

/** What an operator may ask of policies. */
export type PolicyControl = {
  explain(question: PolicyQuestion): PolicyAnswer;
  /**
   * Tells all verdicts on a pod of this node, or on all, from now on.
   * @param pod `namespace/name`.
   * @returns what ends it.
   * @throws when there is no such pod here.
   */
  trace(pod: string | undefined, listener: (line: VerdictLine) => void): Promise<() => Promise<void>>;
};

export type Policies = AsyncDisposable & { readonly guard: PolicyModule; readonly control: PolicyControl };

/**
 * Begins to enforce policies. What a former agent enforced goes on until it is known better.
 * @throws {UnsupportedKernelError} when this kernel cannot, or no BPF file system is mounted.
 */
export async function openPolicies(options: PolicyOptions): Promise<Policies> {
  const { config, client, nodeName, links, registry, clock, log } = options;
  await using stack = new AsyncDisposableStack();
  const plane = await DataPlane.open({ directory: config.directory });
  stack.defer(() => plane.close());
  const applied = registry && showPolicies(registry, plane);
  const onError = (error: Error) => log.debug({ err: error }, 'an event could not be written');
  const recorder = new EventRecorder({ client, component: 'aws-node', host: nodeName, onError });
  const module = new PolicyModule({
    ...{ client, nodeName, plane, links, recorder, clock },
    ...{ mode: config.mode, log: config.log, logger: log },
    ...(applied && { applied }),
  });
  stack.use(module);
  const podOf = (ifindex: number) => {
    const { metadata } = module.pod(ifindex) ?? {};
    return metadata && `${metadata.namespace}/${metadata.name}`;
  };
  const verdicts = new Verdicts(plane, { podOf, podAt: (address: Ip) => module.podAt(address), log });
  if (config.log !== 'none') {
    const file = new FlowLog({
      file: config.logFile,
      onError: (error) => log.warn({ err: error, file: config.logFile }, 'the flow log cannot be written'),
    });
    stack.use(file);
    const wanted = config.log;
    verdicts.listen((line) => {
      if (wanted === 'all' || line.verdict === 'deny') file.write(JSON.stringify(line));
    });
  }
  const control: PolicyControl = {
    explain: (question) => explain(module, plane, question),
    async trace(pod, listener) {
      const link = pod === undefined ? undefined : module.linkOf(pod);
      if (pod !== undefined && link === undefined) throw new Error(`there is no pod ${pod} on this node`);
      const end = verdicts.listen((line, { ifindex }) => {
        if (link === undefined || ifindex === link) listener(line);
      });
      const untrace = await module.trace(link === undefined ? undefined : [link]);
      return async () => {
        end();
        await untrace();
      };
    },
  };
  const opened = stack.move();
  return { guard: module, control, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
}
