/**
 * Fences the pods of a node in, as network policies want it.
 *
 * What binds a pod follows from what was last heard of policies, namespaces and the pod itself; a change of any of them
 * leads to the pods that it concerns being guarded anew, all in one call.
 */
import type { Ip } from '@enid/ip';
import { type EventRecorder, isNotFound, type KubeClient, type Namespace, type Pod } from '@enid/kube';
import type { Clock } from '../clock.ts';
import type { PodIdentity } from '../cni/observer.ts';
import type { Logger } from '../log.ts';
import { type LogLevel, type PolicyDataPlane, PolicyNotHeldError } from './data-plane/index.ts';
import { type PodGuard, PolicyUnknownError } from './guard.ts';
import { keyOf, NodePolicies } from './node-policies.ts';
import { PolicyWatches } from './watches.ts';

/** How long ADD waits until it is known what binds a pod, in milliseconds. */
const PATIENCE = 5000;
/** How often the links that pods have are looked at, in milliseconds: others than the agent wire pods too. */
const ADOPT_INTERVAL = 5000;
/** After a failure, in milliseconds. */
const RETRY = 2000;
/** Of what stands for a static pod in the API: the uid that the kubelet gave the pod itself. */
const STATIC_UID = 'kubernetes.io/config.mirror';

export type PolicyMode = 'standard' | 'strict';

const namespaceOf = (pod: Pod | undefined) => pod?.metadata?.namespace ?? '';

/** A pod that has a link on the node. */
export type PodLinkOf = { readonly pod: PodIdentity; readonly ifindex: number };

