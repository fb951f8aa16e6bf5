/** The pool's settings as they are written for a node: Amazon's environment variables, names and defaults. */
import type { Targets } from './plan.ts';
import type { SlotKind } from './pool.ts';

/** A variable that does not say what a pool is to be like. */
export class SettingError extends Error {
  override readonly name = 'SettingError';
}

/** How the pools of nodes are kept. */
export type PoolSettings = {
  readonly targets: Targets;
  /** What the pool is made of: `prefix` with prefix delegation. */
  readonly mode: SlotKind;
  /** True: pods get addresses in the subnet of an ENIConfig, and none of the primary ENI. */
  readonly customNetworking: boolean;
  /** Cap on the ENIs of the node, the primary one included; absent: what the instance type allows. */
  readonly maxEni?: number;
  /** How long a released address rests, in milliseconds. */
  readonly cooldown: number;
};

/** How the text of a variable is read. */
export type Reader<T> = {
  /** What the text may be, to end a sentence with. */
  readonly allowed: string;
  /** @returns undefined for what is not allowed. */
  readonly read: (text: string) => T | undefined;
};

const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);
/** Spelt as Go's strconv.ParseBool takes it. */
export const flag: Reader<boolean> = {
  allowed: 'true or false',
  read: (text) => (TRUE.has(text) ? true : FALSE.has(text) ? false : undefined),
};

export const whole = (
  least: number,
  most: number,
  allowed = `a whole number from ${least} to ${most}`,
): Reader<number> => ({
  allowed,
  read: (text) => {
    const value = Number(text);
    return /^-?\d+$/.test(text) && value >= least && value <= most ? value : undefined;
  },
});

const count = whole(0, 10_000);
const variable = <T>(reader: Reader<T>, otherwise: T) => ({ ...reader, otherwise });

/** The variables that matter to a pool, each with Amazon's default. */
export const POOL_VARIABLES = {
  WARM_ENI_TARGET: variable(count, 1),
  WARM_IP_TARGET: variable(count, 0),
  MINIMUM_IP_TARGET: variable(count, 0),
  WARM_PREFIX_TARGET: variable(count, 1),
  ENABLE_PREFIX_DELEGATION: variable(flag, false),
  AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG: variable(flag, false),
  MAX_ENI: variable(whole(-1, 1000, 'a whole number; below 1 it is the limit of the instance type'), -1),
  IP_COOLDOWN_PERIOD: variable(whole(0, 86_400, 'a number of seconds from 0 to 86400'), 30),
};
type Variables = typeof POOL_VARIABLES;

/** The value of each variable. */
export type PoolValues = { readonly [Name in keyof Variables]: Variables[Name]['otherwise'] };

/**
 * What the values come to.
 * @param isSet whether the variable has no default value but one that was given.
 * @throws {SettingError} for values that leave a node without addresses.
 */
export function poolSettingsOf(value: PoolValues, isSet: (name: keyof PoolValues) => boolean): PoolSettings {
  const { WARM_IP_TARGET, MINIMUM_IP_TARGET, MAX_ENI } = value;
  const mode = value.ENABLE_PREFIX_DELEGATION ? 'prefix' : 'address';
  if (mode === 'prefix' && WARM_IP_TARGET + MINIMUM_IP_TARGET === 0) refuseNoPrefixes(value, isSet);
  const customNetworking = value.AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG;
  if (customNetworking && MAX_ENI === 1) {
    throw new SettingError(
      'MAX_ENI is "1" but must be 2 or more with AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG: the primary ENI gives pods no addresses.',
    );
  }
  return {
    targets: {
      warmEnis: value.WARM_ENI_TARGET,
      warmIps: WARM_IP_TARGET,
      minimumIps: MINIMUM_IP_TARGET,
      warmPrefixes: value.WARM_PREFIX_TARGET,
    },
    mode,
    customNetworking,
    ...(MAX_ENI >= 1 && { maxEni: MAX_ENI }),
    cooldown: value.IP_COOLDOWN_PERIOD * 1000,
  };
}

/** A pool of prefixes without any target: Amazon does not support it either. */
function refuseNoPrefixes(
  { WARM_PREFIX_TARGET }: PoolValues,
  isSet: (name: keyof PoolValues) => boolean,
): void {
  if (WARM_PREFIX_TARGET === 0) {
    throw new SettingError(
      'WARM_PREFIX_TARGET is "0" but must be 1 or more with ENABLE_PREFIX_DELEGATION, unless WARM_IP_TARGET or MINIMUM_IP_TARGET is 1 or more.',
    );
  }
  if (isSet('WARM_IP_TARGET') && isSet('MINIMUM_IP_TARGET') && !isSet('WARM_PREFIX_TARGET')) {
    throw new SettingError(
      'WARM_IP_TARGET and MINIMUM_IP_TARGET are "0" but one must be 1 or more with ENABLE_PREFIX_DELEGATION, unless WARM_PREFIX_TARGET is set.',
    );
  }
}

/**
 * Reads variables of the agent's environment that matter to a pool. One that is not given, or is empty, has its default.
 * @throws {SettingError} for a variable that does not matter, a value that it does not take, and values that leave a
 *   node without addresses.
 */
export function poolSettings(env: Readonly<Record<string, string>>): PoolSettings {
  const stranger = Object.keys(env).find((name) => !Object.hasOwn(POOL_VARIABLES, name));
  if (stranger !== undefined) {
    throw new SettingError(
      `${stranger} changes nothing about a node's addresses: set ${Object.keys(POOL_VARIABLES).join(', ')}`,
    );
  }
  const isSet = (name: string) => Boolean(env[name]?.trim());
  const values = Object.entries(POOL_VARIABLES).map(([name, { allowed, read, otherwise }]) => {
    const value = isSet(name) ? read(env[name]!.trim()) : otherwise;
    if (value === undefined) throw new SettingError(`${name} is "${env[name]}" but must be ${allowed}.`);
    return [name, value];
  });
  return poolSettingsOf(Object.fromEntries(values), isSet);
}
