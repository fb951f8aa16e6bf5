/** As many as one change is told to at a time, and few enough to forget about. */
const REMEMBERED = 64;
/** Lists are written for one. */
const LONGEST = 64 * 1024;
const texts = new Map<object, string>();

/**
 * The JSON of an object that is never changed in place. It is written once for all who want it at about the same time: the
 * journal, the client that has made the change, and those who watch.
 */
export function jsonOf(object: object): string {
  const known = texts.get(object);
  if (known !== undefined) return known;
  const text = JSON.stringify(object);
  if (text.length > LONGEST) return text;
  if (texts.size >= REMEMBERED) texts.delete(texts.keys().next().value!);
  texts.set(object, text);
  return text;
}
