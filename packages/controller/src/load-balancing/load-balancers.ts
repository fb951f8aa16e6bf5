/** The controller of load balancers: gives Services and Ingresses what they ask for, and takes it away with them. */
import { isDeepStrictEqual } from 'node:util';
import {
  type Clock,
  type EventRecorder,
  type Informers,
  type Ingress,
  type IngressClass,
  isConflict,
  isNotFound,
  type KubeClient,
  type KubeObject,
  keyOf,
  type Namespace,
  type Service,
  systemClock,
  WorkQueue,
} from '@enid/kube';
import { AwsAccount } from './aws/account.ts';
import type { AwsClients } from './aws/clients.ts';
import { AwsError } from './aws/error.ts';
import type { LoadBalancing } from './configuration.ts';
import { Bindings, stackIdOfLabels } from './deploy/bindings.ts';
import type { Change } from './deploy/changes.ts';
import { Deployments } from './deploy/deployments.ts';
import { type Existing, stackKey, stackOfKey } from './deploy/existing.ts';
import { loadBalancerOf } from './deploy/match.ts';
import { NotYet } from './deploy/not-yet.ts';
import { RefusedByAws } from './ingress/blame.ts';
import {
  finalizerOf,
  formerStackIds,
  groupAnnotation,
  type IngressStackId,
  stackIdOf as stackIdOfIngress,
} from './ingress/groups.ts';
import { stackOfGroup } from './ingress/stack-of-group.ts';
import { type IngressClassParams, type IngressWorld, nameOf, type Problem } from './ingress/world.ts';
import { InvalidObject } from './model/errors.ts';
import { stackName } from './model/identity.ts';
import { emptyStack, type Stack, type StackId } from './model/stack.ts';
import { ownsService } from './service/owned.ts';
import { stackIdOf as stackIdOfService } from './service/reading.ts';
import { stackOfService } from './service/stack.ts';
import { followBindings, startTargetGroupBindings } from './targets/target-group-bindings.ts';

export type LoadBalancersOptions = Omit<LoadBalancing, 'region'> & {
  readonly client: KubeClient;
  /** By which the cluster is followed; who made them ends them. */
  readonly informers: Informers;
  readonly aws: AwsClients;
  readonly recorder?: EventRecorder;
  readonly observe?: LoadBalancersObserver;
  readonly onError?: (error: Error) => void;
  readonly clock?: Clock;
  /** How often everything is compared with AWS though nothing has changed in the cluster, in milliseconds; 10 minutes. */
  readonly recheck?: number;
  /** Once it aborts another may lead: nothing is changed any more, in AWS or in the cluster. */
  readonly signal?: AbortSignal;
};

export type LoadBalancersObserver = {
  readonly reconciled?: (kind: StackId['kind'], seconds: number) => void;
  readonly changed?: (call: Change['call']) => void;
  readonly failed?: (kind: StackId['kind']) => void;
};

export type LoadBalancers = AsyncDisposable & {
  /** How many stacks wait for their turn. */
  readonly waiting: number;
};

const SERVICE_FINALIZER = 'service.k8s.aws/resources';
const RECHECK = 600_000;
/** Changes come in bursts, as do Ingresses of a group; in milliseconds. */
const SETTLE = 100;
/** When what is wrong is looked at again: it may be mended in AWS. In milliseconds. */
const LOOK_AGAIN = 60_000;
const BACKOFF = { base: 500, max: 15_000 };
/** The work that is on no stack. */
const BACKEND_GROUP = 'backend';

type Owner = { readonly about: KubeObject; readonly kind: 'Service' | 'Ingress' };

