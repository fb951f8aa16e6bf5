/** The EC2 calls that the agent makes, for the instance that it runs on. */

import type { EC2Client, Filter, NetworkInterface, Tag } from '@aws-sdk/client-ec2';
import { AdaptiveThrottle, followRequests } from '@enid/aws';
import { type Ipv4, type Ipv4Cidr, parseIpv4, parseIpv4Cidr } from '@enid/ip';
import { type InstanceLimits, instanceLimits, type SlotKind } from '@enid/ipam';
import { type Clock, systemClock } from '../clock.ts';
import { AwsError, explainAwsError } from './errors.ts';

export type Tags = Readonly<Record<string, string>>;

/** An ENI as EC2 describes it. */
export type Ec2Eni = {
  readonly id: string;
  readonly mac: string;
  readonly description: string;
  /** `interface` for an ordinary one; `trunk`, `efa`, `branch`, ... are others' business. */
  readonly type: string;
  readonly subnetId: string;
  readonly primaryIp: Ipv4;
  /** Secondary addresses. */
  readonly addresses: readonly Ipv4[];
  /** Delegated prefixes. */
  readonly prefixes: readonly Ipv4Cidr[];
  readonly securityGroups: readonly string[];
  readonly tags: Tags;
  readonly attachment?: {
    readonly id: string;
    readonly deviceNumber: number;
    readonly networkCard: number;
    readonly status: 'attaching' | 'attached' | 'detaching' | 'detached';
    readonly deleteOnTermination: boolean;
  };
};

export type Ec2Subnet = {
  readonly id: string;
  readonly freeAddresses: number;
  readonly tags: Tags;
};

/** What a new ENI is made with. */
export type NewEni = {
  readonly subnetId: string;
  readonly securityGroups: readonly string[];
  /** Secondary addresses, or prefixes, to come with it. */
  readonly slots: { readonly kind: SlotKind; readonly count: number };
  readonly description: string;
  readonly tags: Tags;
};

/** What an instance type allows, and how many virtual CPUs it has, if that is known. */
export type TypeLimits = InstanceLimits & { readonly vcpus?: number };

/** What the agent needs of EC2. Every method throws {@link AwsError}. */
export interface Ec2 {
  /** The ENIs attached to this instance, or on their way. */
  attachedEnis(): Promise<Ec2Eni[]>;
  /** The ENI, or undefined when there is none of this id. */
  eni(id: string): Promise<Ec2Eni | undefined>;
  /** Unattached ENIs of the VPC with these tags; a tag of the value undefined may have any. */
  unattachedEnis(tags: Readonly<Record<string, string | undefined>>, vpcId: string): Promise<Ec2Eni[]>;
  /** The subnets of the VPC in the zone. */
  subnets(vpcId: string, availabilityZone: string): Promise<Ec2Subnet[]>;
  /** What the instance type allows. */
  limits(instanceType: string): Promise<TypeLimits>;
  createEni(eni: NewEni): Promise<Ec2Eni>;
  /** @returns the attachment's id. */
  attachEni(id: string, deviceNumber: number): Promise<string>;
  setDeleteOnTermination(id: string, attachmentId: string): Promise<void>;
  setSecurityGroups(id: string, groups: readonly string[]): Promise<void>;
  tag(id: string, tags: Tags): Promise<void>;
  detachEni(attachmentId: string): Promise<void>;
  deleteEni(id: string): Promise<void>;
  /** @returns the new addresses. */
  assignAddresses(id: string, count: number): Promise<Ipv4[]>;
  unassignAddresses(id: string, addresses: readonly Ipv4[]): Promise<void>;
  /** @returns the new prefixes. */
  assignPrefixes(id: string, count: number): Promise<Ipv4Cidr[]>;
  unassignPrefixes(id: string, prefixes: readonly Ipv4Cidr[]): Promise<void>;
}

/** Called after each call, and each of its repetitions, for metrics. */
export type CallObserver = (call: { operation: string; milliseconds: number; error?: AwsError }) => void;

/** Of a node that was never throttled: no more than a burst of pods needs. */
const PACE = { fastest: 10, burst: 20 };

