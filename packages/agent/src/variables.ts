/** The agent's environment: every variable that it understands, with Amazon's name, default and spelling. */
import { AddressError, parseIpv4Cidr } from '@enid/ip';
import { flag as FLAG, POOL_VARIABLES, type PoolValues, type Reader, whole } from '@enid/ipam';
import { z } from 'zod';
import { bindAddress, CNI_SOCKET, INTROSPECTION } from './socket-paths.ts';

/** A variable read from text. */
function variable<T>({ allowed, read }: Reader<T>) {
  return z.string().transform((text, context): T => {
    const value = read(text.trim());
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: allowed });
    return z.NEVER;
  });
}

const flag = variable(FLAG);
/** A flag that must be as it is, for a reason. */
const only = (value: boolean, reason: string) =>
  variable({
    allowed: `${value}: ${reason}`,
    read: (text) => (FLAG.read(text) === value ? value : undefined),
  });
const NOT_BUILT = 'this release cannot do it';

const oneOf = <const T extends string>(...values: T[]) =>
  variable({
    allowed: `one of ${values.join(', ')}`,
    read: (text) => values.find((value) => value === text.toLowerCase()),
  });

const cidrs = variable({
  allowed: 'a list of IPv4 CIDR blocks, such as 10.1.0.0/16,10.2.0.0/16',
  read: (text) => {
    try {
      const blocks = text.split(',').map((block) => block.trim());
      return blocks.filter((block) => block !== '').map(parseIpv4Cidr);
    } catch (error) {
      if (error instanceof AddressError) return undefined;
      throw error;
    }
  },
});

const tags = variable({
  allowed: 'a JSON object of texts such as {"team":"web"}, with no key under k8s.amazonaws.com',
  read: (text) => {
    try {
      const parsed = z.record(z.string().max(127), z.string().max(255)).safeParse(JSON.parse(text));
      const reserved = Object.keys(parsed.data ?? {}).some((key) => key.includes('k8s.amazonaws.com'));
      return parsed.success && !reserved ? parsed.data : undefined;
    } catch {
      return undefined;
    }
  },
});

const listening = variable({
  allowed: 'an address with a port, such as 127.0.0.1:61679, or a unix socket, such as unix:/run/enid.sock',
  read: bindAddress,
});

const unixSocket = variable({
  allowed: 'a unix socket, such as unix:///run/containerd/containerd.sock',
  read: (text) => /^(?:unix:(?:\/\/)?)?(\/.+)$/.exec(text)?.[1],
});

const text = z.string();
const mtu = variable(whole(576, 9001));
const vethPrefix = variable({
  allowed: 'one to four letters or digits other than eth, lo and vlan',
  read: (value) =>
    /^[A-Za-z0-9]{1,4}$/.test(value) && !['eth', 'lo', 'vlan'].includes(value) ? value : undefined,
});

const pool = Object.fromEntries(
  Object.entries(POOL_VARIABLES).map(([name, { otherwise, ...reader }]) => [
    name,
    variable(reader as Reader<unknown>).default(otherwise),
  ]),
) as unknown as { [Name in keyof PoolValues]: z.ZodDefault<z.ZodType<PoolValues[Name], string>> };

/** The variables in force. */
const inForce = z.object({
  MY_NODE_NAME: text.optional(),
  CLUSTER_NAME: text.optional(),
  ...pool,
  AWS_VPC_K8S_CNI_BACKING_STORE: text.default('/var/run/aws-node/ipam.json'),
  DISABLE_NETWORK_RESOURCE_PROVISIONING: flag.default(false),
  ENABLE_IMDS_ONLY_MODE: flag.default(false),
  ENABLE_SUBNET_DISCOVERY: flag.default(true),
  DISABLE_LEAKED_ENI_CLEANUP: flag.default(false),
  MANAGE_UNTAGGED_ENI: flag.default(true),
  ADDITIONAL_ENI_TAGS: tags.default({}),
  AWS_MANAGE_ENIS_NON_SCHEDULABLE: flag.default(false),
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
  /** All beside the socket of the CNI executable unless given. */
  ENID_CONTROL_SOCKET: text.optional(),
  ENID_IPAMD_SOCKET: text.optional(),
  ENID_NPA_SOCKET: text.optional(),
  CONTAINER_RUNTIME_ENDPOINT: unixSocket.default('/run/containerd/containerd.sock'),
  HOST_CNI_BIN_PATH: text.default('/opt/cni/bin'),
  HOST_CNI_CONFDIR_PATH: text.default('/etc/cni/net.d'),
  DISABLE_INTROSPECTION: flag.default(false),
  INTROSPECTION_BIND_ADDRESS: listening.default(INTROSPECTION),
  DISABLE_METRICS: flag.default(false),
  AWS_VPC_K8S_CNI_LOGLEVEL: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal').default('debug'),
  AWS_VPC_K8S_CNI_LOG_FILE: text.default('stdout'),
});

/** Modes that change who gets which address: asking for one that is not built must not go unnoticed. */
const modes = z.object({
  ENABLE_IPv4: only(true, 'pods get IPv4 addresses').default(true),
  ENABLE_IPv6: only(false, NOT_BUILT).default(false),
  ENABLE_POD_ENI: only(false, NOT_BUILT).default(false),
  ENABLE_MULTI_NIC: only(false, NOT_BUILT).default(false),
});

/** Variables that are read and checked, but change nothing yet. */
const withoutEffect = z.object({
  POD_SECURITY_GROUP_ENFORCING_MODE: oneOf('strict', 'standard').optional(),
  AWS_VPC_K8S_CNI_CONFIGURE_RPFILTER: flag.optional(),
  AWS_VPC_K8S_PLUGIN_LOG_FILE: text.optional(),
  AWS_VPC_K8S_PLUGIN_LOG_LEVEL: text.optional(),
  DISABLE_TCP_EARLY_DEMUX: flag.optional(),
  ENABLE_BANDWIDTH_PLUGIN: flag.optional(),
});

/** Every variable that the agent understands. */
export const variables = z.object({ ...inForce.shape, ...modes.shape, ...withoutEffect.shape });
export type Values = z.infer<typeof variables>;

/** Whether the variable is understood, but changes nothing in this release. */
export const isWithoutEffect = (name: string): boolean => Object.hasOwn(withoutEffect.shape, name);

/** What is said of a value that is not allowed. */
export const mustBe = (name: string, value: string | undefined, allowed: string): string =>
  `${name} is "${value}" but must be ${allowed}.`;
