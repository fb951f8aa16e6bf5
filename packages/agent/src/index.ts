/** The node daemon, a module a function: each loads what it needs when it runs. */

/** See `agent.ts`. */
export async function runAgent(env: NodeJS.ProcessEnv): Promise<void> {
  const { runAgent } = await import('./agent.ts');
  await runAgent(env);
}

/** See `service-module.ts`. */
export async function runServiceModule(env: NodeJS.ProcessEnv): Promise<void> {
  const { runServiceModule } = await import('./service-module.ts');
  await runServiceModule(env);
}
