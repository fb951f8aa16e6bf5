/**
 * The agent's configuration: Amazon's environment variables, read once at the start.
 *
 * Names, defaults and spellings are those of the Amazon VPC CNI. Where Amazon ignores a value that it cannot read
 * and goes on with the default, the agent stops: a misspelt target is found at the roll-out, not weeks later.
 */
import type { Ipv4Cidr } from '@enid/ip';
import { type PoolSettings, poolSettingsOf, SettingError } from '@enid/ipam';
import { type BindAddress, backendSocket, controlSocket, policySocket } from './socket-paths.ts';
import { mustBe, type Values, variables } from './variables.ts';

/** A variable has a value that is not allowed, or asks for what this release does not do. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** How source ports are chosen when a pod's address is translated. */
export type RandomizeSnat = 'prng' | 'hashrandom' | 'none';

/** Every setting of the agent. Durations are in milliseconds. */
export type Config = {
  /** Kubernetes node name, when known. */
  readonly nodeName?: string;
  /** Cluster name, for tags and for the choice of subnets. */
  readonly clusterName?: string;
  readonly pool: PoolSettings & {
    /** Where allocations are kept. */
    readonly checkpointPath: string;
    /** False: ENIs and addresses are somebody else's to provide; the agent uses what it finds. */
    readonly provisioning: boolean;
    /** True: EC2 is never called. */
    readonly imdsOnly: boolean;
    readonly subnetDiscovery: boolean;
    readonly leakedEniCleanup: boolean;
    readonly manageUntaggedEni: boolean;
    /** True: ENIs are attached and freed on a node that is cordoned as well. */
    readonly manageNonSchedulable: boolean;
    readonly additionalEniTags: Readonly<Record<string, string>>;
  };
  /** The node's annotation and, after it, the label that name its ENIConfig. */
  readonly eniConfig: { readonly annotation: string; readonly label: string };
  /** True: pods are annotated with their addresses. */
  readonly annotatePodIp: boolean;
  readonly network: {
    readonly eniMtu: number;
    readonly podMtu: number;
    readonly vethPrefix: string;
    /** True: a NAT outside the node translates, the node does not. */
    readonly externalSnat: boolean;
    readonly randomizeSnat: RandomizeSnat;
    readonly excludeSnatCidrs: readonly Ipv4Cidr[];
    readonly externalServiceCidrs: readonly Ipv4Cidr[];
    readonly nodePortSupport: boolean;
  };
  readonly policy: {
    /** True: network policies are enforced. */
    readonly enabled: boolean;
    /** `strict`: a pod that no policy selects is closed. */
    readonly mode: 'standard' | 'strict';
    /**
     * Told to Amazon's plugin executable, which then calls Amazon's network policy agent for each pod and fails without it:
     * empty unless a mode is set and policies are not ours.
     */
    readonly amazonsMode: 'standard' | 'strict' | '';
    /** Which verdicts are logged, and where. */
    readonly log: 'none' | 'denied' | 'all';
    readonly logFile: string;
    /** Where programs and maps are pinned. */
    readonly directory: string;
  };
  readonly cni: { readonly binDir: string; readonly confDir: string };
  /** Paths of unix sockets: those that the agent serves, and the container runtime's. */
  readonly sockets: {
    readonly cni: string;
    readonly control: string;
    readonly ipamd: string;
    readonly npa: string;
    readonly containerRuntime: string;
  };
  /** Absent: not served. */
  readonly introspection?: BindAddress;
  readonly metrics: boolean;
  readonly log: { readonly level: LogLevel; readonly file: string };
};

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';

