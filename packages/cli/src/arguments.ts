import { InvalidArgumentError } from 'commander';

/** Reads an option that is a whole number from 1 to `most`. */
export function upTo(most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw new InvalidArgumentError(`It takes 1 to ${most}.`);
    }
    return value;
  };
}

/** Reads `namespace/name`, or a name in the namespace `default`. */
export function podName(text: string): string {
  if (!/^[^/\s]+(\/[^/\s]+)?$/.test(text)) throw new InvalidArgumentError('It takes NAMESPACE/NAME.');
  return text.includes('/') ? text : `default/${text}`;
}
