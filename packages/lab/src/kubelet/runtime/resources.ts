/** Requests and limits as cgroups (v1) count them: pkg/kubelet/cm/helpers_linux.go, pkg/kubelet/qos/policy.go. */
import { type Pod, thousandths } from '@enid/kube';
import type { LinuxContainerResources } from '../cri/types.ts';
import { type Container, containersOf } from '../pod.ts';

const PERIOD = 100_000;
const LEAST_QUOTA = 1_000;
const LEAST_SHARES = 2;
const MOST_SHARES = 262_144;

/** @param nodeMemory in bytes: a container that asks for most of it is the last to be killed. */
export function resourcesOf(pod: Pod, container: Container, nodeMemory: number): LinuxContainerResources {
  const { limits = {}, requests = {} } = container.resources ?? {};
  // What is not requested but limited is requested as much.
  const cpu = requests.cpu ?? limits.cpu;
  const memory = bytes(requests.memory ?? limits.memory);
  const limit = limits.cpu && thousandths(limits.cpu);
  return {
    cpuShares: cpu ? cpuShares(thousandths(cpu)) : LEAST_SHARES,
    ...(limit && { cpuPeriod: PERIOD, cpuQuota: Math.max((limit * PERIOD) / 1000, LEAST_QUOTA) }),
    ...(limits.memory && { memoryLimitInBytes: bytes(limits.memory) }),
    oomScoreAdj: oomScore(pod, memory, nodeMemory),
  };
}

export function cpuShares(milliCpu: number): number {
  return Math.min(Math.max(Math.floor((milliCpu * 1024) / 1000), LEAST_SHARES), MOST_SHARES);
}

function oomScore(pod: Pod, memoryRequest: number, nodeMemory: number): number {
  switch (pod.status?.qosClass ?? qosClassOf(pod)) {
    case 'Guaranteed':
      return -997;
    case 'BestEffort':
      return 1000;
    default:
      return Math.min(Math.max(1000 - Math.floor((1000 * memoryRequest) / nodeMemory), 3), 999);
  }
}

/** For pods whose status does not say it. */
function qosClassOf(pod: Pod): 'Guaranteed' | 'BestEffort' | 'Burstable' {
  const all = containersOf(pod)
    .filter(({ kind }) => kind !== 'ephemeral')
    .map(({ spec }) => spec.resources ?? {});
  if (
    all.every(
      ({ limits, requests }) => !limits?.cpu && !limits?.memory && !requests?.cpu && !requests?.memory,
    )
  )
    return 'BestEffort';
  const guaranteed = all.every(({ limits = {}, requests = {} }) =>
    (['cpu', 'memory'] as const).every(
      (name) => limits[name] && thousandths(requests[name] ?? limits[name]) === thousandths(limits[name]),
    ),
  );
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

export function bytes(quantity: string | undefined): number {
  return quantity === undefined ? 0 : Math.ceil(thousandths(quantity) / 1000);
}