/**
 * Reads the environment. A variable that is set to the empty text counts as not set, as charts leave it.
 * @throws {ConfigError} with one sentence for each variable that cannot be used: its name, its value, what is
 *   allowed.
 */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value?.trim()));
  const result = variables.safeParse(set);
  if (!result.success) {
    const sentences = result.error.issues.map(({ path: [name], message }) =>
      mustBe(String(name), set[String(name)], message),
    );
    throw new ConfigError(sentences.join('\n'));
  }
  const value = result.data;
  if (value.AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG && !value.MY_NODE_NAME) {
    throw new ConfigError('MY_NODE_NAME is not set but must be, with AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG.');
  }
  return {
    ...(value.MY_NODE_NAME && { nodeName: value.MY_NODE_NAME }),
    ...(value.CLUSTER_NAME && { clusterName: value.CLUSTER_NAME }),
    pool: {
      ...readPool(value, (name) => set[name] !== undefined),
      checkpointPath: value.AWS_VPC_K8S_CNI_BACKING_STORE,
      provisioning: !value.DISABLE_NETWORK_RESOURCE_PROVISIONING && !value.ENABLE_IMDS_ONLY_MODE,
      imdsOnly: value.ENABLE_IMDS_ONLY_MODE,
      subnetDiscovery: value.ENABLE_SUBNET_DISCOVERY,
      leakedEniCleanup: !value.DISABLE_LEAKED_ENI_CLEANUP,
      manageUntaggedEni: value.MANAGE_UNTAGGED_ENI,
      manageNonSchedulable: value.AWS_MANAGE_ENIS_NON_SCHEDULABLE,
      additionalEniTags: value.ADDITIONAL_ENI_TAGS,
    },
    eniConfig: { annotation: value.ENI_CONFIG_ANNOTATION_DEF, label: value.ENI_CONFIG_LABEL_DEF },
    annotatePodIp: value.ANNOTATE_POD_IP,
    network: {
      eniMtu: value.AWS_VPC_ENI_MTU,
      podMtu: value.POD_MTU ?? value.AWS_VPC_ENI_MTU,
      vethPrefix: value.AWS_VPC_K8S_CNI_VETHPREFIX,
      externalSnat: value.AWS_VPC_K8S_CNI_EXTERNALSNAT,
      randomizeSnat: value.AWS_VPC_K8S_CNI_RANDOMIZESNAT,
      excludeSnatCidrs: value.AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS,
      externalServiceCidrs: value.AWS_EXTERNAL_SERVICE_CIDRS,
      nodePortSupport: value.AWS_VPC_CNI_NODE_PORT_SUPPORT,
    },
    policy: {
      enabled: value.ENABLE_NETWORK_POLICY,
      mode: value.NETWORK_POLICY_ENFORCING_MODE,
      amazonsMode:
        set.NETWORK_POLICY_ENFORCING_MODE && !value.ENABLE_NETWORK_POLICY
          ? value.NETWORK_POLICY_ENFORCING_MODE
          : '',
      log: value.NETWORK_POLICY_LOG,
      logFile: value.NETWORK_POLICY_LOG_FILE,
      directory: value.NETWORK_POLICY_BPF_DIR,
    },
    cni: { binDir: value.HOST_CNI_BIN_PATH, confDir: value.HOST_CNI_CONFDIR_PATH },
    sockets: {
      cni: value.ENID_CNI_SOCKET,
      control: controlSocket(set, value.ENID_CNI_SOCKET),
      ipamd: backendSocket(set, value.ENID_CNI_SOCKET),
      npa: policySocket(set, value.ENID_CNI_SOCKET),
      containerRuntime: value.CONTAINER_RUNTIME_ENDPOINT,
    },
    ...(!value.DISABLE_INTROSPECTION && { introspection: value.INTROSPECTION_BIND_ADDRESS }),
    metrics: !value.DISABLE_METRICS,
    log: { level: value.AWS_VPC_K8S_CNI_LOGLEVEL, file: value.AWS_VPC_K8S_CNI_LOG_FILE },
  };
}

/** @throws {ConfigError} for values that leave the node without addresses. */
function readPool(value: Values, isSet: (name: string) => boolean): PoolSettings {
  try {
    return poolSettingsOf(value, isSet);
  } catch (error) {
    if (error instanceof SettingError) throw new ConfigError(error.message);
    throw error;
  }
}
