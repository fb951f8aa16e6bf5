/** The node daemon, a module a function: each loads what it needs when it runs. */
import type { PrintedConfig } from './print-config.ts';

export type { AddressMap, MappedAddress, MappedEni, MappedSlot } from './address-map.ts';
export type { PolicyAnswer, PolicyQuestion, VerdictLine } from './policy/index.ts';
export type { PrintedConfig, Setting } from './print-config.ts';

/** See `agent.ts`. */
export async function runAgent(env: NodeJS.ProcessEnv): Promise<void> {
  const { runAgent } = await import('./agent.ts');
  await runAgent(env);
}

/** Every variable of the agent with its value and where that came from; see `print-config.ts`. */
export async function describeAgent(env: NodeJS.ProcessEnv): Promise<PrintedConfig> {
  const { describeConfig } = await import('./print-config.ts');
  return describeConfig(env);
}

/** See `service-module.ts`. */
export async function runServiceModule(env: NodeJS.ProcessEnv): Promise<void> {
  const { runServiceModule } = await import('./service-module.ts');
  await runServiceModule(env);
}
