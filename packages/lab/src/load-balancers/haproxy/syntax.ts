/** The language of HAProxy's configuration: https://docs.haproxy.org/2.6/configuration.html */

/** A section: its first line, and those below it. */
export type Section = { readonly header: string; readonly lines: readonly string[] };

/** A word that stands for exactly this text, whatever is in it (section 2.2 of the manual). */
export function word(text: string): string {
  if (text === '') return "''";
  const bytes = Buffer.from(text);
  return Array.from(bytes, (byte) => {
    const character = String.fromCharCode(byte);
    return /[\w./:;,=@%+*|^()[\]&?!<>~-]/.test(character)
      ? character
      : `\\x${byte.toString(16).padStart(2, '0')}`;
  }).join('');
}

/** Text in a format (section 8.2.4), where `%` has a meaning. */
export function literal(text: string): string {
  return text.replaceAll('%', '%%');
}

/** A condition of a line (section 7): what is fetched, and values of which one has to match. */
export function matches(fetch: string, flags: string, values: readonly string[]): string {
  return `{ ${[word(fetch), flags, '--', ...values.map(word)].join(' ')} }`;
}

export function render(sections: readonly Section[]): string {
  return sections
    .map(({ header, lines }) => `${[header, ...lines.map((line) => `  ${line}`)].join('\n')}\n`)
    .join('\n');
}
