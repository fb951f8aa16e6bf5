/** How the targets of a group are checked, as annotations say. */
import type { Annotations } from './annotations.ts';
import type { HealthCheckSpec } from './model/stack.ts';

/** The names of the annotations, which differ between Services and Ingresses. */
export type HealthCheckNames = Readonly<Record<keyof Required<HealthCheckSpec>, string>>;

export type HealthCheckRules = {
  readonly names: HealthCheckNames;
  readonly protocols: readonly HealthCheckSpec['protocol'][];
  /** What holds where annotations are silent. `path` and `matcher` are those of HTTP and HTTPS. */
  readonly defaults: Required<HealthCheckSpec>;
  /** Application load balancers give up on a check before the next begins; network ones may do so as it begins. */
  readonly timeoutBelowInterval: boolean;
  /** The number that the target knows a Service's port by. @returns undefined for a name that the Service has not. */
  readonly portNamed: (name: string) => number | undefined;
};

/** @throws {InvalidObject} for what is out of the ranges that AWS allows. */
export function readHealthCheck(
  annotations: Annotations,
  { names, protocols, defaults, timeoutBelowInterval, portNamed }: HealthCheckRules,
): HealthCheckSpec {
  const protocol = annotations.oneOf(names.protocol, protocols, { anyCase: true }) ?? defaults.protocol;
  const intervalSeconds = annotations.number(names.intervalSeconds, [5, 300]) ?? defaults.intervalSeconds;
  const longest = timeoutBelowInterval ? intervalSeconds - 1 : intervalSeconds;
  const timeoutSeconds =
    annotations.number(names.timeoutSeconds, [2, Math.min(120, longest)]) ??
    Math.min(defaults.timeoutSeconds, longest);
  const threshold = (name: 'healthyThreshold' | 'unhealthyThreshold') =>
    annotations.number(names[name], [2, 10]) ?? defaults[name];
  return {
    protocol,
    port: readPort(annotations, names.port, portNamed) ?? defaults.port,
    ...(protocol !== 'TCP' && {
      path: readPath(annotations, names.path) ?? defaults.path,
      matcher: readMatcher(annotations, names.matcher) ?? defaults.matcher,
    }),
    intervalSeconds,
    timeoutSeconds,
    healthyThreshold: threshold('healthyThreshold'),
    unhealthyThreshold: threshold('unhealthyThreshold'),
  };
}

function readPort(
  annotations: Annotations,
  name: string,
  portNamed: HealthCheckRules['portNamed'],
): string | undefined {
  const text = annotations.text(name);
  if (text === undefined || text === 'traffic-port') return text;
  if (/^\d+$/.test(text)) return `${annotations.number(name, [1, 65_535])}`;
  const port = portNamed(text);
  if (port !== undefined) return `${port}`;
  return annotations.refuse(
    name,
    `is "${text}": it may be traffic-port, a number from 1 to 65535, or the name of a port of the Service whose targetPort is a number`,
  );
}

function readPath(annotations: Annotations, name: string): string | undefined {
  const path = annotations.text(name);
  if (path === undefined || /^\/[\x21-\x7e]{0,1023}$/.test(path)) return path;
  return annotations.refuse(name, `is "${path}": it begins with "/", and is 1024 characters long at most`);
}

function readMatcher(annotations: Annotations, name: string): string | undefined {
  const codes = annotations.text(name);
  if (codes === undefined || /^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(codes)) return codes;
  return annotations.refuse(name, `is "${codes}": it may be codes and ranges such as 200,300-399`);
}
