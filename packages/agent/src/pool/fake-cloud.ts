/**
 * For tests: one EC2 instance with its ENIs, its metadata and the disk of its node, in memory. It keeps EC2's limits
 * and delays, and can fail, or kill the agent, at any step.
 */
import { addressAt, cidrOf, type Ipv4, type Ipv4Cidr, parseIpv4Cidr } from '@enid/ip';
import { instanceLimits } from '@enid/ipam';
import type { Ec2, Ec2Eni, Ec2Subnet, NewEni, Tags, TypeLimits } from '../aws/ec2.ts';
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
const VPC = 'vpc-1';

/** A subnet: its free addresses, and of those so many blocks in a row for prefixes, by default all that fit. */
export type FakeSubnet = {
  readonly free: number;
  readonly blocks?: number;
  readonly tags: Tags;
  /** Another VPC than the instance's. */
  readonly vpcId?: string;
};

/** Called before and after each step that leaves the process; what it returns is awaited. */
export type Hook = (step: string) => Promise<void> | void;

export class FakeCloud {
  readonly clock: TestClock;
  readonly enis = new Map<string, Ec2Eni>();
  readonly subnets = new Map<string, FakeSubnet>([['subnet-a', { free: 1000, tags: {} }]]);
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

  /** All that EC2 knows, for {@link FakeCloud.restored}: the cloud goes on when the process ends that it was in. */
  saved(): string {
    const { clock, enis, subnets } = this;
    const now = clock.now();
    return JSON.stringify({ now, enis: [...enis], subnets: [...subnets], next: this.#next });
  }

  /** A cloud as it was saved, at the time it was saved; what was under way in it starts again. */
  static async restored(clock: TestClock, saved: string): Promise<FakeCloud> {
    const { now, enis, subnets, next } = JSON.parse(saved);
    await clock.advance(now - clock.now());
    const cloud = new FakeCloud(clock);
    cloud.enis.clear();
    for (const [id, eni] of enis) cloud.enis.set(id, eni);
    for (const [id, subnet] of subnets) cloud.subnets.set(id, subnet);
    cloud.#next = next;
    cloud.#changed();
    for (const { id, attachment } of cloud.enis.values()) {
      if (attachment?.status === 'attaching') cloud.#finishAttaching(id);
      if (attachment?.status === 'detaching') clock.sleep(DETACH_TIME).then(() => cloud.detach(id));
    }
    return cloud;
  }

  #finishAttaching(id: string): void {
    this.clock.sleep(ATTACH_TIME).then(() => {
      const now = this.enis.get(id)?.attachment;
      if (now) this.change(id, { attachment: { ...now, status: 'attached' } });
    });
  }

  /** Adds an ENI as somebody else would; attached when it has a device number. */
  add(eni: {
    id: string;
    subnetId: string;
    addresses: readonly Ipv4[];
    prefixes?: readonly Ipv4Cidr[];
    securityGroups?: readonly string[];
    tags: Tags;
    description: string;
    device?: number;
    type?: string;
  }): Ec2Eni {
    const n = this.#next++;
    const made: Ec2Eni = {
      id: eni.id,
      subnetId: eni.subnetId,
      mac: `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`,
      description: eni.description,
      type: eni.type ?? 'interface',
      primaryIp: this.address(),
      addresses: eni.addresses,
      prefixes: eni.prefixes ?? [],
      securityGroups: eni.securityGroups ?? ['sg-1'],
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

  prefix(): Ipv4Cidr {
    return cidrOf(addressAt(parseIpv4Cidr('10.0.128.0/17'), 16 * this.#next++), 28);
  }

  change(id: string, change: Partial<Ec2Eni>): void {
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
        vpcId: VPC,
        securityGroups: eni.securityGroups,
        primaryIp: eni.primaryIp,
        addresses: eni.addresses,
        prefixes: eni.prefixes,
      }))
      .sort((a, b) => a.deviceNumber - b.deviceNumber);
  }
}

const explain = (code: string, operation: string, target: string): AwsError =>
  explainAwsError(Object.assign(new Error(code), { name: code }), { operation, target });

const NEVER = new Promise<never>(() => {});

export class Session implements Ec2, InstanceMetadata, CheckpointStore, Pick<NodeNetwork, 'setEnis'> {
  readonly name = '/disk/ipam.json';
  /** Of so many addresses or prefixes that are asked for, or given back, how many EC2 deals with. */
  grant: (count: number) => number = (count) => count;
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

  async unattachedEnis(tags: Readonly<Record<string, string | undefined>>, vpcId: string): Promise<Ec2Eni[]> {
    return this.#step('DescribeNetworkInterfaces', () =>
      [...this.#cloud.enis.values()].filter(
        (eni) =>
          !eni.attachment &&
          (this.#cloud.subnets.get(eni.subnetId)?.vpcId ?? VPC) === vpcId &&
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

  async limits(type: string): Promise<TypeLimits> {
    return this.#step('DescribeInstanceTypes', () => instanceLimits(type)!);
  }

  async createEni({ subnetId, securityGroups, slots, tags, description }: NewEni): Promise<Ec2Eni> {
    return this.#step('CreateNetworkInterface', () => {
      const { kind, count } = slots;
      this.#takeFrom(subnetId, kind === 'address' ? count + 1 : 1, kind === 'prefix' ? count : 0);
      const addresses = Array.from({ length: kind === 'address' ? count : 0 }, () => this.#cloud.address());
      const prefixes = Array.from({ length: kind === 'prefix' ? count : 0 }, () => this.#cloud.prefix());
      const id = `eni-${this.#cloud.enis.size}-${this.#cloud.clock.now()}`;
      return this.#cloud.add({ id, subnetId, securityGroups, addresses, prefixes, tags, description });
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
      this.#takeFrom(eni.subnetId, -1 - eni.addresses.length, -eni.prefixes.length);
    });
  }

  async assignAddresses(id: string, count: number): Promise<Ipv4[]> {
    return this.#step('AssignPrivateIpAddresses', () => {
      const eni = this.#roomFor(id, count);
      const granted = this.grant(count);
      this.#takeFrom(eni.subnetId, granted);
      const added = Array.from({ length: granted }, () => this.#cloud.address());
      this.#cloud.change(id, { addresses: [...eni.addresses, ...added] });
      return added;
    });
  }

  async unassignAddresses(id: string, addresses: readonly Ipv4[]): Promise<void> {
    return this.#step('UnassignPrivateIpAddresses', () => {
      const eni = this.#cloud.enis.get(id)!;
      const gone = addresses.slice(0, this.grant(addresses.length));
      this.#cloud.change(id, { addresses: eni.addresses.filter((address) => !gone.includes(address)) });
      this.#takeFrom(eni.subnetId, -gone.length);
      if (gone.length < addresses.length) throw explain('InternalError', 'Unassign', id);
    });
  }

  async assignPrefixes(id: string, count: number): Promise<Ipv4Cidr[]> {
    return this.#step('AssignPrivateIpAddresses', () => {
      const eni = this.#roomFor(id, count);
      const granted = this.grant(count);
      this.#takeFrom(eni.subnetId, 0, granted);
      const added = Array.from({ length: granted }, () => this.#cloud.prefix());
      this.#cloud.change(id, { prefixes: [...eni.prefixes, ...added] });
      return added;
    });
  }

  async unassignPrefixes(id: string, prefixes: readonly Ipv4Cidr[]): Promise<void> {
    return this.#step('UnassignPrivateIpAddresses', () => {
      const eni = this.#cloud.enis.get(id)!;
      const gone = prefixes.slice(0, this.grant(prefixes.length));
      this.#cloud.change(id, { prefixes: eni.prefixes.filter((prefix) => !gone.includes(prefix)) });
      this.#takeFrom(eni.subnetId, 0, -gone.length);
      if (gone.length < prefixes.length) throw explain('InternalError', 'Unassign', id);
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

  #roomFor(id: string, count: number): Ec2Eni {
    const eni = this.#cloud.enis.get(id)!;
    if (eni.addresses.length + eni.prefixes.length + count > 5)
      throw explain('PrivateIpAddressLimitExceeded', 'Assign', id);
    return eni;
  }

  #takeFrom(subnetId: string, addresses: number, prefixes = 0): void {
    const subnet = this.#cloud.subnets.get(subnetId)!;
    if (subnet.free < addresses) throw explain('InsufficientFreeAddressesInSubnet', 'Create', subnetId);
    const { blocks = Math.floor(subnet.free / 16) } = subnet;
    if (blocks < prefixes) throw explain('InsufficientCidrBlocks', 'Create', subnetId);
    this.#cloud.subnets.set(subnetId, {
      ...subnet,
      free: subnet.free - addresses - 16 * prefixes,
      ...(subnet.blocks !== undefined && { blocks: subnet.blocks - prefixes }),
    });
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
