import type { Ec2 } from '../aws/ec2.ts';
import { AwsError, PREFIX_WAY_OUT } from '../aws/errors.ts';
import type { InstanceIdentity, MetadataEni } from '../aws/metadata.ts';

export type Shortage = {
  readonly ec2: Ec2;
  readonly identity: InstanceIdentity;
  readonly primary: MetadataEni;
  /** The subnet that had nothing to give. */
  readonly subnetId: string;
};

/**
 * Says of a subnet that has no block for a prefix how many free addresses it has all the same: a prefix is 16 in a
 * row, the first of them divisible by 16, so that single addresses here and there leave none.
 * @returns the error itself when it is another.
 */
export async function explainShortage(
  error: AwsError,
  { ec2, identity, primary, subnetId }: Shortage,
): Promise<AwsError> {
  if (error.code !== 'InsufficientCidrBlocks') return error;
  const subnets = await ec2.subnets(primary.vpcId, identity.availabilityZone).catch(() => []);
  const free = subnets.find(({ id }) => id === subnetId)?.freeAddresses;
  const what =
    free === undefined || free < 16
      ? `${subnetId} has no free /28 block`
      : `${subnetId} is fragmented: it has ${free} free addresses but no contiguous /28 block for a prefix`;
  const text = `${what}: ${PREFIX_WAY_OUT} (${error.code})`;
  return new AwsError(error.code, error.operation, text, { cause: error });
}
