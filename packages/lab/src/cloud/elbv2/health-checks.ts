/** How the targets of a group are checked, as requests ask for it. */
import type { Matcher } from '@aws-sdk/client-elastic-load-balancing-v2';
import { checkOneOf, checkRange, invalid } from './operation.ts';
import type { HealthCheck, TargetGroup } from './state.ts';

type HealthCheckInput = {
  readonly HealthCheckProtocol?: string | undefined;
  readonly HealthCheckPort?: string | undefined;
  readonly HealthCheckEnabled?: boolean | undefined;
  readonly HealthCheckPath?: string | undefined;
  readonly HealthCheckIntervalSeconds?: number | undefined;
  readonly HealthCheckTimeoutSeconds?: number | undefined;
  readonly HealthyThresholdCount?: number | undefined;
  readonly UnhealthyThresholdCount?: number | undefined;
  readonly Matcher?: Matcher | undefined;
};

/** Whether target groups of a protocol are of Application Load Balancers. */
export const isHttp = (protocol: string) => protocol === 'HTTP' || protocol === 'HTTPS';

/** `200`, `200-399` or `200,302`, within a range. */
function readCodes(text: string, from: number, to: number): string {
  const fits = text.split(',').every((part) => {
    const [first, last = first, ...more] = part.split('-');
    const numbers = [first, last].map(Number);
    return (
      more.length === 0 &&
      /^\d+(-\d+)?$/.test(part) &&
      numbers.every((number) => number >= from && number <= to) &&
      numbers[0]! <= numbers[1]!
    );
  });
  if (fits) return text;
  throw invalid(
    `Health check matcher '${text}' must be codes within ${from} to ${to}, such as '${from}' or '${from}-${to}'`,
  );
}

/**
 * The health check of a target group, with AWS's defaults.
 * @param before what it has, which stays where the request says nothing.
 * @throws {AwsError} ValidationError.
 */
export function readHealthCheck(
  { protocol, protocolVersion }: Pick<TargetGroup, 'protocol' | 'protocolVersion'>,
  input: HealthCheckInput,
  before: HealthCheck | undefined,
): HealthCheck {
  const isApplication = isHttp(protocol);
  const grpc = protocolVersion === 'GRPC';
  const by = checkOneOf(
    input.HealthCheckProtocol ?? before?.protocol ?? (isApplication ? 'HTTP' : 'TCP'),
    ['HTTP', 'HTTPS', 'TCP'],
    'Health check protocol',
  );
  if (isApplication && by === 'TCP')
    throw invalid(`Health check protocol 'TCP' is not of target groups with the protocol '${protocol}'`);
  const same = before?.protocol === by ? before : undefined;
  const port = input.HealthCheckPort ?? before?.port ?? 'traffic-port';
  if (port !== 'traffic-port') checkRange(Number(port), 1, 65_535, 'Health check port');
  const intervalSeconds = checkRange(
    input.HealthCheckIntervalSeconds ?? before?.intervalSeconds ?? 30,
    5,
    300,
    'Health check interval',
  );
  const usualTimeout = isApplication ? 5 : by === 'HTTP' ? 6 : 10;
  const timeoutSeconds = checkRange(
    input.HealthCheckTimeoutSeconds ?? before?.timeoutSeconds ?? Math.min(usualTimeout, intervalSeconds),
    2,
    120,
    'Health check timeout',
  );
  if (isApplication && timeoutSeconds >= intervalSeconds) {
    throw invalid(
      `Health check timeout '${timeoutSeconds}' must be smaller than the interval '${intervalSeconds}'`,
    );
  }
  const check = {
    enabled: input.HealthCheckEnabled ?? before?.enabled ?? true,
    protocol: by,
    port,
    intervalSeconds,
    timeoutSeconds,
    healthyThreshold: checkRange(
      input.HealthyThresholdCount ?? before?.healthyThreshold ?? 5,
      2,
      10,
      'Healthy threshold count',
    ),
    unhealthyThreshold: checkRange(
      input.UnhealthyThresholdCount ?? before?.unhealthyThreshold ?? 2,
      2,
      10,
      'Unhealthy threshold count',
    ),
  };
  if (!check.enabled)
    throw invalid('Health checks must be enabled for target groups with instance or ip targets');
  if (by === 'TCP') {
    if (input.HealthCheckPath) throw invalid('Health check path is not of health checks by TCP');
    if (input.Matcher) throw invalid('Health check matcher is not of health checks by TCP');
    return check;
  }
  const path = input.HealthCheckPath ?? same?.path ?? (grpc ? '/AWS.ALB/healthcheck' : '/');
  if (!/^\/[\x21-\x7e]{0,1023}$/.test(path))
    throw invalid(`Health check path '${path}' must begin with a '/' character`);
  const { HttpCode, GrpcCode } = input.Matcher ?? {};
  const matcher = grpc
    ? { GrpcCode: readCodes(GrpcCode ?? same?.matcher?.GrpcCode ?? '12', 0, 99) }
    : {
        HttpCode: readCodes(
          HttpCode ?? same?.matcher?.HttpCode ?? (isApplication ? '200' : '200-399'),
          200,
          isApplication ? 499 : 599,
        ),
      };
  return { ...check, path, matcher };
}
