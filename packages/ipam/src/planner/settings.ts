/** The pool's settings as they are written for the agent: Amazon's environment variables, names and defaults. */
import type { Targets } from '../plan.ts';
import type { SlotKind } from '../pool.ts';

/** A variable that does not say what a pool is to be like. */
export class SettingError extends Error {
  override readonly name = 'SettingError';
}

/** How the pools of nodes are kept. */
export type PoolSettings = {
  readonly targets: Targets;
  /** What the pool is made of: `prefix` with prefix delegation. */
  readonly mode: SlotKind;
  /** The primary ENI carries no pods. */
  readonly customNetworking: boolean;
  readonly maxEni?: number;
  /** How long a released address rests, in milliseconds. */
  readonly cooldown: number;
};

type Reader<T> = (name: string, text: string) => T;

const whole =
  (least: number): Reader<number> =>
  (name, text) => {
    const value = Number(text);
    if (/^-?\d+$/.test(text) && value >= least && value <= 10_000) return value;
    throw new SettingError(`${name} is "${text}" but must be a whole number from ${least} to 10000`);
  };
const flag: Reader<boolean> = (name, text) => {
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw new SettingError(`${name} is "${text}" but must be true or false`);
};

const count = whole(0);
const VARIABLES = {
  WARM_ENI_TARGET: count,
  WARM_IP_TARGET: count,
  MINIMUM_IP_TARGET: count,
  WARM_PREFIX_TARGET: count,
  ENABLE_PREFIX_DELEGATION: flag,
  AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG: flag,
  MAX_ENI: whole(-1),
  IP_COOLDOWN_PERIOD: count,
} as const;

/**
 * Reads variables of the agent's environment that matter to a pool; those that are not given have their defaults.
 * @throws {SettingError} for a variable that does not matter, a value that it does not take, and a combination that
 *   leaves a node without addresses.
 */
export function poolSettings(env: Readonly<Record<string, string>>): PoolSettings {
  const stranger = Object.keys(env).find((name) => !(name in VARIABLES));
  if (stranger !== undefined) {
    throw new SettingError(
      `${stranger} changes nothing about a node's addresses: set ${Object.keys(VARIABLES).join(', ')}`,
    );
  }
  const read = <K extends keyof typeof VARIABLES>(name: K, otherwise: ReturnType<(typeof VARIABLES)[K]>) =>
    (env[name] === undefined ? otherwise : VARIABLES[name](name, env[name])) as typeof otherwise;
  const targets = {
    warmEnis: read('WARM_ENI_TARGET', 1),
    warmIps: read('WARM_IP_TARGET', 0),
    minimumIps: read('MINIMUM_IP_TARGET', 0),
    warmPrefixes: read('WARM_PREFIX_TARGET', 1),
  };
  const mode = read('ENABLE_PREFIX_DELEGATION', false) ? 'prefix' : 'address';
  if (mode === 'prefix' && targets.warmIps + targets.minimumIps + targets.warmPrefixes === 0) {
    throw new SettingError(
      'with prefix delegation a node needs a target: set WARM_PREFIX_TARGET, WARM_IP_TARGET or MINIMUM_IP_TARGET above 0',
    );
  }
  const maxEni = read('MAX_ENI', -1);
  return {
    targets,
    mode,
    customNetworking: read('AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG', false),
    ...(maxEni >= 1 && { maxEni }),
    cooldown: read('IP_COOLDOWN_PERIOD', 30) * 1000,
  };
}
