/** Annotations with a common prefix, read by type. The errors name the whole annotation and what it may be. */
import { InvalidObject } from './model/errors.ts';

/** What a user names, as subnets or certificates. */
export type Named = {
  /** For messages: `Service shop/web`. */
  readonly object: string;
  /** Where, for messages: `annotation alb.ingress.kubernetes.io/subnets`. */
  readonly source: string;
  readonly names: readonly string[];
};

export class Annotations {
  readonly #object: string;
  readonly #prefix: string;
  readonly #values: Readonly<Record<string, string>>;
  readonly #source: (name: string) => string;
  #below: Annotations | undefined;

  /**
   * @param object for messages: `Service shop/web`. @param prefix `alb.ingress.kubernetes.io/`.
   * @param source how messages name one, when it is no annotation.
   */
  constructor(
    object: string,
    prefix: string,
    values: Readonly<Record<string, string>> | undefined,
    source = (name: string) => `annotation ${prefix}${name}`,
  ) {
    this.#object = object;
    this.#prefix = prefix;
    this.#values = values ?? {};
    this.#source = source;
  }

  /** These, and where they are silent those of another object. Messages name the object that says it. */
  over(below: Annotations): Annotations {
    const both = new Annotations(this.#object, this.#prefix, this.#values, this.#source);
    both.#below = this.#below ? this.#below.over(below) : below;
    return both;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#values, this.#prefix + name) || Boolean(this.#below?.has(name));
  }

  /** What follows the prefix in the keys of all annotations that begin with `start`. */
  names(start: string): string[] {
    const whole = this.#prefix + start;
    const own = Object.keys(this.#values)
      .filter((key) => key.startsWith(whole))
      .map((key) => key.slice(this.#prefix.length));
    return [...new Set([...own, ...(this.#below?.names(start) ?? [])])];
  }

  /** Without the white space around it; undefined when there is none or nothing in it. */
  text(name: string): string | undefined {
    return this.#own(name) ?? this.#below?.text(name);
  }

  /** One of several words. @param options.anyCase in capital letters or not. */
  oneOf<Value extends string>(
    name: string,
    values: readonly Value[],
    { anyCase = false } = {},
  ): Value | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const same = (value: string) => anyCase && value.toLowerCase() === text.toLowerCase();
    const found = values.find((value) => value === text || same(value));
    return found ?? this.refuse(name, `is ${quoted(text)}: it may be ${values.join(', ')}`);
  }

  flag(name: string): boolean | undefined {
    const text = this.oneOf(name, ['true', 'false']);
    return text === undefined ? undefined : text === 'true';
  }

  /** A whole number within a range. */
  number(name: string, [from, to]: readonly [number, number]): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^-?\d+$/.test(text) && value >= from && value <= to) return value;
    return this.refuse(name, `is ${quoted(text)}: it may be a whole number from ${from} to ${to}`);
  }

  /** Parts between commas; an empty list when there is none. */
  list(name: string): string[] {
    return (this.text(name) ?? '')
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '');
  }

  /** A {@link list} of what a user names, and where. */
  named(name: string): Named {
    const { object, source } = this.#saying(name);
    return { object, source, names: this.list(name) };
  }

  /** `key=value` pairs between commas. */
  map(name: string): Record<string, string> {
    return Object.fromEntries(
      this.list(name).map((pair) => {
        const equals = pair.indexOf('=');
        if (equals < 1)
          return this.refuse(name, `has ${quoted(pair)}: it is a list such as key1=value1,key2=value2`);
        return [pair.slice(0, equals).trim(), pair.slice(equals + 1).trim()];
      }),
    );
  }

  /** JSON, held to a schema of zod. */
  json<Value>(name: string, schema: JsonSchema<Value>): Value | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      return this.refuse(name, `is not JSON: ${(error as Error).message}`);
    }
    const read = schema.safeParse(value);
    if (read.success) return read.data;
    const [issue] = read.error.issues;
    const path = issue?.path.join('.');
    return this.refuse(name, `is not as it should be: ${path ? `${path}: ` : ''}${issue?.message}`);
  }

  /** @throws {InvalidObject} that names the annotation. */
  refuse(name: string, message: string): never {
    const { object, source } = this.#saying(name);
    throw new InvalidObject(object, `${source} ${message}`);
  }

  #own(name: string): string | undefined {
    const key = this.#prefix + name;
    return (Object.hasOwn(this.#values, key) && this.#values[key]!.trim()) || undefined;
  }

  /** Who says it, and where. */
  #saying(name: string): Omit<Named, 'names'> {
    return this.#own(name) === undefined && this.#below?.text(name) !== undefined
      ? this.#below.#saying(name)
      : { object: this.#object, source: this.#source(name) };
  }
}

/** What a schema of zod can do. */
type JsonSchema<Value> = {
  safeParse(value: unknown):
    | { readonly success: true; readonly data: Value }
    | {
        readonly success: false;
        readonly error: {
          readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[];
        };
      };
};

const quoted = (text: string) => `"${text.length > 60 ? `${text.slice(0, 60)}...` : text}"`;
