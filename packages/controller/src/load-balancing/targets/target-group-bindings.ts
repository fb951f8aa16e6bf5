/** The controller of TargetGroupBindings: keeps target groups at the pods or nodes of a Service. */
import type { EC2Client } from '@aws-sdk/client-ec2';
import type { ElasticLoadBalancingV2Client } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Ipv4Cidr } from '@enid/ip';
import {
  type Clock,
  type EndpointSlice,
  type EventRecorder,
  type Informer,
  type Informers,
  isConflict,
  isNotFound,
  type KubeClient,
  keyOf,
  type Node,
  type Pod,
  type Service,
  systemClock,
  WorkQueue,
} from '@enid/kube';
import type { AccountSecurityGroup } from '../model/account.ts';
import type { SecurityGroupRule } from '../model/stack.ts';
import { AmbiguousGroups, groupForRules, InstanceInterfaces } from './interfaces.ts';
import {
  BINDINGS,
  bindingPath,
  FINALIZER,
  GROUP_VERSION,
  type NetworkingPort,
  type TargetGroupBinding,
  type TargetType,
} from './objects.ts';
import { isGated, tellReadiness } from './readiness.ts';
import { TargetAccess } from './target-access.ts';
import { type RegisteredTargets, TargetGroups } from './target-groups.ts';
import {
  instanceOf,
  nodeTargets,
  podTargets,
  servicePort,
  type Target,
  targetKey,
  type WantedTarget,
} from './wanted-targets.ts';

export type TargetGroupBindingOptions = {
  readonly client: KubeClient;
  readonly elb: ElasticLoadBalancingV2Client;
  readonly ec2: EC2Client;
  readonly vpcId: string;
  readonly clusterName: string;
  readonly account: {
    vpcCidrs(): Promise<readonly Ipv4Cidr[]>;
    securityGroups(): Promise<readonly AccountSecurityGroup[]>;
  };
  /** By which the cluster is followed; who made them ends them. */
  readonly informers: Informers;
  /** How often a target group is looked at though nothing has changed in the cluster, in milliseconds. */
  readonly resync?: number;
  readonly recorder?: EventRecorder;
  readonly onError?: (error: Error) => void;
  readonly clock?: Clock;
};

/** How soon the health of targets is asked for again while a pod waits for it, at least and at most, in milliseconds. */
const POLL = [1_000, 15_000] as const;
const RESYNC = 300_000;
/** Changes of a Service come in bursts. */
const SETTLE = 50;

/** All TargetGroupBindings, also by the key of the Service. */
export const followBindings = (informers: Informers): Informer<TargetGroupBinding, 'service'> =>
  informers.follow<TargetGroupBinding, 'service'>(BINDINGS, {
    service: (binding) => [serviceKeyOf(binding)],
  });

