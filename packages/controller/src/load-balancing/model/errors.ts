/** What is wrong with what a user wrote. It is told in an event, and waits for the user: trying again does not mend it. */
export class InvalidObject extends Error {
  /** `Ingress shop/web`: the one to mend, which is not always the one that is being worked on. */
  readonly object: string;

  /** @param message names the field or annotation, and what it may be. */
  constructor(object: string, message: string) {
    super(`${object}: ${message}`);
    this.object = object;
  }
}