type Sdk = typeof import('@aws-sdk/client-ec2');

/**
 * EC2 by the AWS SDK: default credential chain, AWS_ENDPOINT_URL_EC2, the SDK's own retries, at the pace that EC2 grants.
 */
export class AwsEc2 implements Ec2 {
  readonly #sdk: Sdk;
  readonly #client: EC2Client;
  readonly #instanceId: string;
  readonly #observe: CallObserver;
  readonly #throttle: AdaptiveThrottle;

  private constructor(
    sdk: Sdk,
    client: EC2Client,
    instanceId: string,
    observe: CallObserver,
    throttle: AdaptiveThrottle,
  ) {
    this.#sdk = sdk;
    this.#client = client;
    this.#instanceId = instanceId;
    this.#observe = observe;
    this.#throttle = throttle;
    this.#followEachRequest();
  }

  /** Loads the SDK, which takes a third of a second: begin early, await late. */
  static load(): Promise<Sdk> {
    return import('@aws-sdk/client-ec2');
  }

  static open(
    sdk: Sdk,
    options: { region: string; instanceId: string; observe?: CallObserver; clock?: Clock },
  ): AwsEc2 {
    const { instanceId, observe = () => {}, clock = systemClock } = options;
    const client = new sdk.EC2Client({
      region: options.region,
      customUserAgent: 'enid',
      // Without limits of time an EC2 that cannot be reached would hold the agent up for ever.
      requestHandler: { connectionTimeout: 3000, requestTimeout: 15_000, throwOnRequestTimeout: true },
    });
    return new AwsEc2(sdk, client, instanceId, observe, new AdaptiveThrottle(clock, PACE));
  }

  /** How fast calls are made, and how often EC2 found them too many. */
  get pace(): { readonly rate: number; readonly throttles: number } {
    return this.#throttle;
  }

  close(): void {
    this.#client.destroy();
  }

  attachedEnis(): Promise<Ec2Eni[]> {
    return this.#describe([{ Name: 'attachment.instance-id', Values: [this.#instanceId] }], this.#instanceId);
  }

  async eni(id: string): Promise<Ec2Eni | undefined> {
    const [eni] = await this.#describe([{ Name: 'network-interface-id', Values: [id] }], id);
    return eni;
  }

  unattachedEnis(tags: Readonly<Record<string, string | undefined>>, vpcId: string): Promise<Ec2Eni[]> {
    const filters = Object.entries(tags).map(([key, value]) =>
      value === undefined ? { Name: 'tag-key', Values: [key] } : { Name: `tag:${key}`, Values: [value] },
    );
    const free = [
      { Name: 'vpc-id', Values: [vpcId] },
      { Name: 'status', Values: ['available'] },
    ];
    return this.#describe([...filters, ...free], vpcId);
  }

