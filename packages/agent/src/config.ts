/**
 * The agent's configuration: Amazon's environment variables, read once at the start.
 *
 * Names, defaults and spellings are those of the Amazon VPC CNI. Where Amazon ignores a value that it cannot read
 * and goes on with the default, the agent stops: a misspelt target is found at the roll-out, not weeks later.
 */
import { AddressError, type Ipv4Cidr, parseIpv4Cidr } from '@enid/ip';
import { z } from 'zod';
import { CNI_SOCKET } from './socket-paths.ts';

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
  readonly pool: {
    readonly warmEniTarget: number;
    /** 0 is "not set": either IP target that is set overrides the ENI target. */
    readonly warmIpTarget: number;
    readonly minimumIpTarget: number;
    /** True: ENIs carry delegated prefixes, each of 16 addresses, in place of single addresses. */
    readonly prefixDelegation: boolean;
    /** With prefixes, in place of the ENI target; either IP target that is set overrides it. */
    readonly warmPrefixTarget: number;
    /** Cap on the ENIs of this node, the primary one included; absent: what the instance type allows. */
    readonly maxEni?: number;
    readonly cooldownMs: number;
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
    /** True: pods get addresses in the subnet of an ENIConfig, and none of the primary ENI. */
    readonly customNetworking: boolean;
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
    /** Which verdicts are logged, and where. */
    readonly log: 'none' | 'denied' | 'all';
    readonly logFile: string;
    /** Where programs and maps are pinned. */
    readonly directory: string;
  };
  readonly cni: {
    readonly socketPath: string;
    readonly binDir: string;
    readonly confDir: string;
  };
  /** Absent: not served. */
  readonly introspection?: { readonly host: string; readonly port: number };
  readonly metrics: boolean;
  readonly log: { readonly level: LogLevel; readonly file: string };
  /** Variables that were set and are understood, but change nothing in this release: `NAME=value`. */
  readonly withoutEffect: readonly string[];
};

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';

/** A variable read from text by `read`, which gives undefined for what is not `allowed`. */
function variable<T>(allowed: string, read: (text: string) => T | undefined) {
  return z.string().transform((text, context): T => {
    const value = read(text.trim());
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: allowed });
    return z.NEVER;
  });
}

const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);
const flag = variable('true or false', (text) =>
  TRUE.has(text) ? true : FALSE.has(text) ? false : undefined,
);

const whole = (minimum: number, maximum: number, allowed: string) =>
  variable(allowed, (text) => {
    const value = Number(text);
    return /^-?\d+$/.test(text) && value >= minimum && value <= maximum ? value : undefined;
  });

const oneOf = <const T extends string>(...values: T[]) =>
  variable(`one of ${values.join(', ')}`, (text) => values.find((value) => value === text.toLowerCase()));

const cidrs = variable('a list of IPv4 CIDR blocks, such as 10.1.0.0/16,10.2.0.0/16', (text) => {
  try {
    const blocks = text.split(',').map((block) => block.trim());
    return blocks.filter((block) => block !== '').map(parseIpv4Cidr);
  } catch (error) {
    if (error instanceof AddressError) return undefined;
    throw error;
  }
});

const tags = variable(
  'a JSON object of texts such as {"team":"web"}, with no key under k8s.amazonaws.com',
  (text) => {
    try {
      const parsed = z.record(z.string().max(127), z.string().max(255)).safeParse(JSON.parse(text));
      const reserved = Object.keys(parsed.data ?? {}).some((key) => key.includes('k8s.amazonaws.com'));
      return parsed.success && !reserved ? parsed.data : undefined;
    } catch {
      return undefined;
    }
  },
);

const hostPort = variable('an address with a port, such as 127.0.0.1:61679', (text) => {
  const [, host, port] = /^\[?([^\]/]+?)\]?:(\d{1,5})$/.exec(text) ?? [];
  return host !== undefined && Number(port) <= 65535 ? { host, port: Number(port) } : undefined;
});

const text = z.string();
const count = whole(0, 10_000, 'a whole number from 0 to 10000');
const mtu = whole(576, 9001, 'a whole number from 576 to 9001');
const vethPrefix = variable('one to four letters or digits other than eth, lo and vlan', (value) =>
  /^[A-Za-z0-9]{1,4}$/.test(value) && !['eth', 'lo', 'vlan'].includes(value) ? value : undefined,
);

