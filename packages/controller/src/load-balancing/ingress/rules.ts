/** What listener rules may hold, and which of them can never match. */
import type { ActionSpec, ConditionSpec, ListenerProtocol } from '../model/stack.ts';

/** Of one rule, in all of its conditions together: quotas of application load balancers that cannot be raised. */
const MOST_VALUES = 5;
const MOST_WILDCARDS = 6;

type Drawn = { readonly conditions: readonly ConditionSpec[] };

/**
 * Conditions as those of several rules with the same action, each of which has as many values as a rule may have.
 * @returns undefined when there are too many conditions for any rule.
 */
export function split(conditions: readonly ConditionSpec[]): (readonly ConditionSpec[])[] | undefined {
  const count = conditions.reduce((sum, { values }) => sum + values.length, 0);
  if (count <= MOST_VALUES && wildcards(conditions) <= MOST_WILDCARDS) return [conditions];
  const largest = Math.max(...conditions.map(({ values }) => values.length));
  if (largest < 2) return undefined;
  const index = conditions.findIndex(({ values }) => values.length === largest);
  const room = MOST_VALUES - (count - largest);
  const size = room >= 1 && room < largest ? room : Math.ceil(largest / 2);
  const rules: (readonly ConditionSpec[])[] = [];
  for (let from = 0; from < largest; from += size) {
    const condition = conditions[index]!;
    const part = { ...condition, values: condition.values.slice(from, from + size) } as ConditionSpec;
    const parts = split(conditions.with(index, part));
    if (!parts) return undefined;
    rules.push(...parts);
  }
  return rules;
}

const wildcards = (conditions: readonly ConditionSpec[]) =>
  conditions
    .flatMap(({ values }) => values.map(textOf))
    .join('')
    .replace(/[^*?]/g, '').length;
const textOf = (value: ConditionSpec['values'][number]) =>
  typeof value === 'string' ? value : `${value.key ?? ''}${value.value}`;

/** Without rules that can never match, as all that they would match is matched by one before. */
export function withoutDead<Rule extends Drawn>(rules: readonly Rule[]): Rule[] {
  const alive: Matcher[] = [];
  return rules.filter(({ conditions }) => {
    const matcher = matcherOf(conditions);
    if (alive.some((earlier) => holds(earlier, matcher))) return false;
    alive.push(matcher);
    return true;
  });
}

/** By what is asked, the values of which a request must have one: `undefined` when all do. */
type Matcher = readonly (readonly [what: string, values: ReadonlySet<string> | undefined])[];

const matcherOf = (conditions: readonly ConditionSpec[]): Matcher =>
  conditions.map((condition) => {
    const { field, values } = condition;
    const what = 'name' in condition ? `${field} ${condition.name.toLowerCase()}` : field;
    if (field === 'path-pattern' && values.includes('/*')) return [what, undefined];
    // Hosts are the same in whatever case.
    const text = (value: unknown) =>
      field === 'host-header' ? `${value}`.toLowerCase() : JSON.stringify(value);
    return [what, new Set(values.map(text))];
  });

/** Whether each condition of one is met by whatever meets those of the other. */
const holds = (one: Matcher, other: Matcher): boolean =>
  one.every(
    ([what, values]) =>
      values === undefined ||
      other.some(([asked, narrower]) => asked === what && narrower?.isSubsetOf(values)),
  );

/**
 * Whether a rule sends clients to where they are: `actions.ssl-redirect` on all listeners is to do so on those of HTTP alone, since
 * older controllers had no other way to ask for it.
 */
export function isLoop(
  conditions: readonly ConditionSpec[],
  action: ActionSpec,
  listener: { readonly protocol: ListenerProtocol; readonly port: number },
): boolean {
  if (action.type !== 'redirect') return false;
  const { protocol, port, host, path, query } = action;
  const values = (field: ConditionSpec['field']): unknown[] =>
    conditions.flatMap((condition) => (condition.field === field ? [...condition.values] : []));
  const stays = (to: string | undefined, ...here: readonly unknown[]) =>
    to === undefined || here.includes(to);
  return (
    stays(protocol, '#{protocol}', listener.protocol) &&
    stays(port, '#{port}', `${listener.port}`) &&
    stays(host, '#{host}', ...values('host-header')) &&
    stays(path, '/#{path}', ...values('path-pattern')) &&
    stays(query, '#{query}')
  );
}
