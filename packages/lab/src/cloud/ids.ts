import { createHash } from 'node:crypto';
import type { Draft } from 'immer';
import type { CloudState } from './state.ts';

function nextDigest(state: Draft<CloudState>, seed: string): string {
  state.idCount += 1;
  return createHash('sha256').update(`${seed}/${state.idCount}`).digest('hex');
}

/**
 * A new AWS id: the prefix, a dash and 17 hexadecimal digits. The same seed gives the same ids in the same order,
 * also across restarts.
 */
export function newId(state: Draft<CloudState>, seed: string, prefix: string): string {
  return `${prefix}-${nextDigest(state, seed).slice(0, 17)}`;
}

/** A new MAC address, locally administered as Amazon's are: `02:…`. */
export function newMac(state: Draft<CloudState>, seed: string): string {
  const digits = nextDigest(state, seed).slice(0, 10);
  return `02:${digits.match(/../g)!.join(':')}`;
}