/** The variables in force, each with Amazon's default. */
const inForce = z.object({
  MY_NODE_NAME: text.optional(),
  CLUSTER_NAME: text.optional(),
  WARM_ENI_TARGET: count.default(1),
  WARM_IP_TARGET: count.default(0),
  MINIMUM_IP_TARGET: count.default(0),
  ENABLE_PREFIX_DELEGATION: flag.default(false),
  WARM_PREFIX_TARGET: count.default(1),
  MAX_ENI: whole(-1, 1000, 'a whole number; below 1 it is the limit of the instance type').default(-1),
  IP_COOLDOWN_PERIOD: whole(0, 86_400, 'a number of seconds from 0 to 86400').default(30),
  AWS_VPC_K8S_CNI_BACKING_STORE: text.default('/var/run/aws-node/ipam.json'),
  DISABLE_NETWORK_RESOURCE_PROVISIONING: flag.default(false),
  ENABLE_IMDS_ONLY_MODE: flag.default(false),
  ENABLE_SUBNET_DISCOVERY: flag.default(true),
  DISABLE_LEAKED_ENI_CLEANUP: flag.default(false),
  MANAGE_UNTAGGED_ENI: flag.default(true),
  ADDITIONAL_ENI_TAGS: tags.default({}),
  AWS_MANAGE_ENIS_NON_SCHEDULABLE: flag.default(false),
  AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG: flag.default(false),
  ENI_CONFIG_ANNOTATION_DEF: text.default('k8s.amazonaws.com/eniConfig'),
  ENI_CONFIG_LABEL_DEF: text.default('k8s.amazonaws.com/eniConfig'),
  ANNOTATE_POD_IP: flag.default(false),
  AWS_VPC_ENI_MTU: mtu.default(9001),
  POD_MTU: mtu.optional(),
  AWS_VPC_K8S_CNI_VETHPREFIX: vethPrefix.default('eni'),
  AWS_VPC_K8S_CNI_EXTERNALSNAT: flag.default(false),
  AWS_VPC_K8S_CNI_RANDOMIZESNAT: oneOf('prng', 'hashrandom', 'none').default('prng'),
  AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS: cidrs.default([]),
  AWS_EXTERNAL_SERVICE_CIDRS: cidrs.default([]),
  AWS_VPC_CNI_NODE_PORT_SUPPORT: flag.default(true),
  ENABLE_NETWORK_POLICY: flag.default(false),
  NETWORK_POLICY_ENFORCING_MODE: oneOf('standard', 'strict').default('standard'),
  NETWORK_POLICY_LOG: oneOf('none', 'denied', 'all').default('denied'),
  NETWORK_POLICY_LOG_FILE: text.default('/var/log/aws-routed-eni/network-policy-agent.log'),
  NETWORK_POLICY_BPF_DIR: text.default('/sys/fs/bpf/enid'),
  ENID_CNI_SOCKET: text.default(CNI_SOCKET),
  /** Both beside the socket of the CNI executable unless given. */
  ENID_CONTROL_SOCKET: text.optional(),
  ENID_IPAMD_SOCKET: text.optional(),
  CONTAINER_RUNTIME_ENDPOINT: text.default('unix:///run/containerd/containerd.sock'),
  HOST_CNI_BIN_PATH: text.default('/opt/cni/bin'),
  HOST_CNI_CONFDIR_PATH: text.default('/etc/cni/net.d'),
  DISABLE_INTROSPECTION: flag.default(false),
  INTROSPECTION_BIND_ADDRESS: hostPort.default({ host: '127.0.0.1', port: 61_679 }),
  DISABLE_METRICS: flag.default(false),
  AWS_VPC_K8S_CNI_LOGLEVEL: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal').default('debug'),
  AWS_VPC_K8S_CNI_LOG_FILE: text.default('stdout'),
});

/** Modes that change who gets which address: asking for one that is not built must not go unnoticed. */
const modes = z.object({
  ENABLE_IPv4: flag.default(true),
  ENABLE_IPv6: flag.default(false),
  ENABLE_POD_ENI: flag.default(false),
});

/** Variables that are read and checked, but change nothing yet. */
const withoutEffect = z.object({
  POD_SECURITY_GROUP_ENFORCING_MODE: oneOf('strict', 'standard').optional(),
  AWS_VPC_K8S_CNI_CONFIGURE_RPFILTER: flag.optional(),
  DISABLE_TCP_EARLY_DEMUX: flag.optional(),
  ENABLE_BANDWIDTH_PLUGIN: flag.optional(),
});

/** Every variable that the agent understands. */
export const variables = z.object({ ...inForce.shape, ...modes.shape, ...withoutEffect.shape });

/** Whether the variable is understood, but changes nothing in this release. */
export const isWithoutEffect = (name: string): boolean => Object.hasOwn(withoutEffect.shape, name);

