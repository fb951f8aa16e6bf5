/**
 * What EC2 refuses, said so that a person can act on it.
 *
 * Codes: https://docs.aws.amazon.com/ec2/latest/APIReference/errors-overview.html
 */

import type { RefusalCause } from '@enid/ipam';

/** What a call was for. */
export type CallContext = {
  /** The API's name, `CreateNetworkInterface`. */
  readonly operation: string;
  /** What it was made on: `subnet-0a`, `eni-0b`. */
  readonly target: string;
};

/** A call to EC2 or to instance metadata that failed. The message says what was hit, on what, and what to do. */
export class AwsError extends Error {
  override readonly name = 'AwsError';
  /** EC2's error code, or the name of the error when the call did not reach EC2. */
  readonly code: string;
  readonly operation: string;

  constructor(code: string, operation: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.operation = operation;
  }

  /** The subnet has nothing left to give: asking again soon is of no use. */
  get isSubnetFull(): boolean {
    return this.code === 'InsufficientFreeAddressesInSubnet' || this.code === 'InsufficientCidrBlocks';
  }

  /** Another subnet may do. */
  get isOfSubnet(): boolean {
    return this.isSubnetFull || this.code === 'InvalidSubnetID.NotFound' || this.code === 'InvalidSubnet';
  }

  /** The account makes too many calls. */
  get isThrottling(): boolean {
    return EXPLANATIONS[this.code] === throttled;
  }

  /** The node's role may not make the call. */
  get isDenied(): boolean {
    return EXPLANATIONS[this.code] === denied;
  }

  /** What a pod is refused for that needed the call; undefined for what has no word of its own. */
  get refusalCause(): RefusalCause | undefined {
    const explain = EXPLANATIONS[this.code];
    if (explain === throttled) return 'Throttled';
    const isStranger = explain === badCredentials || explain === noCredentials;
    return this.isDenied || isStranger ? 'Denied' : LIMITS[this.code];
  }

  /** What was named does not exist. */
  get isNotFound(): boolean {
    return this.code.endsWith('.NotFound');
  }
}

const LIMITS: Readonly<Record<string, RefusalCause>> = {
  InsufficientFreeAddressesInSubnet: 'SubnetExhausted',
  InsufficientCidrBlocks: 'PrefixFragmentation',
  PrivateIpAddressLimitExceeded: 'AddressLimit',
  AttachmentLimitExceeded: 'ENILimit',
  NetworkInterfaceLimitExceeded: 'ENILimit',
};

/** What to do when a subnet has no block for a prefix. */
export const PREFIX_WAY_OUT =
  'reserve a range of the subnet for prefixes (aws ec2 create-subnet-cidr-reservation --reservation-type prefix), tag another subnet of the zone with kubernetes.io/role/cni=1, or set ENABLE_PREFIX_DELEGATION=false';

type Explain = (context: CallContext, message: string) => string;

const throttled: Explain = ({ operation }) =>
  `EC2 throttles ${operation} for this account: fewer nodes at once, or a larger WARM_IP_TARGET, need fewer calls`;
const denied: Explain = ({ operation }, message) => {
  const { action = `ec2:${operation}`, on = '', deny } = refusalIn(message);
  const wayOut = deny ? `take away the ${deny}` : 'attach the policy AmazonEKS_CNI_Policy to it';
  return `the node's role may not call ${action}${on}: ${wayOut}`;
};
const badCredentials: Explain = () =>
  "AWS does not accept the node's credentials: check the instance profile, the role of the service account, and the clock";

const noCredentials: Explain = () =>
  'no AWS credentials were found: give the node an instance profile, or the service account a role';

/**
 * What IAM says of a refusal: a call may need more than the action of its own name, as one that makes a thing with tags needs
 * ec2:CreateTags.
 */
function refusalIn(message: string): { action?: string; on?: string; deny?: string } {
  const [, action, resource] = /not authorized to perform: (\S+)(?: on resource: (\S+))?/.exec(message) ?? [];
  const [, deny] = /with an (explicit deny in an? [^.]+)/.exec(message) ?? [];
  return { ...(action && { action }), ...(resource && { on: ` on ${resource}` }), ...(deny && { deny }) };
}

const EXPLANATIONS: Readonly<Record<string, Explain>> = {
  InsufficientFreeAddressesInSubnet: ({ target }) =>
    `${target} has no free address: free some, or tag another subnet of the zone with kubernetes.io/role/cni=1`,
  InsufficientCidrBlocks: ({ target }) => `${target} has no free /28 block: ${PREFIX_WAY_OUT}`,
  PrivateIpAddressLimitExceeded: ({ target }) =>
    `${target} carries as many addresses as its instance type allows`,
  AttachmentLimitExceeded: ({ target }) =>
    `${target} has as many ENIs attached as its type allows: detach those of others, or use a larger instance type`,
  NetworkInterfaceLimitExceeded: () =>
    'the account has as many network interfaces in this region as its quota allows: delete unused ones, or have the quota "Network interfaces per Region" raised',
  SecurityGroupsPerInterfaceLimitExceeded: () =>
    'the primary ENI has more security groups than an interface may have: take some off it',
  'InvalidSubnetID.NotFound': ({ target }) => `${target} does not exist any more`,
  'InvalidGroup.NotFound': () =>
    'a security group of the primary ENI does not exist any more: replace it there',
  'InvalidNetworkInterfaceID.NotFound': ({ target }) => `${target} does not exist any more`,
  RequestLimitExceeded: throttled,
  Throttling: throttled,
  ThrottlingException: throttled,
  EC2ThrottledException: throttled,
  UnauthorizedOperation: denied,
  AccessDenied: denied,
  AccessDeniedException: denied,
  AuthFailure: badCredentials,
  InvalidClientTokenId: badCredentials,
  ExpiredToken: badCredentials,
  RequestExpired: badCredentials,
  CredentialsProviderError: noCredentials,
};

const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
]);

/** The error of a failed call with its explanation. Gives back what is one already. */
export function explainAwsError(cause: unknown, context: CallContext): AwsError {
  if (cause instanceof AwsError) return cause;
  const { name, code, message } = cause as { name?: string; code?: string; message?: string };
  const { operation, target } = context;
  if (UNREACHABLE.has(code ?? '') || name === 'TimeoutError') {
    const text = `EC2 cannot be reached (${message}): check the node's route to it (internet or NAT gateway, or a VPC endpoint for ec2), its DNS, and AWS_ENDPOINT_URL_EC2`;
    return new AwsError(code ?? name!, operation, text, { cause });
  }
  const known = name ?? 'Error';
  const text =
    EXPLANATIONS[known]?.(context, message ?? '') ??
    `${operation} on ${target} failed: ${message ?? String(cause)}`;
  return new AwsError(known, operation, `${text} (${known})`, { cause });
}
