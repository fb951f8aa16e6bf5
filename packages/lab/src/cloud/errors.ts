/** Statuses of the error codes that are not 400; the codes are those of the EC2 API reference. */
const STATUS: Readonly<Record<string, number>> = {
  AuthFailure: 401,
  MissingAuthenticationToken: 403,
  UnauthorizedOperation: 403,
  OptInRequired: 403,
  DryRunOperation: 412,
  InternalError: 500,
  InternalFailure: 500,
  InsufficientInstanceCapacity: 500,
  InsufficientAddressCapacity: 500,
  RequestLimitExceeded: 503,
  ServiceUnavailable: 503,
  Unavailable: 503,
};

/** An error that a service answers with: `code` and `message` as AWS words them. */
export class AwsError extends Error {
  override readonly name: string = 'AwsError';
  readonly code: string;
  /** HTTP status. */
  readonly status: number;

  constructor(code: string, message: string, status = STATUS[code] ?? 400) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** An error of EC2. */
export class Ec2Error extends AwsError {
  override readonly name = 'Ec2Error';
}

/** InvalidParameterValue for one named parameter of the request. */
export function invalidValue(value: unknown, parameter: string, reason: string): Ec2Error {
  return new Ec2Error(
    'InvalidParameterValue',
    `Value (${value}) for parameter ${parameter} is invalid. ${reason}`,
  );
}

/** MissingParameter for one named parameter of the request. */
export function missingParameter(parameter: string): Ec2Error {
  return new Ec2Error('MissingParameter', `The request must contain the parameter ${parameter}`);
}

/** InvalidParameterCombination. */
export function invalidCombination(message: string): Ec2Error {
  return new Ec2Error('InvalidParameterCombination', message);
}

/** Refuses a request that asks for IPv6, which the lab's VPCs do not have. */
export function refuseIpv6(input: object): void {
  const asked = Object.entries(input).find(([name, value]) => name.includes('Ipv6') && value);
  if (!asked) return;
  throw new Ec2Error(
    'InvalidParameterValue',
    `${asked[0]}: the VPCs of the lab have IPv4 CIDR blocks alone.`,
  );
}

/** DependencyViolation: something still needs the resource, and is named. */
export function dependencyViolation(resource: string, id: string, dependents: readonly string[]): Ec2Error {
  return new Ec2Error(
    'DependencyViolation',
    `The ${resource} '${id}' has dependencies and cannot be deleted. Delete these first: ${dependents.join(', ')}.`,
  );
}
