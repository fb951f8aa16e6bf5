/** A claim that did not hold. */
export class ClaimError extends Error {
  override readonly name = 'ClaimError';
}

/** What a check has seen, for a reader: claims that held, and what they were read from. */
export class Evidence {
  readonly #lines: string[] = [];

  /** Records a claim that must hold. @throws {ClaimError} when it does not, which ends the check. */
  expect(holds: boolean, claim: string): void {
    if (!holds) throw new ClaimError(`it does not hold that ${claim}`);
    this.#lines.push(`✓ ${claim}`);
  }

  /** Shows what a tool printed. */
  show(title: string, output: string | readonly string[]): void {
    const lines = typeof output === 'string' ? output.trimEnd().split('\n') : output;
    this.#lines.push(`  ${title}`, ...lines.map((line) => `    ${line}`));
  }

  toString(): string {
    return this.#lines.join('\n');
  }
}
