/**
 * An image's name as containerd keeps it: with registry, repository and tag (`busybox` is
 * `docker.io/library/busybox:latest`).
 */
export function canonicalReference(name: string): string {
  const [first = '', ...rest] = name.split('/');
  // What comes before the first slash is a registry when it looks like a host.
  const hasRegistry = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  const registry = hasRegistry ? first : 'docker.io';
  const path = hasRegistry ? rest.join('/') : name;
  const repository = registry === 'docker.io' && !path.includes('/') ? `library/${path}` : path;
  return `${registry}/${repository}${/[:@][^/]*$/.test(path) ? '' : ':latest'}`;
}
