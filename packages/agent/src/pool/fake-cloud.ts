/**
 * For tests: one EC2 instance with its ENIs, its metadata and the disk of its node, in memory. It keeps EC2's limits
 * and delays, and can fail, or kill the agent, at any step.
 */
import { addressAt, type Ipv4, parseIpv4Cidr } from '@enid/ip';
import { type InstanceLimits, instanceLimits } from '@enid/ipam';
import type { Ec2, Ec2Eni, Ec2Subnet, NewEni, Tags } from '../aws/ec2.ts';
import { type AwsError, explainAwsError } from '../aws/errors.ts';
import type { InstanceIdentity, InstanceMetadata, MetadataEni } from '../aws/metadata.ts';
import type { NodeEni, NodeNetwork } from '../seams.ts';
import type { TestClock } from '../test-clock.ts';
import type { CheckpointStore } from './checkpoint.ts';

export const IDENTITY: InstanceIdentity = {
  instanceId: 'i-0a',
  instanceType: 't3.medium',
  region: 'us-east-1',
  availabilityZone: 'us-east-1a',
  mac: '02:00:00:00:00:00',
};

const ATTACH_TIME = 1500;
const DETACH_TIME = 1000;
const METADATA_LAG = 1000;

type Eni = Ec2Eni & { readonly subnetId: string };

/** Called before and after each step that leaves the process; what it returns is awaited. */
export type Hook = (step: string) => Promise<void> | void;

export class FakeCloud {
  readonly clock: TestClock;
  readonly enis = new Map<string, Eni>();
  readonly subnets = new Map<string, { free: number; tags: Tags }>([['subnet-a', { free: 200, tags: {} }]]);
  readonly calls: string[] = [];
  /** The checkpoint on disk. */
  disk: { text: string; writtenAt: number } | undefined;
  /** ENIs that the kernel has up. */
  up: readonly NodeEni[] = [];
  #shown: MetadataEni[] = [];
  #next = 0;

  constructor(clock: TestClock) {
    this.clock = clock;
    const tags = {};
    this.add({ id: 'eni-primary', subnetId: 'subnet-a', addresses: [], tags, description: '', device: 0 });
    this.#shown = this.#attached();
  }

  /** Adds an ENI as somebody else would; attached when it has a device number. */
  add(eni: {
    id: string;
    subnetId: string;
    addresses: readonly Ipv4[];
    tags: Tags;
    description: string;
    device?: number;
    type?: string;
  }): Eni {
    const n = this.#next++;
    const made: Eni = {
      id: eni.id,
      subnetId: eni.subnetId,
      mac: `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`,
      description: eni.description,
      type: eni.type ?? 'interface',
      primaryIp: this.address(),
      addresses: eni.addresses,
      securityGroups: ['sg-1'],
      tags: eni.tags,
      ...(eni.device !== undefined && {
        attachment: {
          id: `attach-${n}`,
          deviceNumber: eni.device,
          networkCard: 0,
          status: 'attached',
          deleteOnTermination: true,
        },
      }),
    };
    this.enis.set(made.id, made);
    this.#changed();
    return made;
  }

  address(): Ipv4 {
    return addressAt(parseIpv4Cidr('10.0.0.0/20'), 10 + this.#next++);
  }

  change(id: string, change: Partial<Eni>): void {
    const eni = this.enis.get(id);
    if (!eni) throw explain('InvalidNetworkInterfaceID.NotFound', 'change', id);
    this.enis.set(id, { ...eni, ...change });
    this.#changed();
  }

  detach(id: string): void {
    const { attachment: _, ...eni } = this.enis.get(id)!;
    this.enis.set(id, eni);
    this.#changed();
  }

  metadata(): MetadataEni[] {
    return this.#shown;
  }

  /** What a process on the node reaches the world by. Nothing of it answers any more once it is killed. */
  session(hook: Hook = () => {}): Session {
    return new Session(this, hook);
  }

  /** Metadata shows a change a while later. */
  #changed(): void {
    const shown = this.#attached();
    this.clock.sleep(METADATA_LAG).then(() => {
      this.#shown = shown;
    });
  }

