/** How kernel numbers become names, and other small things that the objects of rtnetlink share. */
import type { Cidr, Ip } from '@enid/ip';
import { MalformedMessageError, type MessageWriter } from '../netlink/attributes.ts';
import { AF_INET, AF_INET6 } from '../syscalls.ts';

/** The address family of 4 or 6; AF_UNSPEC (0) for undefined. */
export function familyNumber(family: 4 | 6 | undefined): number {
  if (family === undefined) return 0;
  return family === 4 ? AF_INET : AF_INET6;
}

/** 4 or 6; undefined for other families, whose objects share message types with those of IP. */
export function familyName(number: number): 4 | 6 | undefined {
  if (number === AF_INET) return 4;
  return number === AF_INET6 ? 6 : undefined;
}

/**
 * The block of an address attribute and a length in bits, which a message has apart.
 * @returns undefined for the block of all addresses, which has no attribute.
 * @throws {MalformedMessageError} when the length does not fit the address.
 */
export function readBlock(address: Ip | undefined, length: number): Cidr | undefined {
  const bits = address === undefined ? 0 : address.includes(':') ? 128 : 32;
  if (length > bits)
    throw new MalformedMessageError(`${address ?? 'no address'} has no prefix of ${length} bits`);
  return address && (`${address}/${length}` as Cidr);
}

/** Names of a field's numbers, both ways. A number without a name stands for itself. */
export class Names<Name extends string> {
  readonly #numbers: Readonly<Record<Name, number>>;
  readonly #names: ReadonlyMap<number, Name>;

  constructor(numbers: Record<Name, number>) {
    this.#numbers = numbers;
    this.#names = new Map(Object.entries(numbers).map(([name, number]) => [number as number, name as Name]));
  }

  name(number: number): Name | number {
    return this.#names.get(number) ?? number;
  }

  /** @throws {TypeError} for a name that is none of these. */
  number(name: Name | number): number {
    const number = typeof name === 'number' ? name : this.#numbers[name];
    if (number === undefined) {
      throw new TypeError(`"${name}" is none of ${Object.keys(this.#numbers).join(', ')}`);
    }
    return number;
  }
}

/** rt_scope_t of addresses and routes. */
export const scopes = new Names({ global: 0, site: 200, link: 253, host: 254, nowhere: 255 });
/** How far an address or destination is away; a number for a scope of one's own. */
export type Scope = 'global' | 'site' | 'link' | 'host' | 'nowhere' | number;

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** `object` without the keys whose value is undefined. */
export function defined<T extends object>(object: T): Defined<T> {
  for (const key in object) if (object[key] === undefined) delete object[key];
  return object as Defined<T>;
}

const IFNAMSIZ = 16;

/** A link's name as an attribute. @throws {TypeError} when it cannot be a link's name. */
export function writeLinkName(writer: MessageWriter, type: number, name: string | undefined): void {
  if (name === undefined) return;
  if (
    name === '' ||
    name === '.' ||
    name === '..' ||
    Buffer.byteLength(name) >= IFNAMSIZ ||
    /[/:\s\0]/.test(name)
  ) {
    throw new TypeError(
      `"${name}" cannot name a link: 1 to ${IFNAMSIZ - 1} bytes without "/", ":" and white space`,
    );
  }
  writer.attributeString(type, name);
}
