import type { StoredObject } from '../object.ts';

/** One change of one object. */
export type Event = {
  /** The version that the change gave to the whole store. */
  readonly revision: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly key: string;
  /** The object after the change; of a deletion its last state, with the revision of the deletion. */
  readonly object: StoredObject;
  readonly previous?: StoredObject;
  /** Length of the object's JSON. */
  readonly size: number;
};
