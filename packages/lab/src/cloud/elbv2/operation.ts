import type * as sdk from '@aws-sdk/client-elastic-load-balancing-v2';
import { AwsError } from '../errors.ts';
import type { Context } from '../operation.ts';
import type { CommandInput, CommandName, CommandOutput } from '../query/sdk.ts';

type Sdk = typeof sdk;
export type OperationName = CommandName<Sdk>;
export type Input<Name extends OperationName> = CommandInput<Sdk, Name>;

/** Operations of ELBv2 by their name, as those of EC2: see {@link import('../operation.ts').Operations}. */
export type Operations = {
  readonly [Name in OperationName]?: (input: Input<Name>, context: Context) => CommandOutput<Sdk, Name>;
};

/** ValidationError: the request by itself is wrong. */
export function invalid(message: string): AwsError {
  return new AwsError('ValidationError', message);
}

/** @throws {AwsError} ValidationError unless a number is whole and within a range. */
export function checkRange(value: number, from: number, to: number, what: string): number {
  if (Number.isInteger(value) && value >= from && value <= to) return value;
  throw invalid(`${what} '${value}' must be between ${from} and ${to}`);
}

/** @throws {AwsError} ValidationError unless a value is one of some. */
export function checkOneOf<const Values extends readonly string[]>(
  value: string,
  values: Values,
  what: string,
): Values[number] {
  if (values.includes(value)) return value;
  throw invalid(`${what} '${value}' must be one of '${values.join(', ')}'`);
}

/** @throws {AwsError} ValidationError when a member is not there. */
export function required<Value>(value: Value | undefined, what: string): Value {
  if (value === undefined || value === '') throw invalid(`${what} must be specified`);
  return value;
}

/** Sets a member of a draft, or leaves it out. */
export function optional<Key extends string, Value>(
  key: Key,
  value: Value | undefined,
): { [K in Key]?: Value } {
  return (value === undefined ? {} : { [key]: value }) as { [K in Key]?: Value };
}

const PAGE_SIZE = 400;

/**
 * One page of items, as every Describe operation of ELBv2 has it. The marker is the key of the page's last item, so that
 * what comes and goes meanwhile neither hides nor repeats another.
 */
export function page<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
  { Marker, PageSize = PAGE_SIZE }: { Marker?: string | undefined; PageSize?: number | undefined },
): { items: Item[]; next: { NextMarker?: string } } {
  checkRange(PageSize, 1, PAGE_SIZE, 'Page size');
  const after = Marker === undefined ? '' : Buffer.from(Marker, 'base64url').toString();
  const rest = items
    .map((item) => [keyOf(item), item] as const)
    .filter(([key]) => key > after)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const found = rest.slice(0, PageSize);
  const last = found.at(-1)?.[0];
  return {
    items: found.map(([, item]) => item),
    next: rest.length > found.length && last ? { NextMarker: Buffer.from(last).toString('base64url') } : {},
  };
}
