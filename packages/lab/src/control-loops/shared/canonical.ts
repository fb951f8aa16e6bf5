/** JSON with keys in order and without what is undefined: equal for what is equal. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

export const isEqual = (a: unknown, b: unknown) => canonical(a) === canonical(b);

/** Letters and digits of which no bad word can be made, nor one be taken for another. */
const SAFE = 'bcdfghjklmnpqrstvwxz2456789';

/** A short hash for names and labels: FNV-1a of 32 bits, as Kubernetes writes it. */
export function hashOf(value: unknown, collisions = 0): string {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(canonical([value, collisions || undefined]))) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return [...String(hash)].map((digit) => SAFE[digit.charCodeAt(0) % SAFE.length]).join('');
}
