/**
 * The fields of a message by their numbers, in words like these:
 *
 * - `name=1`: a field, called as in JSON.
 * - `replicas*=1`: JSON has it though it is zero. Of others a zero cannot be told from nothing, and JSON leaves it out.
 * - `...VolumeSource=2`: a message of its own on the wire, whose fields stand beside the others in JSON.
 * - `items:SchemaOrList=24`: one of several forms, which the client's models do not tell apart.
 *
 * The words are facts of the `generated.proto` files of k8s.io/api and k8s.io/apimachinery, and of the tags of their Go types.
 */
export type Numbers = Readonly<Record<string, string>>;

export type Field = {
  readonly name: string;
  readonly number: number;
  /** Whether JSON has it though it is zero. */
  readonly zero: boolean;
  /** The message whose fields stand beside the others. */
  readonly inline: string | undefined;
  readonly form: string | undefined;
};

const WORD = /^(\.\.\.)?([$\w-]+)(?::(\w+))?(\*)?=(\d+)$/;

/** Reads the words of one message. */
export function readNumbers(words: string): Map<number, Field> {
  const fields = new Map<number, Field>();
  for (const word of words.trim().split(/\s+/).filter(Boolean)) {
    const [, dots, name = '', form, star, digits] = WORD.exec(word) ?? [];
    const number = Number(digits);
    if (!number || fields.has(number)) throw new Error(`no number of its own: ${word}`);
    fields.set(number, { name, number, zero: star !== undefined, inline: dots && name, form });
  }
  return fields;
}