export type PolicyModuleOptions = {
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly mode: PolicyMode;
  /** Which verdicts are logged. */
  readonly log: LogLevel;
  readonly plane: Pick<PolicyDataPlane, 'guard' | 'release' | 'guarded'>;
  /** The links of all pods that are wired at the moment. */
  readonly links: () => readonly PodLinkOf[];
  readonly recorder?: Pick<EventRecorder, 'event'> | undefined;
  /** Told how long a change took to be in force, in seconds. */
  readonly applied?: (seconds: number) => void;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** A link, and whose it is. */
type Attached = {
  readonly key: string;
  /** That of the pod which the API server had by the name, when whoever wired it did not tell. */
  uid: string | undefined;
  /**
   * As last heard of. It binds for as long as the link is there: a pod may run on when it is deleted, and when another has its name.
   */
  pod?: Pod;
  /** What is in force on the link is left alone until it is known which pod it is. */
  isLeft: boolean;
};

export class PolicyModule implements PodGuard, AsyncDisposable {
  readonly policies: NodePolicies;
  readonly #options: PolicyModuleOptions;
  readonly #watches: PolicyWatches;
  readonly #stop = new AbortController();
  /** By the index of the link. */
  readonly #attached = new Map<number, Attached>();
  /** Links to guard anew, with when that was found. */
  readonly #dirty = new Map<number, number>();
  /** Pods whose verdicts are all logged, by link, with how many want it. */
  readonly #traced = new Map<number, number>();
  #flushing: Promise<void> | undefined;
  #isSynced = false;

  constructor(options: PolicyModuleOptions) {
    const { client, clock, nodeName, mode, logger } = options;
    this.#options = options;
    this.policies = new NodePolicies(mode);
    this.#watches = new PolicyWatches({ client, clock }, nodeName, {
      pod: (old, now) => {
        const key = keyOf((now ?? old)!);
        if (!now) return;
        for (const attached of this.#attached.values())
          if (!old && attached.key === key && attached.uid === undefined) this.#identify(attached, now);
        this.#touch((_, attached) => attached.key === key);
      },
      namespace: (old, now) => {
        const name = keyOf((now ?? old)!);
        const isIn = (pod: Pod | undefined) => pod?.metadata?.namespace === name;
        // Pods may run on when their namespace is gone.
        if (!now && [...this.#attached.values()].some(({ pod }) => isIn(pod))) return;
        this.policies.setNamespace(name, now && (now.metadata?.labels ?? {}));
        this.#touch(isIn);
      },
      endpoint: (old, now) => {
        const before = old && this.#selectedBy(old);
        this.policies.setEndpoint(old, now);
        const after = now && this.#selectedBy(now);
        this.#touch((_, __, ifindex) => Boolean(before?.has(ifindex) || after?.has(ifindex)));
      },
      clusterEndpoint: (old, now) => {
        const before = old && this.#selectedBy(old);
        this.policies.setClusterEndpoint(old, now);
        const after = now && this.#selectedBy(now);
        this.#touch((_, __, ifindex) => Boolean(before?.has(ifindex) || after?.has(ifindex)));
      },
      undefined: (path) =>
        logger.warn({ path }, 'the cluster has no policies of this kind: apply deploy/crds to have them'),
      error: (error) => logger.debug({ err: error }, 'policies could not be followed; it is tried again'),
    });
    this.#watches.synced.then(
      () => {
        this.#isSynced = true;
        logger.info({ mode }, 'policies are followed');
        // In strict mode some are closed until now.
        this.#touch(() => true);
        void this.#adopt();
      },
      () => {},
    );
  }

  /** The pod of a link, and its link, as far as they are known. */
  pod(ifindex: number): Pod | undefined {
    const attached = this.#attached.get(ifindex);
    return attached && this.#podOf(attached);
  }

  /** The link of a pod. @param key `namespace/name`. */
  linkOf(key: string): number | undefined {
    // The newest: one of that name may have gone a moment ago.
    return [...this.#attached].findLast(([, attached]) => attached.key === key)?.[0];
  }

  /** The pod that has an address, as far as policies or this node tell: `namespace/name`. */
  podAt(address: Ip): string | undefined {
    const own = this.#watches.podAt(address);
    return own ? keyOf(own) : this.policies.podAt(address);
  }

  /** Resolves when it is known what binds pods. */
  get synced(): Promise<void> {
    return this.#watches.synced;
  }

  async guard({ metadata, uid }: PodIdentity, ifindex: number): Promise<void> {
    const { k8sPodNamespace: namespace, k8sPodName: name } = metadata;
    const attached: Attached = { key: `${namespace ?? ''}/${name ?? ''}`, uid, isLeft: false };
    this.#attached.set(ifindex, attached);
    try {
      // In strict mode a pod is closed until more is known. Who is no pod of Kubernetes is bound by no policy.
      if (this.#options.mode === 'standard' && namespace && name) await this.#known(attached);
      await this.#put([ifindex]);
    } catch (error) {
      this.#attached.delete(ifindex);
      throw error;
    }
    if (!this.#podOf(attached))
      void this.#ask(attached).then(() => this.#touch((_, one) => one === attached));
  }

  async guardNamed(namespace: string, name: string): Promise<boolean> {
    const links = this.#options.links().filter(({ pod: { metadata } }) => {
      return metadata.k8sPodNamespace === namespace && metadata.k8sPodName === name;
    });
    // One that is known has been guarded, and may be that of the pod before.
    const fresh = links.filter(({ ifindex }) => !this.#attached.get(ifindex)?.pod);
    await Promise.all(fresh.map(({ pod, ifindex }) => this.guard(pod, ifindex)));
    return links.length > 0;
  }

  release(ifindex: number): void {
    this.#attached.delete(ifindex);
    this.#dirty.delete(ifindex);
    this.#options.plane.release(ifindex).catch((error: Error) => {
      this.#options.logger.warn(
        { err: error, ifindex },
        'what guarded a pod that is gone could not be let go',
      );
    });
  }

  /** Logs all verdicts on pods until that is ended. @param links all unless given. @returns what ends it. */
  async trace(links: readonly number[] = [...this.#attached.keys()]): Promise<() => Promise<void>> {
    const change = async (by: number) => {
      for (const ifindex of links) this.#traced.set(ifindex, (this.#traced.get(ifindex) ?? 0) + by);
      for (const [ifindex, count] of this.#traced) if (count <= 0) this.#traced.delete(ifindex);
      await this.#put(links.filter((ifindex) => this.#attached.has(ifindex)));
    };
    await change(1);
    return () => change(-1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#watches.stop();
    await this.#flushing;
  }

  #selectedBy(endpoint: Parameters<NodePolicies['selects']>[0]): Set<number> {
    const links = [...this.#attached].filter(([, attached]) => {
      const pod = this.#podOf(attached);
      return pod && this.policies.selects(endpoint, pod);
    });
    return new Set(links.map(([ifindex]) => ifindex));
  }

  #podOf(attached: Attached): Pod | undefined {
    const heard = this.#watches.pod(attached.key);
    // By its name alone it is asked for: the watch may still have the one before it.
    if (heard && attached.uid !== undefined) this.#identify(attached, heard);
    return attached.pod;
  }

  /** Takes a pod for that of a link if it is. */
  #identify(attached: Attached, pod: Pod): void {
    const { uid, annotations } = pod.metadata ?? {};
    attached.uid ??= uid;
    if (attached.uid === uid || attached.uid === annotations?.[STATIC_UID]) attached.pod = pod;
  }

  /** Waits until it is known what binds a pod. */
  async #known(attached: Attached): Promise<void> {
    const { clock } = this.#options;
    const late = new AbortController();
    const timeout = clock.sleep(PATIENCE, late.signal).then(() => {
      throw new PolicyUnknownError(
        `the API server did not tell within ${PATIENCE / 1000} s which network policies bind the pod; it is added when it does. See the log of the aws-node pod on this node`,
      );
    });
    timeout.catch(() => {});
    try {
      await Promise.race([this.#watches.synced, timeout]);
      await Promise.race([this.#watches.live(), timeout]);
      if (!this.#podOf(attached)) await Promise.race([this.#ask(attached), timeout]);
      await Promise.race([this.#askNamespace(attached), timeout]);
      if (attached.pod) return;
      const who = attached.uid === undefined ? attached.key : `${attached.key} with the uid ${attached.uid}`;
      throw new PolicyUnknownError(
        `the API server has no pod ${who}: which network policies bind it cannot be known. It was deleted, or is not a pod of Kubernetes`,
      );
    } finally {
      late.abort();
    }
  }

  /** Asks for a pod that the watch has not told of. What has its name may be none or another. */
  async #ask(attached: Attached): Promise<void> {
    const [namespace, name] = attached.key.split('/');
    if (!namespace || !name) return;
    const pod = await this.#get<Pod>(`/api/v1/namespaces/${namespace}/pods/${name}`);
    if (pod) this.#identify(attached, pod);
  }

  /** Asks for the namespace of a pod when that is so new that the watch has not told of it. */
  async #askNamespace({ key }: Attached): Promise<void> {
    const [name = ''] = key.split('/');
    if (this.policies.knowsNamespace(name)) return;
    const namespace = await this.#get<Namespace>(`/api/v1/namespaces/${name}`);
    if (!namespace || this.policies.knowsNamespace(name)) return;
    this.policies.setNamespace(name, namespace.metadata?.labels ?? {});
  }

  /** Asks until there is an answer. @returns undefined when there is no such object. */
  async #get<T>(path: string): Promise<T | undefined> {
    const { client, clock } = this.#options;
    const { signal } = this.#stop;
    for (let wait = 50; !signal.aborted; wait *= 2) {
      try {
        return await client.get<T>(path);
      } catch (error) {
        if (isNotFound(error)) return undefined;
        await clock.sleep(wait, signal).catch(() => {});
      }
    }
    return undefined;
  }

  /** Guards anew whichever pods it concerns. */
  #touch(concerns: (pod: Pod | undefined, attached: Attached, ifindex: number) => boolean): void {
    const now = this.#options.clock.now();
    for (const [ifindex, attached] of this.#attached) {
      if (this.#dirty.has(ifindex) || !concerns(this.#podOf(attached), attached, ifindex)) continue;
      this.#dirty.set(ifindex, now);
    }
    if (this.#dirty.size > 0) this.#flushing ??= this.#flush();
  }

  async #flush(): Promise<void> {
    const { clock, applied } = this.#options;
    const { signal } = this.#stop;
    // What else the same turn of the event loop brings goes with it.
    await Promise.resolve();
    while (this.#dirty.size > 0 && this.#isSynced && !signal.aborted) {
      const batch = new Map(this.#dirty);
      this.#dirty.clear();
      const links = [...batch.keys()].filter((ifindex) => this.#attached.has(ifindex));
      try {
        await this.#put(links);
        applied?.((clock.now() - Math.min(...batch.values())) / 1000);
      } catch (error) {
        this.#report(error as Error);
        for (const [ifindex, since] of batch)
          if (this.#attached.has(ifindex)) this.#dirty.set(ifindex, since);
        await clock.sleep(RETRY, signal).catch(() => {});
      }
    }
    this.#flushing = undefined;
  }

  /** Puts in force what binds the pods of links now. */
  async #put(links: readonly number[]): Promise<void> {
    const guards = links.flatMap((ifindex) => {
      const attached = this.#attached.get(ifindex);
      if (!attached) return [];
      const pod = this.#isSynced ? this.#podOf(attached) : undefined;
      if (!pod && attached.isLeft) return [];
      const isKnown = this.#options.mode === 'standard' || this.policies.knowsNamespace(namespaceOf(pod));
      const rules = pod && isKnown ? this.policies.rulesOf(pod) : this.policies.unknown;
      return [{ ifindex, rules, log: this.#traced.has(ifindex) ? 'all' : this.#options.log } as const];
    });
    if (guards.length === 0) return;
    try {
      await this.#options.plane.guard(guards);
    } catch (error) {
      if (!(error instanceof PolicyNotHeldError)) throw error;
      this.#tellClosed(error);
    }
  }

  /** Guards pods that were wired before, or by somebody else; lets go of links that are no pod's. */
  async #adopt(): Promise<void> {
    const { clock, links, plane, logger } = this.#options;
    const { signal } = this.#stop;
    let before = new Set<number>();
    while (!signal.aborted) {
      try {
        const wired = new Map(links().map(({ pod, ifindex }) => [ifindex, pod]));
        for (const [ifindex, pod] of wired) if (!this.#attached.has(ifindex)) this.#take(ifindex, pod);
        // Of the end of a pod that an earlier agent has guarded nobody tells.
        for (const ifindex of before) {
          if (!wired.has(ifindex) && this.#attached.has(ifindex)) this.release(ifindex);
        }
        before = new Set(wired.keys());
        const guarded = new Set(plane.guarded());
        this.#touch((pod, { isLeft }, ifindex) => {
          return wired.has(ifindex) && !guarded.has(ifindex) && (pod !== undefined || !isLeft);
        });
        for (const ifindex of guarded) {
          if (!wired.has(ifindex) && !this.#attached.has(ifindex)) this.release(ifindex);
        }
      } catch (error) {
        logger.warn({ err: error }, 'the links of pods could not be looked at');
      }
      await clock.sleep(ADOPT_INTERVAL, signal).catch(() => {});
    }
  }

  /** Takes over a link that this process has not guarded. */
  #take(ifindex: number, { metadata, uid }: PodIdentity): void {
    const key = `${metadata.k8sPodNamespace ?? ''}/${metadata.k8sPodName ?? ''}`;
    const attached: Attached = { key, uid, isLeft: true };
    this.#attached.set(ifindex, attached);
    const asked = uid === undefined ? this.#ask(attached) : Promise.resolve();
    void asked.then(() => {
      // What is known of no pod would be opened in standard mode; in strict mode it is closed.
      attached.isLeft = this.#options.mode === 'standard';
      this.#touch((_, one) => one === attached);
    });
  }

  #report(error: Error): void {
    const { logger } = this.#options;
    logger.warn(
      { err: error },
      'policies could not be put in force; what was in force stays, and it is tried again',
    );
  }

  #tellClosed({ message, closed }: PolicyNotHeldError): void {
    const { logger, recorder } = this.#options;
    logger.error({ closed: closed.length }, message);
    for (const ifindex of closed) {
      const pod = this.pod(ifindex);
      if (pod)
        recorder?.event({ ...pod, apiVersion: 'v1', kind: 'Pod' }, 'Warning', 'PolicyNotHeld', message);
    }
  }
}