/** Resolves when the cluster's state is known and work has begun; dispose of it to end it. */
export async function startTargetGroupBindings(options: TargetGroupBindingOptions): Promise<AsyncDisposable> {
  const { client, informers, elb, ec2, vpcId, clusterName, account, recorder } = options;
  const { clock = systemClock, onError = console.error, resync = RESYNC } = options;
  await using stack = new AsyncDisposableStack();
  const services = informers.follow<Service>('/api/v1/services');
  const pods = informers.follow<Pod>('/api/v1/pods');
  const nodes = informers.follow<Node>('/api/v1/nodes');
  const bindings = followBindings(informers);
  const slices = informers.follow<EndpointSlice, 'service'>('/apis/discovery.k8s.io/v1/endpointslices', {
    service: (slice) => [serviceKeyOfSlice(slice)],
  });
  await informers.synced();

  const groups = new TargetGroups(elb);
  const interfaces = new InstanceInterfaces(ec2, clock);
  /** The bindings whose needs of security groups have been told once. */
  const told = new Set<string>();
  const isComplete = () => bindings.list().every((binding) => told.has(keyOf(binding)));
  const access = new TargetAccess({ ec2, vpcId, clusterName, isComplete });
  const queue = new WorkQueue({
    clock,
    concurrency: 8,
    process: reconcile,
    onError(key, error) {
      if (isConflict(error) || isNotFound(error)) return;
      tell(key, 'Warning', 'FailedReconcile', error.message);
      onError(new Error(`TargetGroupBinding ${key}: ${error.message}`, { cause: error }));
    },
  });
  stack.defer(() => queue.close());
  const soon = (key: string) => queue.addAfter(key, SETTLE);
  const on = (unsubscribe: () => void) => stack.defer(unsubscribe);
  const onServices = (key: string) => {
    for (const binding of bindings.by('service', key)) soon(keyOf(binding));
  };
  on(
    bindings.onChange((old, now) => {
      // What this controller writes itself, status and finalizers, is nothing to look at the target group for.
      if (!old || !now || bindingFacts(old) !== bindingFacts(now)) queue.add(keyOf((now ?? old)!));
    }),
  );
  on(services.onChange((old, now) => onServices(keyOf((now ?? old)!))));
  on(slices.onChange((old, now) => onServices(serviceKeyOfSlice((now ?? old)!))));
  // A pod that waits for its target is in its slice as not ready from the beginning: the slice does not tell of its containers.
  on(
    pods.onChange((old, now) => {
      if (!now || containersReady(old) === containersReady(now)) return;
      for (const { conditionType } of now.spec?.readinessGates ?? []) {
        const [prefix, name] = conditionType.split('/');
        if (prefix === GATE_PREFIX) soon(`${now.metadata?.namespace}/${name}`);
      }
    }),
  );
  on(
    nodes.onChange((old, now) => {
      if (nodeFacts(old) === nodeFacts(now)) return;
      for (const binding of bindings.list()) soon(keyOf(binding));
    }),
  );
  const owned = stack.move();
  return { [Symbol.asyncDispose]: () => owned.disposeAsync() };

  async function reconcile(key: string): Promise<void> {
    const binding = bindings.get(key);
    if (!binding) return needNothing(key);
    const isLeaving = binding.metadata?.deletionTimestamp !== undefined;
    if (isLeaving && !binding.metadata?.finalizers?.includes(FINALIZER)) return;
    const { targetGroupARN, targetGroupName = '', targetType } = binding.spec;
    const group =
      targetGroupARN && targetType
        ? { arn: targetGroupARN, targetType }
        : await groups.find(targetGroupARN ? { arn: targetGroupARN } : { name: targetGroupName });
    const registered = group && (await groups.targets(group.arn));
    if (isLeaving) {
      if (registered)
        await groups.deregister(group.arn, leavingTargets(binding, group.targetType, registered));
      await needNothing(key);
      const finalizers = binding.metadata?.finalizers?.filter((name) => name !== FINALIZER);
      await change(binding, { metadata: { finalizers } });
      return;
    }
    if (group) await refuseUnserved(binding, group.targetType);
    if (!group || !registered) {
      await needNothing(key);
      const which = targetGroupARN ?? targetGroupName;
      throw new Error(`there is no target group ${which}: make it, or delete this TargetGroupBinding`);
    }
    await adopt(binding, group.targetType);
    const wanted = wantedTargets(binding, group.targetType);
    const { needs, undecided, problem } = await neededRules(binding, wanted);
    told.add(key);
    await access.need(key, needs, undecided);
    if (problem) throw problem;
    const isThere = (target: Target) => isServing(registered.get(targetKey(target)));
    const missing = wanted.filter((target) => !isThere(target));
    const names = new Set(wanted.map(targetKey));
    const extra = [...registered.values()].filter(
      (target) => isServing(target) && !names.has(targetKey(target)),
    );
    // First what is new, so that a target group never runs empty between two generations of pods.
    if (missing.length > 0) await groups.register(group.arn, missing, await account.vpcCidrs());
    if (extra.length > 0) await groups.deregister(group.arn, extra);
    const isAwaited = wanted.some((target) => isGatedBy(target, binding));
    const now = missing.length > 0 && isAwaited ? await groups.targets(group.arn) : registered;
    const waiting = await tellPods(binding, wanted, now);
    await observed(binding);
    if (missing.length + extra.length > 0)
      tell(
        key,
        'Normal',
        'SuccessfullyReconciled',
        `registered ${missing.length} targets, deregistered ${extra.length}`,
      );
    queue.addAfter(key, waiting.length > 0 ? pollAfter(waiting, clock.now()) : resync);
  }

  function wantedTargets(binding: TargetGroupBinding, targetType: TargetType): WantedTarget[] {
    const { serviceRef, nodeSelector } = binding.spec;
    const key = serviceKeyOf(binding);
    const service = services.get(key);
    if (!service) return [];
    const port = servicePort(service, serviceRef.port);
    if (!port) {
      const message = `Service ${key} has no port ${serviceRef.port}: name one of its ports in spec.serviceRef.port`;
      tell(keyOf(binding), 'Warning', 'FailedReconcile', message);
      return [];
    }
    return targetType === 'instance'
      ? nodeTargets(port, nodeSelector, nodes.list())
      : podTargets(keyOf(binding).split('/')[1]!, port, slices.by('service', key), (name) => pods.get(name));
  }

  /** @throws {Error} for a binding that means what is not served here: its target group and what it has opened stay as they are. */
  async function refuseUnserved(binding: TargetGroupBinding, targetType: TargetType): Promise<void> {
    const problem = whyUnserved(binding, vpcId);
    if (problem === undefined) return;
    const guarded = await guardsOf(wantedTargets(binding, targetType));
    const key = keyOf(binding);
    told.add(key);
    await access.need(key, new Map(), new Set(guarded.flatMap(({ guarding }) => guarding)));
    throw new Error(problem);
  }

  /** Those of a binding that goes: where other clusters have theirs as well, what this one would register. */
  function leavingTargets(
    binding: TargetGroupBinding,
    targetType: TargetType,
    registered: RegisteredTargets,
  ): Target[] {
    const serving = [...registered.values()].filter(isServing);
    if (!binding.spec.multiClusterTargetGroup) return serving;
    const own = new Set(wantedTargets(binding, targetType).map(targetKey));
    return serving.filter((target) => own.has(targetKey(target)));
  }

  /** The security groups of the interfaces that have the targets. */
  async function guardsOf(wanted: readonly WantedTarget[]) {
    const located = wanted.flatMap((target) => {
      const node = 'node' in target ? target.node : nodes.get(target.pod?.spec?.nodeName ?? '');
      const instance = node && instanceOf(node);
      if (!instance) return [];
      return [{ target, instance, ...('pod' in target && { address: target.id }) }];
    });
    const guards = await interfaces.groupsOf(located);
    return located.flatMap(({ target, instance, address }) => {
      const guarding = guards.get(address ?? instance);
      return guarding ? [{ target, guarding }] : [];
    });
  }

  /** What the security groups of the targets must let in, and which of them cannot be told that of. */
  async function neededRules({ spec }: TargetGroupBinding, wanted: readonly WantedTarget[]) {
    const needs = new Map<string, SecurityGroupRule[]>();
    const undecided = new Set<string>();
    let problem: AmbiguousGroups | undefined;
    const { ingress = [] } = spec.networking ?? {};
    if (ingress.length === 0) return { needs, undecided, problem };
    const guarded = await guardsOf(wanted);
    const all = await account.securityGroups();
    for (const { target, guarding } of guarded) {
      let group: string;
      try {
        group = groupForRules(guarding, all, clusterName);
      } catch (error) {
        if (!(error instanceof AmbiguousGroups)) throw error;
        problem = error;
        for (const each of guarding) undecided.add(each);
        continue;
      }
      const rules = needs.get(group) ?? [];
      needs.set(group, rules);
      for (const { from, ports } of ingress)
        for (const { securityGroup, ipBlock } of from)
          for (const port of ports)
            rules.push({
              protocol: port.protocol === 'UDP' ? 'udp' : 'tcp',
              ports: portRange(port, target),
              from: securityGroup ? { groupId: securityGroup.groupID } : { cidr: ipBlock!.cidr },
            });
    }
    return { needs, undecided, problem };
  }

  /** Tells pods how their targets are. @returns those that have to wait. */
  async function tellPods(
    binding: TargetGroupBinding,
    wanted: readonly WantedTarget[],
    registered: RegisteredTargets | undefined,
  ): Promise<Pod[]> {
    const name = binding.metadata!.name!;
    const waiting = wanted.map(async (target) => {
      if (!isGatedBy(target, binding)) return [];
      const health = registered?.get(targetKey(target))?.health;
      return (await tellReadiness(client, target.pod, name, health, clock.now())) ? [] : [target.pod];
    });
    return (await Promise.all(waiting)).flat();
  }

  async function needNothing(key: string): Promise<void> {
    if (bindings.get(key)) told.add(key);
    else told.delete(key);
    await access.need(key, new Map());
  }

  /** Keeps a binding until it has no targets, and says of what type they are: the pods' webhook goes by that. */
  async function adopt(binding: TargetGroupBinding, targetType: TargetType): Promise<void> {
    const { finalizers = [] } = binding.metadata ?? {};
    if (finalizers.includes(FINALIZER) && binding.spec.targetType) return;
    const kept = finalizers.includes(FINALIZER) ? finalizers : [...finalizers, FINALIZER];
    await change(binding, { metadata: { finalizers: kept }, spec: { targetType } });
  }

  /** Changes a binding that nobody has changed since. */
  async function change(
    { metadata }: TargetGroupBinding,
    patch: { metadata: object; spec?: object },
  ): Promise<void> {
    const { namespace, name, resourceVersion } = metadata!;
    await client.patch(bindingPath(namespace!, name), {
      ...patch,
      metadata: { ...patch.metadata, resourceVersion },
    });
  }

  async function observed({ metadata, status }: TargetGroupBinding): Promise<void> {
    const observedGeneration = metadata?.generation;
    if (status?.observedGeneration === observedGeneration) return;
    await client.patch(`${bindingPath(metadata!.namespace!, metadata!.name)}/status`, {
      status: { observedGeneration },
    });
  }

  function tell(key: string, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const binding = bindings.get(key);
    const about = { ...binding, apiVersion: GROUP_VERSION, kind: 'TargetGroupBinding' };
    if (binding) recorder?.event(about, type, reason, message);
  }
}

