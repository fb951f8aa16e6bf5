/** What the probes of a running container have found. */
export type ProbeResults = {
  /** Without a startup probe, from the beginning. */
  readonly started: boolean;
  /** Without a readiness probe, as soon as it has started. */
  readonly ready: boolean;
  readonly livenessFailed: boolean;
  readonly startupFailed: boolean;
};