/** Resolves when the cluster's state is known and work has begun; dispose of it to end it. */
export async function startLoadBalancers(options: LoadBalancersOptions): Promise<LoadBalancers> {
  const { client, informers, aws, vpcId, defaults, externalTags, recorder, observe = {} } = options;
  const { clock = systemClock, onError = console.error, recheck = RECHECK, signal } = options;
  await using stack = new AsyncDisposableStack();
  const services = informers.follow<Service>('/api/v1/services');
  const namespaces = informers.follow<Namespace>('/api/v1/namespaces');
  const ingresses = informers.follow<Ingress>('/apis/networking.k8s.io/v1/ingresses');
  const classes = informers.follow<IngressClass>('/apis/networking.k8s.io/v1/ingressclasses');
  const classParams = informers.follow<IngressClassParams>('/apis/elbv2.k8s.aws/v1beta1/ingressclassparams');
  const bindings = followBindings(informers);
  await informers.synced();

  const deployments = new Deployments({
    aws,
    bindings: new Bindings(client),
    vpcId,
    clusterName: defaults.clusterName,
    externalTags,
    clock,
    signal,
    limits: () => account.limits(),
    onChange: (_id, { call }) => observe.changed?.(call),
  });
  const account: AwsAccount = new AwsAccount({
    aws,
    vpcId,
    clock,
    loadBalancerOf: async (id) => deployments.loadBalancerOf(id),
  });
  const world: IngressWorld = {
    ingresses: () => ingresses.list(),
    ingressClass: (name) => classes.get(name),
    ingressClassParams: (name) => classParams.get(name),
    namespace: (name) => namespaces.get(name),
    service: (key) => services.get(key),
    account,
    defaults,
  };
  /** By `namespace/name`, what AWS has refused to Ingresses: without them their groups go on, until they or AWS may be otherwise. */
  const refused = new Map<string, RefusedByAws>();
  /** Stacks that have not had their first turn: what they need of what is shared is not known. */
  const unseen = new Set<string>();
  const queue = new WorkQueue({ clock, concurrency: 8, backoff: BACKOFF, process: work, onError: failed });
  const soon = (id: StackId) => {
    queue.addAfter(stackKey(id), SETTLE);
  };
  const on = (unsubscribe: () => void) => stack.defer(unsubscribe);
  on(services.onChange(onService));
  on(ingresses.onChange(onIngress));
  const allGroups = () => {
    refused.clear();
    for (const ingress of ingresses.list()) onIngress(ingress, ingress, true);
  };
  on(classes.onChange(allGroups));
  on(classParams.onChange(allGroups));
  on(
    namespaces.onChange((old, now) => {
      if (!isDeepStrictEqual(old?.metadata?.labels, now?.metadata?.labels)) allGroups();
    }),
  );
  on(
    bindings.onChange((old, now) => {
      const id = stackIdOfLabels((now ?? old)!.metadata?.labels);
      if (id && old && old.metadata?.generation !== now?.metadata?.generation) soon(id);
    }),
  );
  for (const service of services.list())
    if (concernsService(service)) unseen.add(stackKey(stackIdOfService(service)));
  for (const ingress of ingresses.list()) for (const id of stackIdsOf(ingress)) unseen.add(stackKey(id));
  stack.use(
    await startTargetGroupBindings({
      client,
      ...aws,
      vpcId,
      clusterName: defaults.clusterName,
      account,
      informers,
      clock,
      onError,
      ...(recorder && { recorder }),
    }),
  );
  stack.defer(() => queue.close());
  stack.defer(every(recheck, lookAgain));
  const owned = stack.move();
  return {
    get waiting() {
      return queue.size;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };

  /** Runs at once, and again after each while. @returns what ends it. */
  function every(ms: number, run: () => Promise<void>): () => void {
    let cancel = () => {};
    let isOver = false;
    const next = () => {
      run()
        .catch(onError)
        .finally(() => {
          if (!isOver) cancel = clock.after(ms, next);
        });
    };
    next();
    return () => {
      isOver = true;
      cancel();
    };
  }

  /** Compares everything with AWS, and finds what has lost its owner. */
  async function lookAgain(): Promise<void> {
    refused.clear();
    const ids = await deployments.lookAgain();
    for (const id of ids) soon(id);
    for (const service of services.list()) if (concernsService(service)) soon(stackIdOfService(service));
    for (const ingress of ingresses.list()) for (const id of stackIdsOf(ingress)) soon(id);
    queue.addAfter(BACKEND_GROUP, SETTLE);
  }

  function onService(old: Service | undefined, now: Service | undefined): void {
    const service = (now ?? old)!;
    if (isSame(old, now)) return;
    if ([old, now].some((each) => each && concernsService(each))) soon(stackIdOfService(service));
    // Ingresses that forward to it: it is named in them, in rules or in annotations.
    const { name = '', namespace } = service.metadata ?? {};
    for (const ingress of ingresses.list()) {
      if (ingress.metadata?.namespace !== namespace) continue;
      const text = JSON.stringify([ingress.spec, ingress.metadata?.annotations]);
      if (!text.includes(name)) continue;
      refused.delete(keyOf(ingress));
      for (const id of stackIdsOf(ingress)) soon(id);
    }
  }

  function onIngress(old: Ingress | undefined, now: Ingress | undefined, always = false): void {
    if (!always && isSame(old, now)) return;
    if (!isDeepStrictEqual(asked(old), asked(now))) refused.delete(keyOf((now ?? old)!));
    for (const ingress of [old, now]) if (ingress) for (const id of stackIdsOf(ingress)) soon(id);
  }

  /** The stacks that an Ingress is part of, or was. */
  function stackIdsOf(ingress: Ingress): IngressStackId[] {
    const former = formerStackIds(ingress);
    try {
      const id = stackIdOfIngress(ingress, world);
      return id ? [...former, id] : former;
    } catch (error) {
      if (!(error instanceof InvalidObject)) throw error;
      // Where it is told.
      const { namespace = '', name = '' } = ingress.metadata ?? {};
      return [...former, { kind: 'ingress', namespace, name }];
    }
  }

  async function work(key: string): Promise<void> {
    if (key === BACKEND_GROUP) return deleteBackendGroup();
    const id = stackOfKey(key);
    const begun = clock.now();
    if (id.kind === 'service') await reconcileService(id);
    else await reconcileGroup(id);
    unseen.delete(key);
    if (deployments.backend.isUnused) queue.addAfter(BACKEND_GROUP, SETTLE);
    observe.reconciled?.(id.kind, (clock.now() - begun) / 1000);
  }

  async function deleteBackendGroup(): Promise<void> {
    if (unseen.size > 0) queue.addAfter(BACKEND_GROUP, LOOK_AGAIN);
    else await deployments.backend.deleteIfUnused();
  }

  function failed(key: string, error: Error): void {
    unseen.delete(key);
    if (error instanceof NotYet || isConflict(error) || isNotFound(error)) return;
    if (key !== BACKEND_GROUP) observe.failed?.(stackOfKey(key).kind);
    onError(new Error(`load balancer of ${key}: ${error.message}`, { cause: error }));
  }

  async function reconcileService(id: Extract<StackId, { kind: 'service' }>): Promise<void> {
    const service = services.get(stackName(id));
    if (!service) return void (await deployments.deploy(emptyStack(id)));
    if (!concernsService(service)) return;
    const owner: Owner = { about: service, kind: 'Service' };
    const wanted = await build(id, [owner], () => stackOfService(service, { account, defaults }));
    if (!wanted) return;
    if (wanted.loadBalancer) await hold(owner, SERVICE_FINALIZER);
    const existing = await deploy(wanted, [owner]);
    if (!existing) return;
    const now = await tellAddress(owner, loadBalancerOf(existing, wanted.loadBalancer)?.dnsName);
    if (!wanted.loadBalancer) await release(now, SERVICE_FINALIZER);
  }

  async function reconcileGroup(id: IngressStackId): Promise<void> {
    const group = await build(
      id,
      ownersOf(id),
      () => stackOfGroup(id, world, refused),
      ({ problems }) => problems.some(isWritten),
    );
    if (!group) return;
    const { members, leaving, problems } = group;
    for (const problem of problems) {
      const reason = isWritten(problem) ? 'FailedBuildModel' : 'FailedDeployModel';
      tell({ about: problem.ingress, kind: 'Ingress' }, reason, problem.error);
    }
    if (problems.some(isWritten)) queue.addAfter(stackKey(id), LOOK_AGAIN);
    const left = leaving.map((about): Owner => ({ about, kind: 'Ingress' }));
    if (!group.stack) {
      await deployments.backend.hold(stackKey(id));
      // What there is stays for those that are to be mended: nobody else has to wait for them.
      return letGo(left, id);
    }
    // Others' Ingresses may have load balancers under the same tags, made by another controller.
    if (members.length + leaving.length === 0 && ownersOf(id).length > 0) return;
    const owners = members.map((about): Owner => ({ about, kind: 'Ingress' }));
    await Promise.all(owners.map((owner) => hold(owner, finalizerOf(id))));
    const existing = await deploy(group.stack, [...owners, ...left], (change, error) => {
      if (members.length === 1 || !(error instanceof AwsError) || !error.isRefusal) return false;
      const ingress = group.blame?.(change, error);
      if (ingress) refused.set(keyOf(ingress), new RefusedByAws(nameOf(ingress), change, error));
      return ingress !== undefined;
    });
    if (!existing) return;
    const hostname = loadBalancerOf(existing, group.stack.loadBalancer)?.dnsName;
    await Promise.all(owners.map((owner) => tellAddress(owner, hostname)));
    await letGo(left, id);
  }

  /** Those that leave a stack lose its address, unless another stack gives them one, and what keeps them from going. */
  async function letGo(leaving: readonly Owner[], id: IngressStackId): Promise<void> {
    await Promise.all(
      leaving.map(async (owner) => {
        const others = stackIdsOf(owner.about as Ingress).filter(
          (other) => stackName(other) !== stackName(id),
        );
        await release(others.length > 0 ? owner : await tellAddress(owner, undefined), finalizerOf(id));
      }),
    );
  }

  /** Ingresses that name a stack, whosever they are. */
  function ownersOf(id: IngressStackId): Owner[] {
    return ingresses
      .list()
      .filter((ingress) =>
        'group' in id ? groupAnnotation(ingress) === id.group : keyOf(ingress) === stackName(id),
      )
      .map((about) => ({ about, kind: 'Ingress' }));
  }

  /** @returns undefined when something must be mended first, which is told. */
  async function build<Result>(
    id: StackId,
    owners: readonly Owner[],
    make: () => Promise<Result>,
    isWrong: (result: Result) => boolean = () => false,
  ): Promise<Result | undefined> {
    try {
      return await byAccountOfNow(make, isWrong);
    } catch (error) {
      for (const owner of owners) tell(owner, 'FailedBuildModel', error as Error);
      // What it has stays, and so does what it shares.
      await deployments.backend.hold(stackKey(id));
      if (!(error instanceof InvalidObject)) throw error;
      queue.addAfter(stackKey(id), LOOK_AGAIN);
      return undefined;
    }
  }

  /** What is wrong by what is remembered of the account may be right since: it is made anew by what there is now. */
  async function byAccountOfNow<Result>(
    make: () => Promise<Result>,
    isWrong: (result: Result) => boolean,
  ): Promise<Result> {
    const begun = clock.now();
    try {
      const result = await make();
      if (!isWrong(result) || !account.forget(begun)) return result;
    } catch (error) {
      if (!(error instanceof InvalidObject) || !account.forget(begun)) throw error;
    }
    return make();
  }

  /**
   * @param leaveOut is told of what AWS did not do: whether the stack is to go on without whoever asked for it.
   * @returns undefined when something must be mended first, which is told, or when another stack is wanted since.
   */
  async function deploy(
    wanted: Stack,
    owners: readonly Owner[],
    leaveOut: (change: Change, error: Error) => boolean = () => false,
  ): Promise<Existing | undefined> {
    let changes = 0;
    let isOther = false;
    const isSettled = (change: Change, error: Error) => {
      const isLeftOut = leaveOut(change, error);
      isOther ||= isLeftOut;
      return isLeftOut;
    };
    try {
      const existing = await deployments.deploy(wanted, () => changes++, isSettled);
      if (changes > 0)
        for (const owner of owners)
          event(owner, 'Normal', 'SuccessfullyReconciled', 'Successfully reconciled');
      return existing;
    } catch (error) {
      if (error instanceof NotYet) throw error;
      if (isOther) {
        queue.add(stackKey(wanted.id));
        return undefined;
      }
      for (const owner of owners) tell(owner, 'FailedDeployModel', error as Error);
      if (!(error instanceof InvalidObject)) throw error;
      // What is in the way is in AWS.
      deployments.forget(wanted.id);
      queue.addAfter(stackKey(wanted.id), LOOK_AGAIN);
      return undefined;
    }
  }

  function tell(owner: Owner, reason: string, error: Error): void {
    event(owner, 'Warning', reason, error.message);
  }

  function event({ about, kind }: Owner, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const apiVersion = kind === 'Service' ? 'v1' : 'networking.k8s.io/v1';
    // Who does not lead any more has nothing to tell.
    if (!signal?.aborted) recorder?.event({ ...about, apiVersion, kind }, type, reason, message);
  }

  async function hold(owner: Owner, finalizer: string): Promise<void> {
    const { finalizers = [] } = owner.about.metadata ?? {};
    if (!finalizers.includes(finalizer)) await setFinalizers(owner, [...finalizers, finalizer]);
  }

  async function release(owner: Owner, finalizer: string): Promise<void> {
    const { finalizers = [] } = owner.about.metadata ?? {};
    if (!finalizers.includes(finalizer)) return;
    await setFinalizers(
      owner,
      finalizers.filter((other) => other !== finalizer),
    );
  }

  /** @throws {ApiError} Conflict when somebody has changed the object since: the watch will tell. */
  async function setFinalizers({ about, kind }: Owner, finalizers: readonly string[]): Promise<void> {
    signal?.throwIfAborted();
    const { resourceVersion } = about.metadata ?? {};
    await client.patch(pathOf(about, kind), { metadata: { resourceVersion, finalizers } });
  }

  /** @returns what it is about as it is then. */
  async function tellAddress(owner: Owner, hostname: string | undefined): Promise<Owner> {
    const { about, kind } = owner;
    const { status } = (kind === 'Service' ? services : ingresses).get(keyOf(about)) ?? {};
    const ingress = hostname ? [{ hostname }] : [];
    const now = (status?.loadBalancer?.ingress ?? []).map((each) => ({ hostname: each.hostname }));
    if (isDeepStrictEqual(now, ingress)) return owner;
    signal?.throwIfAborted();
    const patched = await client.patch<KubeObject>(`${pathOf(about, kind)}/status`, {
      metadata: { uid: about.metadata?.uid },
      status: { loadBalancer: hostname ? { ingress } : { ingress: null } },
    });
    return { about: patched, kind };
  }
}

/** Whether a Service is ours, or was. */
function concernsService(service: Service): boolean {
  const isHeld = service.metadata?.finalizers?.includes(SERVICE_FINALIZER) === true;
  return isHeld || (ownsService(service) && !service.metadata?.deletionTimestamp);
}

/** Whether it is the object that says something wrongly, as far as can be told without asking AWS to do it. */
const isWritten = ({ error }: Problem): boolean => error instanceof InvalidObject;

/** What an Ingress asks for: without what this controller and others put down in it. */
const asked = (ingress: Ingress | undefined) =>
  ingress && [ingress.metadata?.uid, ingress.metadata?.annotations, ingress.spec];

/** Whether nothing has changed that a load balancer is worked out from. */
function isSame(old: Service | Ingress | undefined, now: Service | Ingress | undefined): boolean {
  const facts = (object: Service | Ingress | undefined) =>
    object && [
      object.metadata?.uid,
      object.metadata?.annotations,
      object.metadata?.deletionTimestamp,
      object.metadata?.finalizers,
      object.spec,
    ];
  return isDeepStrictEqual(facts(old), facts(now));
}

function pathOf({ metadata }: KubeObject, kind: Owner['kind']): string {
  const root = kind === 'Service' ? '/api/v1' : '/apis/networking.k8s.io/v1';
  return `${root}/namespaces/${metadata?.namespace}/${kind === 'Service' ? 'services' : 'ingresses'}/${metadata?.name}`;
}