  #attached(): MetadataEni[] {
    return [...this.enis.values()]
      .filter(({ attachment }) => attachment?.status === 'attached')
      .map((eni) => ({
        id: eni.id,
        mac: eni.mac,
        deviceNumber: eni.attachment!.deviceNumber,
        networkCard: 0,
        subnetId: eni.subnetId,
        subnetCidr: parseIpv4Cidr('10.0.0.0/20'),
        vpcId: 'vpc-1',
        securityGroups: eni.securityGroups,
        primaryIp: eni.primaryIp,
        addresses: eni.addresses,
      }))
      .sort((a, b) => a.deviceNumber - b.deviceNumber);
  }
}

const explain = (code: string, operation: string, target: string): AwsError =>
  explainAwsError(Object.assign(new Error(code), { name: code }), { operation, target });

const NEVER = new Promise<never>(() => {});

export class Session implements Ec2, InstanceMetadata, CheckpointStore, Pick<NodeNetwork, 'setEnis'> {
  readonly name = '/disk/ipam.json';
  readonly #cloud: FakeCloud;
  readonly #hook: Hook;
  #killed = false;

  constructor(cloud: FakeCloud, hook: Hook) {
    this.#cloud = cloud;
    this.#hook = hook;
  }

  /** As SIGKILL: what is under way never goes on. */
  kill(): void {
    this.#killed = true;
  }

  async attachedEnis(): Promise<Ec2Eni[]> {
    return this.#step('DescribeNetworkInterfaces', () =>
      [...this.#cloud.enis.values()].filter(({ attachment }) => attachment),
    );
  }

  async eni(id: string): Promise<Ec2Eni | undefined> {
    return this.#step('DescribeNetworkInterfaces', () => this.#cloud.enis.get(id));
  }

