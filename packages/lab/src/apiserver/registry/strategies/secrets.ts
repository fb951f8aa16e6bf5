import type { KubeObject } from '../../object.ts';
import type { Strategy } from '../strategy.ts';

/** `stringData` is a way to write `data`, and is never read. */
export const secrets: Strategy = { create: encode, update: encode };

function encode(secret: KubeObject): void {
  const texts = secret.stringData as Record<string, string> | undefined;
  delete secret.stringData;
  if (!texts) return;
  const encoded = Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
  secret.data = { ...(secret.data as Record<string, string> | undefined), ...Object.fromEntries(encoded) };
}
