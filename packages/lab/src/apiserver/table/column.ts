import type { StoredObject } from '../object.ts';

/** A column (`meta.k8s.io/v1` TableColumnDefinition) and what stands in it. Priority 1 is shown by `-o wide`. */
export type Column = {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
  readonly cell: (object: StoredObject, now: number) => unknown;
};

export function string(name: string, cell: Column['cell'], description = ''): Column {
  return { name, type: 'string', format: '', description, priority: 0, cell };
}

export function integer(name: string, cell: Column['cell'], description = ''): Column {
  return { ...string(name, cell, description), type: 'integer' };
}

/** The same, for `-o wide` alone. */
export function wide(column: Column): Column {
  return { ...column, priority: 1 };
}

/** Since when something is, in the words of client-go's `HumanDuration`. */
export function age(timestamp: unknown, now: number): string {
  return typeof timestamp === 'string' ? duration(now - Date.parse(timestamp)) : '<unknown>';
}

/** The same for a column of type `date`, which may be empty. */
export function date(value: unknown, now: number): string | undefined {
  return value === undefined || value === null ? undefined : age(value, now);
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** @param milliseconds shown ever more coarsely the longer it is. */
export function duration(milliseconds: number): string {
  if (milliseconds < -SECOND) return '<invalid>';
  const ms = Math.max(milliseconds, 0);
  const whole = (unit: number, rest = ms) => Math.floor(rest / unit);
  const two = (unit: number, name: string, smaller: number, smallerName: string) => {
    const rest = whole(smaller, ms % unit);
    return `${whole(unit)}${name}${rest ? `${rest}${smallerName}` : ''}`;
  };
  if (ms < 2 * MINUTE) return `${whole(SECOND)}s`;
  if (ms < 10 * MINUTE) return two(MINUTE, 'm', SECOND, 's');
  if (ms < 3 * HOUR) return `${whole(MINUTE)}m`;
  if (ms < 8 * HOUR) return two(HOUR, 'h', MINUTE, 'm');
  if (ms < 2 * DAY) return `${whole(HOUR)}h`;
  if (ms < 8 * DAY) return two(DAY, 'd', HOUR, 'h');
  if (ms < 2 * YEAR) return `${whole(DAY)}d`;
  return ms < 8 * YEAR ? two(YEAR, 'y', DAY, 'd') : `${whole(YEAR)}y`;
}