/** What of a binding is not served, and the way out; undefined when all is. */
function whyUnserved({ spec }: TargetGroupBinding, vpcId: string): string | undefined {
  if (spec.multiClusterTargetGroup)
    return 'spec.multiClusterTargetGroup is true, which is not served: its targets are left alone; give this cluster a target group of its own, and have a listener forward to both';
  if (spec.vpcID !== undefined && spec.vpcID !== vpcId)
    return `spec.vpcID is ${spec.vpcID}: it may be the cluster's VPC, ${vpcId}`;
  if (spec.ipAddressType === 'ipv6') return 'spec.ipAddressType is ipv6: it may be ipv4; IPv6 is not served';
  return undefined;
}

const GATE_PREFIX = 'target-health.elbv2.k8s.aws';

const serviceKeyOf = ({ metadata, spec }: TargetGroupBinding) =>
  `${metadata?.namespace}/${spec.serviceRef.name}`;

const serviceKeyOfSlice = ({ metadata }: EndpointSlice) =>
  `${metadata?.namespace}/${metadata?.labels?.['kubernetes.io/service-name']}`;

/** Whether a target is registered and does not drain. */
const isServing = (target: { readonly health: { readonly State?: string | undefined } } | undefined) =>
  target !== undefined && target.health.State !== 'draining';

