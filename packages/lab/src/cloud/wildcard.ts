/** `*` stands for any text and `?` for one character; a backslash takes that meaning away. */
export function wildcard(pattern: string): RegExp {
  const source = pattern.replace(/\\[*?\\]|[*?]|[^*?\w\s]/g, (found) =>
    found === '*' ? '[^]*' : found === '?' ? '[^]' : found.length === 2 ? found : `\\${found}`,
  );
  return new RegExp(`^${source}$`);
}
