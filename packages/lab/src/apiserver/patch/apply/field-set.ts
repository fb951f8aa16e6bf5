/** Sets of fields, as `metadata.managedFields` tells them (`FieldsV1`; structured-merge-diff `fieldpath`). */
import { type Fields, isFields } from '../../object.ts';

/**
 * A field, and the fields in it. Fields are named as in FieldsV1: `f:name`, `k:{"name":"a"}`, `v:"a"`. There are no
 * fields that neither are members nor hold any.
 */
export class FieldSet {
  /** Whether the field itself is in the set, not just others in it. */
  member: boolean;
  readonly fields: Map<string, FieldSet>;

  constructor(member = false, fields: Map<string, FieldSet> = new Map()) {
    this.member = member;
    this.fields = fields;
  }

  get isEmpty(): boolean {
    return !this.member && this.fields.size === 0;
  }

  /** The field of a name, which is made if there is none. */
  at(name: string): FieldSet {
    let field = this.fields.get(name);
    if (!field) {
      field = new FieldSet();
      this.fields.set(name, field);
    }
    return field;
  }

  union(other: FieldSet): FieldSet {
    const fields = new Map(this.fields);
    for (const [name, field] of other.fields) {
      const own = fields.get(name);
      fields.set(name, own ? own.union(field) : field);
    }
    return new FieldSet(this.member || other.member, fields);
  }

  /** Without the members of another. */
  difference(other: FieldSet): FieldSet {
    const fields = new Map<string, FieldSet>();
    for (const [name, field] of this.fields) {
      const taken = other.fields.get(name);
      const left = taken ? field.difference(taken) : field;
      if (!left.isEmpty) fields.set(name, left);
    }
    return new FieldSet(this.member && !other.member, fields);
  }

  intersection(other: FieldSet): FieldSet {
    const fields = new Map<string, FieldSet>();
    for (const [name, field] of this.fields) {
      const same = other.fields.get(name)?.intersection(field);
      if (same && !same.isEmpty) fields.set(name, same);
    }
    return new FieldSet(this.member && other.member, fields);
  }

  /** Without whole subtrees: those of the other's members. */
  without(other: FieldSet): FieldSet {
    const fields = new Map<string, FieldSet>();
    for (const [name, field] of this.fields) {
      const taken = other.fields.get(name);
      if (taken?.member) continue;
      const left = taken ? field.without(taken) : field;
      if (!left.isEmpty) fields.set(name, left);
    }
    return new FieldSet(this.member, fields);
  }

  equals(other: FieldSet): boolean {
    if (this.member !== other.member || this.fields.size !== other.fields.size) return false;
    for (const [name, field] of this.fields) {
      const same = other.fields.get(name);
      if (!same || !field.equals(same)) return false;
    }
    return true;
  }

  /** Paths of the members as Kubernetes prints them, `.spec.containers[name="a"].image`, in order. */
  *paths(prefix = ''): Generator<string> {
    if (this.member && prefix !== '') yield prefix;
    for (const name of [...this.fields.keys()].sort())
      yield* this.fields.get(name)!.paths(prefix + printed(name));
  }

  toJSON(): Fields {
    const json: [string, unknown][] = this.member && this.fields.size > 0 ? [['.', {}]] : [];
    for (const name of [...this.fields.keys()].sort()) json.push([name, this.fields.get(name)!.toJSON()]);
    return Object.fromEntries(json);
  }
}

/** @param json `fieldsV1` of an entry. */
export function parseFields(json: unknown): FieldSet {
  const set = parseField(json);
  set.member = false;
  return set;
}

function parseField(json: unknown): FieldSet {
  const entries = isFields(json) ? Object.entries(json) : [];
  const children = entries.filter(([name]) => name !== '.');
  const member = children.length === 0 || entries.length !== children.length;
  return new FieldSet(member, new Map(children.map(([name, child]) => [name, parseField(child)])));
}

function printed(name: string): string {
  const text = name.slice(2);
  if (name.startsWith('f:')) return `.${text}`;
  if (name.startsWith('v:')) return `[=${text}]`;
  if (!name.startsWith('k:')) return `[${text}]`;
  const keys = Object.entries(JSON.parse(text) as Fields);
  return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`;
}