const containersReady = (pod: Pod | undefined) =>
  pod?.status?.conditions?.find(({ type }) => type === 'ContainersReady')?.status;

/** Often while a pod is young, seldom for one that has waited for long. */
function pollAfter(waiting: readonly Pod[], now: number): number {
  const ages = waiting.map(({ metadata }) => now - Date.parse(metadata?.creationTimestamp ?? ''));
  return Math.min(Math.max(Math.min(...ages) / 10, POLL[0]), POLL[1]);
}

/** What of a binding decides what is to be done. */
const bindingFacts = ({ metadata, spec }: TargetGroupBinding): string =>
  JSON.stringify([metadata?.uid, metadata?.deletionTimestamp, spec]);

/** Whether a target is a pod that waits for this binding. */
const isGatedBy = (
  target: WantedTarget,
  { metadata }: TargetGroupBinding,
): target is Target & { readonly pod: Pod } =>
  'pod' in target && target.pod !== undefined && isGated(target.pod, metadata!.name!);

/** What of a node decides whether it is a target. */
function nodeFacts(node: Node | undefined): string | undefined {
  if (!node) return undefined;
  const { metadata, spec, status } = node;
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  const taints = spec?.taints?.map(({ key }) => key);
  return JSON.stringify([metadata?.labels, metadata?.deletionTimestamp, spec?.providerID, taints, ready]);
}

/** The ports that a rule is for, at a target. */
function portRange({ port }: NetworkingPort, target: WantedTarget): readonly [number, number] {
  if (typeof port === 'number') return [port, port];
  if (port === undefined) return [0, 65535];
  const containers = ('pod' in target && target.pod?.spec?.containers) || [];
  const named = containers
    .flatMap(({ ports = [] }) => ports)
    .find(({ name }) => name === port)?.containerPort;
  // The port that the name stands for is the target's, unless the health check has another.
  const number = named ?? target.port;
  return [number, number];
}
