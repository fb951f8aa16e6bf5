/** Paths of Ingresses as patterns of listener rules, and in which order these are tried. */
import type { Ingress } from '@enid/kube';

type Rule = NonNullable<NonNullable<Ingress['spec']>['rules']>[number];
export type Path = NonNullable<Rule['http']>['paths'][number];

/** What a pattern of a path may be (`path-pattern` of ELBv2's RuleCondition). */
export const PATH_PATTERN = /^[\w.*?$/~"'@:+&()!,;=%-]{1,128}$/;

/**
 * The patterns, any of which a request's path must match; none when all do. Exact is the path itself. Prefix goes by whole elements:
 * `/foo` holds `/foo`, `/foo/` and `/foo/bar`, and not `/foobar`. ImplementationSpecific may have the wildcards `*` and `?`.
 * @returns what is wrong with the path, as a sentence's end, when it cannot be.
 */
export function pathPatterns({ path = '', pathType }: Path): readonly string[] | { readonly wrong: string } {
  if (path === '') return [];
  const isPlain = pathType === 'Exact' || pathType === 'Prefix';
  if (isPlain && /[*?]/.test(path))
    return { wrong: `has a wildcard: pathType ${pathType} has none, ImplementationSpecific has` };
  const whole = pathType === 'Prefix' ? path.replace(/\/$/, '') : path;
  const patterns = pathType !== 'Prefix' ? [path] : whole === '' ? ['/*'] : [whole, `${whole}/*`];
  if (patterns.every((pattern) => PATH_PATTERN.test(pattern))) return patterns;
  return {
    wrong: `is not what load balancers match: letters, digits and _-.$/~"'@:+&()!,;=% are, 128 with what is added`,
  };
}

const RANKS: Readonly<Record<string, number>> = { Exact: 0, Prefix: 1 };

/** The paths of a host in the order in which they are tried: Exact, then Prefix with the longest first, then the others as written. */
export function inOrder(paths: readonly Path[]): Path[] {
  const rank = ({ pathType }: Path) => RANKS[pathType] ?? 2;
  const length = ({ pathType, path = '' }: Path) => (pathType === 'Prefix' ? path.length : 0);
  return paths.toSorted((a, b) => rank(a) - rank(b) || length(b) - length(a));
}
