/** The configuration as people ask for it: every variable, its value, and where that came from. */
import { ConfigError, readConfig } from './config.ts';
import { backendSocket, controlSocket, policySocket, type SocketPath } from './socket-paths.ts';
import { isWithoutEffect, mustBe, variables } from './variables.ts';

/** A variable as the agent takes it. */
export type Setting = {
  readonly name: string;
  /** As it would be set; empty for what is neither set nor has a default. */
  readonly value: string;
  /** `ignored` is what another setting leaves without effect, `implied` what another setting decides. */
  readonly from: 'environment' | 'default' | 'ignored' | 'implied' | 'invalid';
  /** Why it is ignored, implied or invalid. */
  readonly because?: string;
};

/** @prop problems the sentences that a start would end with; none when it would go on. */
export type PrintedConfig = { readonly settings: readonly Setting[]; readonly problems: readonly string[] };

/** Every variable with its effective value. Never throws for a value: that is a problem among others. */
export function describeConfig(env: NodeJS.ProcessEnv): PrintedConfig {
  const plain = Object.entries(variables.shape).map(([name, variable]) => {
    const value = env[name]?.trim();
    if (!value) return { setting: { name, value: textOf(variable.parse(undefined)), from: 'default' } };
    const { success, data, error } = variable.safeParse(value);
    if (success) return { setting: { name, value: env[name]!.trim(), from: 'environment' }, data };
    return {
      setting: { name, value, from: 'invalid', because: mustBe(name, value, error.issues[0]!.message) },
    };
  }) as { setting: Setting; data?: unknown }[];
  const byName = new Map(plain.map((each) => [each.setting.name, each]));
  const read: Read = (name) => {
    const { setting, data } = byName.get(name)!;
    return setting.from === 'default' ? variables.shape[name].parse(undefined) : data;
  };
  return {
    settings: plain.map(({ setting }) => (setting.from === 'invalid' ? setting : inContext(setting, read))),
    problems: problemsOf(env),
  };
}

/** Variables that are set and change nothing, with the reason. */
export function settingsWithoutEffect(env: NodeJS.ProcessEnv): Setting[] {
  return describeConfig(env).settings.filter(({ name, from }) => from === 'ignored' && env[name]?.trim());
}

type Name = keyof typeof variables.shape;
type Read = (name: Name) => unknown;

function problemsOf(env: NodeJS.ProcessEnv): string[] {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message.split('\n');
  }
}

/** What other variables make of one. */
function inContext(setting: Setting, read: Read): Setting {
  const name = setting.name as Name;
  const implied = impliedBy(name, setting, read);
  if (implied) return { ...setting, from: 'implied', ...implied };
  const because = ignoredFor(name, setting, read);
  return because ? { ...setting, from: 'ignored', because } : setting;
}

function impliedBy(
  name: Name,
  { from }: Setting,
  read: Read,
): { readonly value: string; readonly because: string } | undefined {
  if (name === 'POD_MTU' && from === 'default')
    return { value: textOf(read('AWS_VPC_ENI_MTU')), because: 'as AWS_VPC_ENI_MTU' };
  const socket = SOCKETS.get(name);
  if (socket && from === 'default')
    return { value: socket({}, read('ENID_CNI_SOCKET') as string), because: 'beside ENID_CNI_SOCKET' };
  if (
    name === 'DISABLE_NETWORK_RESOURCE_PROVISIONING' &&
    read('ENABLE_IMDS_ONLY_MODE') === true &&
    read(name) !== true
  )
    return { value: 'true', because: 'ENABLE_IMDS_ONLY_MODE is true' };
  return undefined;
}

const SOCKETS: ReadonlyMap<Name, SocketPath> = new Map<Name, SocketPath>([
  ['ENID_CONTROL_SOCKET', controlSocket],
  ['ENID_IPAMD_SOCKET', backendSocket],
  ['ENID_NPA_SOCKET', policySocket],
]);

const PROVISIONING: ReadonlySet<Name> = new Set<Name>([
  'WARM_ENI_TARGET',
  'WARM_IP_TARGET',
  'MINIMUM_IP_TARGET',
  'WARM_PREFIX_TARGET',
  'ENABLE_SUBNET_DISCOVERY',
  'DISABLE_LEAKED_ENI_CLEANUP',
  'ADDITIONAL_ENI_TAGS',
  'AWS_MANAGE_ENIS_NON_SCHEDULABLE',
]);

/** Why the variable changes nothing; undefined when it does. */
function ignoredFor(name: Name, { value, from }: Setting, read: Read): string | undefined {
  if (isWithoutEffect(name)) return value === '' ? undefined : 'it changes nothing in this release';
  const on = (flag: Name) => read(flag) === true;
  const without = (['ENABLE_IMDS_ONLY_MODE', 'DISABLE_NETWORK_RESOURCE_PROVISIONING'] as const).find(on);
  if (without && PROVISIONING.has(name)) return `${without} is true`;
  const ipTarget = (['WARM_IP_TARGET', 'MINIMUM_IP_TARGET'] as const).find((each) => Number(read(each)) > 0);
  const prefixes = on('ENABLE_PREFIX_DELEGATION');
  switch (name) {
    case 'WARM_ENI_TARGET':
      if (ipTarget) return `${ipTarget} is set`;
      return prefixes ? 'ENABLE_PREFIX_DELEGATION is true: see WARM_PREFIX_TARGET' : undefined;
    case 'WARM_PREFIX_TARGET':
      if (!prefixes) return 'ENABLE_PREFIX_DELEGATION is not true';
      return ipTarget && `${ipTarget} is set`;
    case 'ENABLE_SUBNET_DISCOVERY':
      return on('AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG')
        ? 'AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG is true: the ENIConfig names the subnet'
        : undefined;
    case 'ENI_CONFIG_ANNOTATION_DEF':
    case 'ENI_CONFIG_LABEL_DEF':
      return on('AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG')
        ? undefined
        : 'AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG is not true';
    case 'AWS_VPC_K8S_CNI_RANDOMIZESNAT':
    case 'AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS':
      return on('AWS_VPC_K8S_CNI_EXTERNALSNAT') ? 'AWS_VPC_K8S_CNI_EXTERNALSNAT is true' : undefined;
    case 'NETWORK_POLICY_ENFORCING_MODE':
      // Amazon's plugin is told of one that is set.
      return from === 'environment' || on('ENABLE_NETWORK_POLICY')
        ? undefined
        : 'ENABLE_NETWORK_POLICY is not true';
    case 'NETWORK_POLICY_LOG':
    case 'NETWORK_POLICY_LOG_FILE':
    case 'NETWORK_POLICY_BPF_DIR':
    case 'ENID_NPA_SOCKET':
      return on('ENABLE_NETWORK_POLICY') ? undefined : 'ENABLE_NETWORK_POLICY is not true';
    case 'INTROSPECTION_BIND_ADDRESS':
      return on('DISABLE_INTROSPECTION') ? 'DISABLE_INTROSPECTION is true' : undefined;
    default:
      return undefined;
  }
}

/** A default as it would be set. */
function textOf(value: unknown): string {
  if (value === undefined) return '';
  if (Array.isArray(value)) return value.join(',');
  if (typeof value !== 'object' || value === null) return String(value);
  return 'port' in value ? Object.values(value).join(':') : JSON.stringify(value);
}