/** What is said of a value that is not allowed. */
export const mustBe = (name: string, value: string | undefined, allowed: string): string =>
  `${name} is "${value}" but must be ${allowed}.`;

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
  refuseModes(value);
  const ipTarget = value.WARM_IP_TARGET > 0 || value.MINIMUM_IP_TARGET > 0;
  if (value.ENABLE_PREFIX_DELEGATION && !ipTarget) refuseNoPrefixes(set, value);
  if (value.AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG && !value.MY_NODE_NAME) {
    throw new ConfigError('MY_NODE_NAME is not set but must be, with AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG.');
  }
  if (value.AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG && value.MAX_ENI === 1) {
    throw new ConfigError(
      'MAX_ENI is "1" but must be 2 or more with AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG: the primary ENI gives pods no addresses.',
    );
  }
  return {
    ...(value.MY_NODE_NAME && { nodeName: value.MY_NODE_NAME }),
    ...(value.CLUSTER_NAME && { clusterName: value.CLUSTER_NAME }),
    pool: {
      warmEniTarget: value.WARM_ENI_TARGET,
      warmIpTarget: value.WARM_IP_TARGET,
      minimumIpTarget: value.MINIMUM_IP_TARGET,
      prefixDelegation: value.ENABLE_PREFIX_DELEGATION,
      warmPrefixTarget: value.WARM_PREFIX_TARGET,
      ...(value.MAX_ENI >= 1 && { maxEni: value.MAX_ENI }),
      cooldownMs: value.IP_COOLDOWN_PERIOD * 1000,
      checkpointPath: value.AWS_VPC_K8S_CNI_BACKING_STORE,
      provisioning: !value.DISABLE_NETWORK_RESOURCE_PROVISIONING && !value.ENABLE_IMDS_ONLY_MODE,
      imdsOnly: value.ENABLE_IMDS_ONLY_MODE,
      subnetDiscovery: value.ENABLE_SUBNET_DISCOVERY,
      leakedEniCleanup: !value.DISABLE_LEAKED_ENI_CLEANUP,
      manageUntaggedEni: value.MANAGE_UNTAGGED_ENI,
      manageNonSchedulable: value.AWS_MANAGE_ENIS_NON_SCHEDULABLE,
      customNetworking: value.AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG,
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
      log: value.NETWORK_POLICY_LOG,
      logFile: value.NETWORK_POLICY_LOG_FILE,
      directory: value.NETWORK_POLICY_BPF_DIR,
    },
    cni: {
      socketPath: value.ENID_CNI_SOCKET,
      binDir: value.HOST_CNI_BIN_PATH,
      confDir: value.HOST_CNI_CONFDIR_PATH,
    },
    ...(!value.DISABLE_INTROSPECTION && { introspection: value.INTROSPECTION_BIND_ADDRESS }),
    metrics: !value.DISABLE_METRICS,
    log: { level: value.AWS_VPC_K8S_CNI_LOGLEVEL, file: value.AWS_VPC_K8S_CNI_LOG_FILE },
    withoutEffect: [
      ...Object.keys(withoutEffect.shape).filter((name) => set[name] !== undefined),
      ...overridden(set, value.ENABLE_PREFIX_DELEGATION, ipTarget),
    ].map((name) => `${name}=${set[name]}`),
  };
}

/** A pool of prefixes without any target: Amazon does not support it either. */
function refuseNoPrefixes(
  set: NodeJS.ProcessEnv,
  { WARM_PREFIX_TARGET }: { readonly WARM_PREFIX_TARGET: number },
): void {
  const wayOut = 'with ENABLE_PREFIX_DELEGATION, unless WARM_IP_TARGET or MINIMUM_IP_TARGET is 1 or more.';
  if (WARM_PREFIX_TARGET === 0)
    throw new ConfigError(`WARM_PREFIX_TARGET is "0" but must be 1 or more ${wayOut}`);
  const zeros = ['WARM_IP_TARGET', 'MINIMUM_IP_TARGET'].every((name) => set[name] !== undefined);
  if (zeros && set.WARM_PREFIX_TARGET === undefined) {
    throw new ConfigError(
      'WARM_IP_TARGET and MINIMUM_IP_TARGET are "0" but one must be 1 or more with ENABLE_PREFIX_DELEGATION, ' +
        'unless WARM_PREFIX_TARGET is set.',
    );
  }
}

/** Targets that are set and that another target, or the kind of the pool, overrides. */
function overridden(set: NodeJS.ProcessEnv, prefixes: boolean, ipTarget: boolean): string[] {
  const names = [
    ...(prefixes || ipTarget ? ['WARM_ENI_TARGET'] : []),
    ...(!prefixes || ipTarget ? ['WARM_PREFIX_TARGET'] : []),
  ];
  return names.filter((name) => set[name] !== undefined);
}

function refuseModes(value: z.infer<typeof modes>): void {
  const refused = (['ENABLE_IPv6', 'ENABLE_POD_ENI'] as const).filter((name) => value[name]);
  const sentences = refused.map(
    (name) => `${name} is "true", which this release cannot do: it must be false.`,
  );
  if (!value.ENABLE_IPv4) sentences.push('ENABLE_IPv4 is "false" but must be true: pods get IPv4 addresses.');
  if (sentences.length > 0) throw new ConfigError(sentences.join('\n'));
}
