/** Instance types as EC2 describes them. The AWS SDK is loaded by this module alone. */
import { DescribeInstanceTypesCommand, EC2Client, type InstanceTypeInfo } from '@aws-sdk/client-ec2';
import { type InstanceSpec, instanceLimits } from '@enid/ipam';
import { similarTypes } from '@enid/ipam/planner';

/**
 * Asks EC2 in the region of AWS_REGION, or at AWS_ENDPOINT_URL_EC2.
 * @returns the types in the order asked for. @throws when EC2 does not know one, or cannot be asked.
 */
export async function describeInstanceTypes(types: readonly string[]): Promise<InstanceSpec[]> {
  const client = new EC2Client({
    customUserAgent: 'enid',
    requestHandler: { connectionTimeout: 3000, requestTimeout: 15_000, throwOnRequestTimeout: true },
  });
  try {
    const { InstanceTypes = [] } = await client.send(
      new DescribeInstanceTypesCommand({ InstanceTypes: [...new Set(types)] as never[] }),
    );
    const byName = new Map(InstanceTypes.map((info) => [info.InstanceType as string, info]));
    return types.map((type) => specOf(type, byName.get(type)));
  } catch (error) {
    throw explained(error as Error & { Code?: string }, types);
  } finally {
    client.destroy();
  }
}

function specOf(type: string, info: InstanceTypeInfo | undefined): InstanceSpec {
  const network = info?.NetworkInfo;
  const index = network?.DefaultNetworkCardIndex ?? 0;
  const card = network?.NetworkCards?.find(({ NetworkCardIndex }) => NetworkCardIndex === index);
  const enis = card?.MaximumNetworkInterfaces ?? network?.MaximumNetworkInterfaces;
  const ipv4PerEni = network?.Ipv4AddressesPerInterface;
  if (!enis || !ipv4PerEni) throw new Error(`EC2 does not say what network interfaces "${type}" takes`);
  return {
    enis,
    allEnis: network?.MaximumNetworkInterfaces ?? enis,
    ipv4PerEni,
    hypervisor: info?.Hypervisor === 'xen' ? 'xen' : 'nitro',
    networkCards: network?.MaximumNetworkCards ?? 1,
    vcpus: info?.VCpuInfo?.DefaultVCpus ?? instanceLimits(type)?.vcpus ?? 0,
    memoryMib: info?.MemoryInfo?.SizeInMiB ?? instanceLimits(type)?.memoryMib ?? 0,
  };
}

function explained(error: Error & { Code?: string }, types: readonly string[]): Error {
  const near = types.map((type) => `${type}: ${similarTypes(type).join(', ') || 'nothing near'}`).join('; ');
  if (error.name === 'InvalidInstanceType') return new Error(`${error.message}. Near: ${near}`);
  if (/region is missing/i.test(error.message))
    return new Error('EC2 cannot be asked without a region: set AWS_REGION, or leave --from-ec2 out');
  if (error.name === 'CredentialsProviderError')
    return new Error(
      `EC2 cannot be asked without credentials (${error.message}): set AWS_PROFILE, or leave --from-ec2 out`,
    );
  if (error.name === 'UnauthorizedOperation')
    return new Error(
      `EC2 refuses DescribeInstanceTypes: allow ec2:DescribeInstanceTypes, or leave --from-ec2 out`,
    );
  return new Error(
    `EC2 cannot be asked (${error.name}: ${error.message}): leave --from-ec2 out for the built-in table`,
  );
}
