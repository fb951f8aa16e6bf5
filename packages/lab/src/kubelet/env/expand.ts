/**
 * Replaces `$(NAME)` by the variable's value; `$$(NAME)` is a plain `$(NAME)`, and what names no variable stays as it is
 * (k8s.io/kubernetes, third_party/forked/golang/expansion).
 */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (match, name: string | undefined) =>
    name === undefined ? '$' : (lookup(name) ?? match),
  );
}
