import type { Fields, KubeObject } from '../../object.ts';
import { parseQuantity } from '../../schema/quantity.ts';
import { forbidden } from '../../status.ts';
import { generateName } from '../metadata.ts';
import { BUILT_IN } from '../resources.ts';
import type { Cluster, Strategy } from '../strategy.ts';

const PODS = BUILT_IN.find(({ storage }) => storage === 'pods')!;
const TOKEN_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
const TOKEN_VOLUME = 'kube-api-access-';
const DEFAULT_GRACE = 30;

/** How long a pod that tolerates nothing stays on a node that has gone (admission DefaultTolerationSeconds). */
const NODE_TROUBLE = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'];
const TOLERATION_SECONDS = 300;

type Container = Fields & {
  name: string;
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> };
  volumeMounts?: Fields[];
};

export const pods: Strategy = {
  admit(pod, cluster) {
    const spec = pod.spec ?? {};
    pod.spec = spec;
    admitServiceAccount(pod, spec, cluster);
    admitPriority(pod, spec, cluster);
    tolerateTrouble(spec);
  },

  create(pod) {
    pod.status = { phase: 'Pending', qosClass: qosClass(pod.spec ?? {}) };
  },

  updateStatus(pod, old) {
    pod.status = { ...pod.status, qosClass: old.status?.qosClass };
  },

  grace(pod, wanted) {
    const ended = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
    if (ended || !pod.spec?.nodeName) return 0;
    return wanted ?? Number(pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE);
  },
};

/** Says which node a pod runs on, as a scheduler decides it. */
export function bind(pod: KubeObject, nodeName: string, time: string): void {
  pod.spec = { ...pod.spec, nodeName };
  const conditions = ((pod.status?.conditions ?? []) as Fields[]).filter(
    ({ type }) => type !== 'PodScheduled',
  );
  const scheduled = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: time };
  pod.status = { ...pod.status, conditions: [...conditions, scheduled] };
}

function containers(spec: Fields): Container[] {
  return [spec.initContainers, spec.containers].flatMap((list) => (list ?? []) as Container[]);
}

/** Gives every container its service account's token (admission ServiceAccount). */
function admitServiceAccount(pod: KubeObject, spec: Fields, { store }: Cluster): void {
  const { namespace = '', name = '' } = pod.metadata;
  const account = String(spec.serviceAccountName || spec.serviceAccount || 'default');
  spec.serviceAccountName = account;
  spec.serviceAccount = account;
  const found = store.get('serviceaccounts', `${namespace}/${account}`);
  if (!found) {
    const why = `error looking up service account ${namespace}/${account}: serviceaccount "${account}" not found`;
    throw forbidden(PODS, name, why);
  }
  if ((spec.automountServiceAccountToken ?? found.automountServiceAccountToken) === false) return;
  const volumes = (spec.volumes ?? []) as Fields[];
  const mounted = (container: Container) =>
    container.volumeMounts?.some(({ mountPath }) => mountPath === TOKEN_PATH) ?? false;
  const wanting = containers(spec).filter((container) => !mounted(container));
  if (wanting.length === 0) return;
  const known = volumes.find(({ name: of }) => String(of).startsWith(TOKEN_VOLUME))?.name;
  const volume = String(known ?? generateName(TOKEN_VOLUME));
  if (!known) spec.volumes = [...volumes, tokenVolume(volume)];
  for (const container of wanting) {
    const mount = { name: volume, readOnly: true, mountPath: TOKEN_PATH };
    container.volumeMounts = [...(container.volumeMounts ?? []), mount];
  }
}

function tokenVolume(name: string): Fields {
  const namespace = { path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } };
  return {
    name,
    projected: {
      defaultMode: 420,
      sources: [
        // An hour and a few seconds: what asked for an hour and is late does not find it expired.
        { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        { downwardAPI: { items: [namespace] } },
      ],
    },
  };
}

function admitPriority(pod: KubeObject, spec: Fields, { store }: Cluster): void {
  const named = spec.priorityClassName as string | undefined;
  const classes = [...store.all('priorityclasses.scheduling.k8s.io')];
  const found = classes.find(({ metadata, globalDefault }) =>
    named ? metadata.name === named : globalDefault,
  );
  if (named && !found)
    throw forbidden(PODS, pod.metadata.name ?? '', `no PriorityClass with name ${named} was found`);
  if (found) spec.priorityClassName = found.metadata.name;
  spec.priority = found?.value ?? 0;
  spec.preemptionPolicy = found?.preemptionPolicy ?? 'PreemptLowerPriority';
}

function tolerateTrouble(spec: Fields): void {
  const tolerations = (spec.tolerations ?? []) as Fields[];
  const tolerates = (key: string) =>
    tolerations.some(
      (toleration) =>
        (!toleration.key || toleration.key === key) &&
        (!toleration.effect || toleration.effect === 'NoExecute'),
    );
  const added = NODE_TROUBLE.filter((key) => !tolerates(key)).map((key) => ({
    key,
    operator: 'Exists',
    effect: 'NoExecute',
    tolerationSeconds: TOLERATION_SECONDS,
  }));
  if (added.length > 0) spec.tolerations = [...tolerations, ...added];
}

/** Guaranteed: all limits of CPU and memory, equal to the requests; Burstable: some; BestEffort: none. */
function qosClass(spec: Fields): string {
  const all = containers(spec).map(({ resources }) => resources ?? {});
  const amounts = (list: Record<string, string> | undefined) =>
    new Map(
      ['cpu', 'memory'].flatMap((name) => {
        const amount = list?.[name] === undefined ? 0 : parseQuantity(String(list[name]));
        return amount > 0 ? [[name, amount]] : [];
      }),
    );
  const each = all.map(({ requests, limits }) => ({ requests: amounts(requests), limits: amounts(limits) }));
  if (each.every(({ requests, limits }) => requests.size + limits.size === 0)) return 'BestEffort';
  const guaranteed = each.every(
    ({ requests, limits }) =>
      limits.size === 2 && [...limits].every(([name, limit]) => (requests.get(name) ?? limit) === limit),
  );
  return guaranteed ? 'Guaranteed' : 'Burstable';
}
