/** The node daemon, a module a function: each loads what it needs when it runs. */
import type { Setting } from './config.ts';

export type { Setting } from './config.ts';

/** See `agent.ts`. */
export async function runAgent(env: NodeJS.ProcessEnv): Promise<void> {
  const { runAgent } = await import('./agent.ts');
  await runAgent(env);
}

/** Every variable of the agent with its value and where that came from; see `config.ts`. */
export async function describeAgent(env: NodeJS.ProcessEnv): Promise<Setting[]> {
  const { describeConfig } = await import('./config.ts');
  return describeConfig(env);
}

/** See `service-module.ts`. */
export async function runServiceModule(env: NodeJS.ProcessEnv): Promise<void> {
  const { runServiceModule } = await import('./service-module.ts');
  await runServiceModule(env);
}