  async subnets(vpcId: string, availabilityZone: string): Promise<Ec2Subnet[]> {
    const filters = [
      { Name: 'vpc-id', Values: [vpcId] },
      { Name: 'availability-zone', Values: [availabilityZone] },
    ];
    const { Subnets = [] } = await this.#call('DescribeSubnets', vpcId, () =>
      this.#client.send(new this.#sdk.DescribeSubnetsCommand({ Filters: filters })),
    );
    return Subnets.map((subnet) => ({
      id: subnet.SubnetId!,
      freeAddresses: subnet.AvailableIpAddressCount ?? 0,
      tags: tagsOf(subnet.Tags),
    }));
  }

  async limits(instanceType: string): Promise<TypeLimits> {
    const described = await this.#call('DescribeInstanceTypes', instanceType, () =>
      this.#client.send(
        new this.#sdk.DescribeInstanceTypesCommand({ InstanceTypes: [instanceType as never] }),
      ),
    ).catch((error: AwsError) => error);
    const info = described instanceof AwsError ? undefined : described.InstanceTypes?.[0];
    const card = info?.NetworkInfo?.NetworkCards?.find(
      ({ NetworkCardIndex }) => NetworkCardIndex === (info.NetworkInfo?.DefaultNetworkCardIndex ?? 0),
    );
    const enis = card?.MaximumNetworkInterfaces ?? info?.NetworkInfo?.MaximumNetworkInterfaces;
    const ipv4PerEni = info?.NetworkInfo?.Ipv4AddressesPerInterface;
    if (enis && ipv4PerEni) {
      const vcpus = info.VCpuInfo?.DefaultVCpus;
      return {
        enis,
        ipv4PerEni,
        hypervisor: info.Hypervisor === 'xen' ? 'xen' : 'nitro',
        networkCards: info.NetworkInfo?.MaximumNetworkCards ?? 1,
        ...(vcpus !== undefined && { vcpus }),
      };
    }
    const known = instanceLimits(instanceType);
    if (known) return known;
    if (described instanceof AwsError) throw described;
    throw new AwsError(
      'UnknownInstanceType',
      'DescribeInstanceTypes',
      `the network limits of the instance type ${instanceType} are not known: allow ec2:DescribeInstanceTypes`,
    );
  }

  async createEni({ subnetId, securityGroups, slots, description, tags }: NewEni): Promise<Ec2Eni> {
    const { kind, count } = slots;
    const asked = kind === 'prefix' ? { Ipv4PrefixCount: count } : { SecondaryPrivateIpAddressCount: count };
    const { NetworkInterface } = await this.#call('CreateNetworkInterface', subnetId, () =>
      this.#client.send(
        new this.#sdk.CreateNetworkInterfaceCommand({
          SubnetId: subnetId,
          Groups: [...securityGroups],
          Description: description,
          ...(count > 0 && asked),
          TagSpecifications: [{ ResourceType: 'network-interface', Tags: tagList(tags) }],
        }),
      ),
    );
    return eniOf(NetworkInterface!);
  }

  async attachEni(id: string, deviceNumber: number): Promise<string> {
    const { AttachmentId } = await this.#call('AttachNetworkInterface', this.#instanceId, () =>
      this.#client.send(
        new this.#sdk.AttachNetworkInterfaceCommand({
          NetworkInterfaceId: id,
          InstanceId: this.#instanceId,
          DeviceIndex: deviceNumber,
        }),
      ),
    );
    return AttachmentId!;
  }

  async setDeleteOnTermination(id: string, attachmentId: string): Promise<void> {
    await this.#call('ModifyNetworkInterfaceAttribute', id, () =>
      this.#client.send(
        new this.#sdk.ModifyNetworkInterfaceAttributeCommand({
          NetworkInterfaceId: id,
          Attachment: { AttachmentId: attachmentId, DeleteOnTermination: true },
        }),
      ),
    );
  }

  async setSecurityGroups(id: string, groups: readonly string[]): Promise<void> {
    await this.#call('ModifyNetworkInterfaceAttribute', id, () =>
      this.#client.send(
        new this.#sdk.ModifyNetworkInterfaceAttributeCommand({ NetworkInterfaceId: id, Groups: [...groups] }),
      ),
    );
  }

  async tag(id: string, tags: Tags): Promise<void> {
    await this.#call('CreateTags', id, () =>
      this.#client.send(new this.#sdk.CreateTagsCommand({ Resources: [id], Tags: tagList(tags) })),
    );
  }

  async detachEni(attachmentId: string): Promise<void> {
    await this.#call('DetachNetworkInterface', attachmentId, () =>
      this.#client.send(new this.#sdk.DetachNetworkInterfaceCommand({ AttachmentId: attachmentId })),
    );
  }

  async deleteEni(id: string): Promise<void> {
    await this.#call('DeleteNetworkInterface', id, () =>
      this.#client.send(new this.#sdk.DeleteNetworkInterfaceCommand({ NetworkInterfaceId: id })),
    );
  }

  async assignAddresses(id: string, count: number): Promise<Ipv4[]> {
    const { AssignedPrivateIpAddresses = [] } = await this.#call('AssignPrivateIpAddresses', id, () =>
      this.#client.send(
        new this.#sdk.AssignPrivateIpAddressesCommand({
          NetworkInterfaceId: id,
          SecondaryPrivateIpAddressCount: count,
        }),
      ),
    );
    return AssignedPrivateIpAddresses.map(({ PrivateIpAddress }) => parseIpv4(PrivateIpAddress!));
  }

  async unassignAddresses(id: string, addresses: readonly Ipv4[]): Promise<void> {
    await this.#call('UnassignPrivateIpAddresses', id, () =>
      this.#client.send(
        new this.#sdk.UnassignPrivateIpAddressesCommand({
          NetworkInterfaceId: id,
          PrivateIpAddresses: [...addresses],
        }),
      ),
    );
  }

  async assignPrefixes(id: string, count: number): Promise<Ipv4Cidr[]> {
    const { AssignedIpv4Prefixes = [] } = await this.#call('AssignPrivateIpAddresses', id, () =>
      this.#client.send(
        new this.#sdk.AssignPrivateIpAddressesCommand({ NetworkInterfaceId: id, Ipv4PrefixCount: count }),
      ),
    );
    return AssignedIpv4Prefixes.map(({ Ipv4Prefix }) => parseIpv4Cidr(Ipv4Prefix!));
  }

  async unassignPrefixes(id: string, prefixes: readonly Ipv4Cidr[]): Promise<void> {
    await this.#call('UnassignPrivateIpAddresses', id, () =>
      this.#client.send(
        new this.#sdk.UnassignPrivateIpAddressesCommand({
          NetworkInterfaceId: id,
          Ipv4Prefixes: [...prefixes],
        }),
      ),
    );
  }

  #describe(filters: Filter[], target: string): Promise<Ec2Eni[]> {
    return this.#call('DescribeNetworkInterfaces', target, async () => {
      const enis: Ec2Eni[] = [];
      const pages = this.#sdk.paginateDescribeNetworkInterfaces(
        { client: this.#client },
        { Filters: filters },
      );
      for await (const page of pages) enis.push(...(page.NetworkInterfaces ?? []).map(eniOf));
      return enis;
    });
  }

  #followEachRequest(): void {
    followRequests(this.#client, {
      throttle: () => this.#throttle,
      isThrottling: (cause) => this.#explain(cause, '').isThrottling,
      observe: ({ operation, milliseconds, error }) =>
        this.#observe({
          operation,
          milliseconds,
          ...(error !== undefined && { error: this.#explain(error, operation) }),
        }),
    });
  }

  #explain(cause: unknown, operation: string): AwsError {
    return explainAwsError(cause, { operation, target: this.#instanceId });
  }

  async #call<T>(operation: string, target: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (cause) {
      throw explainAwsError(cause, { operation, target });
    }
  }
}

