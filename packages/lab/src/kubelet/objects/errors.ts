/** Why a container cannot be made yet, in the words of its waiting state. */
export class ContainerError extends Error {
  readonly reason: string;

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ContainerError';
    this.reason = reason;
  }
}

/** What a container's configuration names is missing or wrong: it is tried again when that changes. */
export function configError(message: string): ContainerError {
  return new ContainerError('CreateContainerConfigError', message);
}
