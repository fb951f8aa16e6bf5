import type { Draft } from 'immer';
import { Ec2Error, invalidCombination, invalidValue } from './errors.ts';
import { allOf, find, type Kind, type Resource } from './resources.ts';
import type { CloudState } from './state.ts';
import { wildcard } from './wildcard.ts';

type Value = string | number | boolean | undefined;

/** What the filters of a kind of resource compare: the value, or values, of an item by the filter's name. */
export type FilterTable<Item> = Readonly<Record<string, (item: Item) => Value | readonly Value[]>>;

type Filter = { Name?: string | undefined; Values?: string[] | undefined };

/** The members that every Describe operation has, beside its list of ids. */
export type Query = {
  Filters?: Filter[] | undefined;
  MaxResults?: number | undefined;
  NextToken?: string | undefined;
};

const tagsOf = (item: { tags?: Record<string, string> }): Record<string, string> => item.tags ?? {};

/**
 * The test that filters stand for: an item passes when each filter has a value that matches one of the item's.
 * @throws {Ec2Error} InvalidParameterValue for a filter that the table does not have.
 */
export function matcher<Item extends object>(
  filters: readonly Filter[] | undefined,
  table: FilterTable<Item>,
): (item: Item) => boolean {
  const tests = (filters ?? []).map(({ Name = '', Values = [] }) => {
    const valuesOf = Name.startsWith('tag:')
      ? (item: Item) => tagsOf(item)[Name.slice('tag:'.length)]
      : Name === 'tag-key'
        ? (item: Item) => Object.keys(tagsOf(item))
        : Object.hasOwn(table, Name) && table[Name];
    if (!valuesOf) throw new Ec2Error('InvalidParameterValue', `The filter '${Name}' is invalid`);
    const patterns = Values.map(wildcard);
    return (item: Item) =>
      [valuesOf(item)]
        .flat()
        .some((value) => value !== undefined && patterns.some((pattern) => pattern.test(String(value))));
  });
  return (item) => tests.every((test) => test(item));
}

/** What a token begins with, before the id of the last item of its page. */
const PAGE = 'after ';

/**
 * One page of entries. Pages go by id, so that what comes and goes meanwhile neither hides nor repeats another.
 * @throws {Ec2Error} InvalidParameterValue for a page size outside 5 to 1000, or a token that is none.
 */
export function paginate<Item>(
  entries: readonly (readonly [id: string, item: Item])[],
  { MaxResults, NextToken }: Query,
): { items: Item[]; nextToken: { NextToken?: string } } {
  if (MaxResults === undefined && NextToken === undefined) {
    return { items: entries.map(([, item]) => item), nextToken: {} };
  }
  if (MaxResults !== undefined && (MaxResults < 5 || MaxResults > 1000)) {
    throw invalidValue(MaxResults, 'MaxResults', 'Expecting a value from 5 to 1000.');
  }
  const token = NextToken === undefined ? PAGE : Buffer.from(NextToken, 'base64url').toString();
  if (!token.startsWith(PAGE))
    throw invalidValue(NextToken, 'NextToken', 'Use the token of the page before.');
  const after = token.slice(PAGE.length);
  const rest = entries.filter(([id]) => id > after).sort(([a], [b]) => (a < b ? -1 : 1));
  const page = rest.slice(0, MaxResults ?? 1000);
  const last = page.at(-1)?.[0];
  return {
    items: page.map(([, item]) => item),
    nextToken:
      rest.length > page.length && last ? { NextToken: Buffer.from(PAGE + last).toString('base64url') } : {},
  };
}

/**
 * What a Describe operation is about: the resources of the given ids, or all; those that pass the filters; a page.
 * @throws {Ec2Error} NotFound for an id that does not exist, and as {@link matcher} and {@link paginate} do.
 */
export function describe<K extends Kind>(
  state: Draft<CloudState>,
  kind: K,
  ids: readonly string[] | undefined,
  query: Query,
  table: FilterTable<Resource<K>>,
): { items: Resource<K>[]; nextToken: { NextToken?: string } } {
  if (ids?.length && query.MaxResults !== undefined) {
    throw invalidCombination('The parameter MaxResults cannot be used with a list of ids');
  }
  const entries: [string, Resource<K>][] = ids?.length
    ? [...new Set(ids)].map((id) => [id, find(state, kind, id)])
    : Object.entries(allOf(state, kind));
  const matches = matcher(query.Filters, table as FilterTable<Resource<Kind>>);
  return paginate(
    entries.filter(([, item]) => matches(item)),
    query,
  );
}
