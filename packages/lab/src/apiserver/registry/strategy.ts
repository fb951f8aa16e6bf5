import type { KubeObject, StoredObject } from '../object.ts';
import type { Cause } from '../status.ts';
import type { Store } from '../storage/store.ts';
import type { Admission } from './admission.ts';
import type { Resource } from './resource.ts';

/** What a strategy may look at. */
export type Cluster = {
  readonly store: Store;
  /** Addresses of Services. */
  readonly serviceCidr: string;
  /** Who has a say in what is written. */
  readonly admission: Admission;
  now(): number;
};

/**
 * What is particular to one resource. Functions get an object that is theirs to change, and throw an `ApiError` to refuse
 * it.
 */
export type Strategy = {
  /** Whether a new object has the status that the client gives it. */
  readonly keepsStatus?: true;
  /**
   * What the server's own admission adds to a new object: before others see it, and again when they have changed it.
   */
  readonly admit?: (object: KubeObject, cluster: Cluster) => void;
  /** Completes an object before it is checked. */
  readonly create?: (object: KubeObject, cluster: Cluster, resource: Resource) => void;
  /** Completes a changed object. Its status is the old one's already. */
  readonly update?: (object: KubeObject, old: StoredObject, cluster: Cluster, resource: Resource) => void;
  /** Completes an object whose status has been changed. */
  readonly updateStatus?: (object: KubeObject, old: StoredObject, cluster: Cluster) => void;
  /** What is wrong with an object beyond what its schema says. */
  readonly validate?: (object: KubeObject, old: StoredObject | undefined, cluster: Cluster) => Cause[];
  /**
   * What an object's claims on others' state come to, such as addresses: last of all, after it was checked. Of an object that
   * has them already: makes sure that they are still free.
   */
  readonly allocate?: (object: KubeObject, old: StoredObject | undefined, cluster: Cluster) => void;
  /** Seconds that an object of this kind is given to end; undefined: it is gone at once. */
  readonly grace?: (object: StoredObject, wanted: number | undefined) => number | undefined;
  /** Changes an object that is to be deleted, or refuses that. */
  readonly beginDelete?: (object: KubeObject, cluster: Cluster) => void;
  /** Whether something besides `metadata.finalizers` keeps a deleted object. */
  readonly isHeld?: (object: KubeObject) => boolean;
};