  async unattachedEnis(tags: Readonly<Record<string, string | undefined>>): Promise<Ec2Eni[]> {
    return this.#step('DescribeNetworkInterfaces', () =>
      [...this.#cloud.enis.values()].filter(
        (eni) =>
          !eni.attachment &&
          Object.entries(tags).every(([key, value]) =>
            value === undefined ? key in eni.tags : eni.tags[key] === value,
          ),
      ),
    );
  }

  async subnets(): Promise<Ec2Subnet[]> {
    return this.#step('DescribeSubnets', () =>
      [...this.#cloud.subnets].map(([id, { free, tags }]) => ({ id, freeAddresses: free, tags })),
    );
  }

  async limits(type: string): Promise<InstanceLimits> {
    return this.#step('DescribeInstanceTypes', () => instanceLimits(type)!);
  }

  async createEni({ subnetId, addressCount, tags, description }: NewEni): Promise<Ec2Eni> {
    return this.#step('CreateNetworkInterface', () => {
      this.#takeFrom(subnetId, addressCount + 1);
      const addresses = Array.from({ length: addressCount }, () => this.#cloud.address());
      const id = `eni-${this.#cloud.enis.size}-${this.#cloud.clock.now()}`;
      return this.#cloud.add({ id, subnetId, addresses, tags, description });
    });
  }

  async attachEni(id: string, deviceNumber: number): Promise<string> {
    return this.#step('AttachNetworkInterface', () => {
      const attached = [...this.#cloud.enis.values()].flatMap((eni) => eni.attachment ?? []);
      if (attached.length >= 3) throw explain('AttachmentLimitExceeded', 'AttachNetworkInterface', 'i-0a');
      if (attached.some((attachment) => attachment.deviceNumber === deviceNumber))
        throw explain('InvalidParameterValue', 'AttachNetworkInterface', id);
      const attachment = { id: `attach-${id}`, deviceNumber, networkCard: 0, deleteOnTermination: false };
      this.#cloud.change(id, { attachment: { ...attachment, status: 'attaching' } });
      this.#cloud.clock.sleep(ATTACH_TIME).then(() => {
        const now = this.#cloud.enis.get(id)?.attachment;
        if (now) this.#cloud.change(id, { attachment: { ...now, status: 'attached' } });
      });
      return attachment.id;
    });
  }

  async setDeleteOnTermination(id: string): Promise<void> {
    return this.#step('ModifyNetworkInterfaceAttribute', () => {
      const attachment = this.#cloud.enis.get(id)!.attachment!;
      this.#cloud.change(id, { attachment: { ...attachment, deleteOnTermination: true } });
    });
  }

  async setSecurityGroups(id: string, groups: readonly string[]): Promise<void> {
    return this.#step('ModifyNetworkInterfaceAttribute', () =>
      this.#cloud.change(id, { securityGroups: groups }),
    );
  }

  async tag(id: string, tags: Tags): Promise<void> {
    return this.#step('CreateTags', () =>
      this.#cloud.change(id, { tags: { ...this.#cloud.enis.get(id)!.tags, ...tags } }),
    );
  }

  async detachEni(attachmentId: string): Promise<void> {
    return this.#step('DetachNetworkInterface', () => {
      const eni = [...this.#cloud.enis.values()].find(({ attachment }) => attachment?.id === attachmentId);
      if (!eni) throw explain('InvalidAttachmentID.NotFound', 'DetachNetworkInterface', attachmentId);
      this.#cloud.change(eni.id, { attachment: { ...eni.attachment!, status: 'detaching' } });
      this.#cloud.clock.sleep(DETACH_TIME).then(() => this.#cloud.detach(eni.id));
    });
  }

  async deleteEni(id: string): Promise<void> {
    return this.#step('DeleteNetworkInterface', () => {
      const eni = this.#cloud.enis.get(id);
      if (!eni) throw explain('InvalidNetworkInterfaceID.NotFound', 'DeleteNetworkInterface', id);
      if (eni.attachment) throw explain('InvalidNetworkInterface.InUse', 'DeleteNetworkInterface', id);
      this.#cloud.enis.delete(id);
    });
  }

  async assignAddresses(id: string, count: number): Promise<Ipv4[]> {
    return this.#step('AssignPrivateIpAddresses', () => {
      const eni = this.#cloud.enis.get(id)!;
      if (eni.addresses.length + count > 5) throw explain('PrivateIpAddressLimitExceeded', 'Assign', id);
      this.#takeFrom(eni.subnetId, count);
      const added = Array.from({ length: count }, () => this.#cloud.address());
      this.#cloud.change(id, { addresses: [...eni.addresses, ...added] });
      return added;
    });
  }

  async unassignAddresses(id: string, addresses: readonly Ipv4[]): Promise<void> {
    return this.#step('UnassignPrivateIpAddresses', () => {
      const eni = this.#cloud.enis.get(id)!;
      this.#cloud.change(id, { addresses: eni.addresses.filter((address) => !addresses.includes(address)) });
    });
  }

  async identity(): Promise<InstanceIdentity> {
    return IDENTITY;
  }

  enis(): Promise<MetadataEni[]> {
    return this.#step('GetMetadata', () => this.#cloud.metadata());
  }

  async vpcCidrs() {
    return [parseIpv4Cidr('10.0.0.0/16')];
  }

  read(): Promise<{ text: string; writtenAt: number } | undefined> {
    return this.#step('read', () => this.#cloud.disk);
  }

  write(text: string): Promise<void> {
    return this.#step('write', () => {
      this.#cloud.disk = { text, writtenAt: this.#cloud.clock.now() };
    });
  }

  setEnis(enis: readonly NodeEni[]): Promise<void> {
    return this.#step('setEnis', () => {
      this.#cloud.up = enis;
    });
  }

  #takeFrom(subnetId: string, count: number): void {
    const subnet = this.#cloud.subnets.get(subnetId)!;
    if (subnet.free < count) throw explain('InsufficientFreeAddressesInSubnet', 'Create', subnetId);
    this.#cloud.subnets.set(subnetId, { ...subnet, free: subnet.free - count });
  }

  /** One step: it can be stopped before it has happened, and after. */
  async #step<T>(name: string, effect: () => T | Promise<T>): Promise<T> {
    if (this.#killed) return NEVER;
    await this.#hook(`before ${name}`);
    if (this.#killed) return NEVER;
    this.#cloud.calls.push(name);
    const result = await effect();
    await this.#hook(`after ${name}`);
    return this.#killed ? NEVER : result;
  }
}
