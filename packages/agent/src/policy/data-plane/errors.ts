/** The kernel could not take what binds some pods. They are closed: nothing passes in the direction that did not fit. */
export class PolicyNotHeldError extends Error {
  override readonly name = 'PolicyNotHeldError';
  /** The links on the node of the pods that are closed now. */
  readonly closed: readonly number[];

  constructor(message: string, closed: readonly number[], options?: ErrorOptions) {
    super(message, options);
    this.closed = closed;
  }
}

/** This kernel, or the way it is set up, cannot enforce policies at all. */
export class UnsupportedKernelError extends Error {
  override readonly name = 'UnsupportedKernelError';
}