function eniOf(eni: NetworkInterface): Ec2Eni {
  const { Attachment: attachment } = eni;
  const secondary = (eni.PrivateIpAddresses ?? []).filter(({ Primary }) => !Primary);
  return {
    id: eni.NetworkInterfaceId!,
    mac: (eni.MacAddress ?? '').toLowerCase(),
    description: eni.Description ?? '',
    type: eni.InterfaceType ?? 'interface',
    subnetId: eni.SubnetId ?? '',
    primaryIp: parseIpv4(eni.PrivateIpAddress!),
    prefixes: (eni.Ipv4Prefixes ?? []).map(({ Ipv4Prefix }) => parseIpv4Cidr(Ipv4Prefix!)),
    addresses: secondary.map(({ PrivateIpAddress }) => parseIpv4(PrivateIpAddress!)),
    securityGroups: (eni.Groups ?? []).map(({ GroupId }) => GroupId!),
    tags: tagsOf(eni.TagSet),
    ...(attachment?.AttachmentId && {
      attachment: {
        id: attachment.AttachmentId,
        deviceNumber: attachment.DeviceIndex ?? 0,
        networkCard: attachment.NetworkCardIndex ?? 0,
        status: attachment.Status ?? 'attached',
        deleteOnTermination: attachment.DeleteOnTermination ?? false,
      },
    }),
  };
}

const tagsOf = (tags: Tag[] | undefined): Tags =>
  Object.fromEntries((tags ?? []).map(({ Key, Value }) => [Key!, Value ?? '']));

const tagList = (tags: Tags): Tag[] => Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
