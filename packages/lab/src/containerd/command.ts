/** A program to be started: its argument vector, and what its environment has beside PATH. */
export type ContainerdCommand = {
  readonly command: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
};

/**
 * How containerd is started with a configuration. Its environment goes on to the shim of every pod. Both collect
 * garbage early: a node of the lab has little to do, and its memory counts once for each node and each pod.
 */
export function containerdCommand(
  configFile: string,
  logLevel: 'debug' | 'info' | 'warn' | 'error' = 'warn',
): ContainerdCommand {
  return {
    command: ['containerd', '--config', configFile, '--log-level', logLevel],
    env: { GOGC: '40', GOMAXPROCS: '2' },
  };
}
