/** A cloud for tests: on loopback alone, over a network that only takes note. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  AttachInternetGatewayCommand,
  CreateInternetGatewayCommand,
  CreateNetworkInterfaceCommand,
  type CreateNetworkInterfaceCommandInput,
  CreateSubnetCommand,
  CreateVpcCommand,
  DescribeSecurityGroupsCommand,
  EC2Client,
  ModifySubnetAttributeCommand,
  RunInstancesCommand,
  type RunInstancesCommandInput,
} from '@aws-sdk/client-ec2';
import type { Clock } from './clock.ts';
import { Cloud, type CloudOptions } from './cloud.ts';
import type { NetworkFabric } from './fabric.ts';
import type { CloudState } from './state.ts';

export const CREDENTIALS = { accessKeyId: 'AKIATEST000000000000', secretAccessKey: 'test-secret' };

/** A clock that stands until it is turned. */
export class TestClock implements Clock {
  #now = Date.now();
  readonly #timers = new Set<{ at: number; task: () => void }>();

  now(): number {
    return this.#now;
  }

  after(ms: number, task: () => void): () => void {
    const timer = { at: this.#now + ms, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Turns the clock, and lets what was due happen. */
  async advance(ms: number): Promise<void> {
    this.#now += ms;
    for (const timer of [...this.#timers].filter(({ at }) => at <= this.#now).sort((a, b) => a.at - b.at)) {
      this.#timers.delete(timer);
      timer.task();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A network that takes note of the states that it is to match, and refuses when it is told to. */
export class NullFabric implements NetworkFabric {
  readonly synced: CloudState[] = [];
  refusal: Error | undefined;

  async sync(state: CloudState): Promise<void> {
    const error = this.refusal;
    this.refusal = undefined;
    if (error) throw error;
    this.synced.push(state);
  }

  vpcNamespace(): undefined {
    return undefined;
  }
}

/** A directory that is gone after the test. */
export function temporaryDirectory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'enid-cloud-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export type TestCloud = {
  cloud: Cloud;
  ec2: EC2Client;
  clock: TestClock;
  fabric: NullFabric;
  stateDir: string;
};

/** A cloud that runs until the test is over, and a client of it that does not try again. */
export async function startCloud(t: TestContext, options: Partial<CloudOptions> = {}): Promise<TestCloud> {
  const clock = new TestClock();
  const fabric = new NullFabric();
  const stateDir = options.stateDir ?? temporaryDirectory(t);
  const cloud = new Cloud({ fabric, clock, stateDir, credentials: CREDENTIALS, ...options });
  await cloud.start();
  const ec2 = clientOf(cloud);
  t.after(async () => {
    ec2.destroy();
    await cloud.stop();
  });
  return { cloud, ec2, clock, fabric, stateDir };
}

export function clientOf(cloud: Cloud, credentials: object = CREDENTIALS): EC2Client {
  return new EC2Client({
    endpoint: cloud.endpoint,
    region: cloud.state.region,
    credentials: credentials as typeof CREDENTIALS,
    maxAttempts: 1,
  });
}

export type Network = { vpcId: string; subnetId: string; otherSubnetId: string; groupId: string };

/** A VPC, 10.0.0.0/16, with an internet gateway, a public subnet in zone a and a private one in zone b. */
export async function buildNetwork(ec2: EC2Client, cidrs = ['10.0.1.0/24', '10.0.2.0/24']): Promise<Network> {
  const { Vpc } = await ec2.send(new CreateVpcCommand({ CidrBlock: '10.0.0.0/16' }));
  const VpcId = Vpc!.VpcId!;
  const { InternetGateway } = await ec2.send(new CreateInternetGatewayCommand({}));
  const { InternetGatewayId } = InternetGateway!;
  await ec2.send(new AttachInternetGatewayCommand({ VpcId, InternetGatewayId }));
  const [subnetId, otherSubnetId] = await Promise.all(
    cidrs.map(async (CidrBlock, index) => {
      const AvailabilityZone = index === 0 ? 'us-east-1a' : 'us-east-1b';
      const { Subnet } = await ec2.send(new CreateSubnetCommand({ VpcId, CidrBlock, AvailabilityZone }));
      return Subnet!.SubnetId!;
    }),
  );
  await ec2.send(
    new ModifySubnetAttributeCommand({ SubnetId: subnetId, MapPublicIpOnLaunch: { Value: true } }),
  );
  const { SecurityGroups } = await ec2.send(
    new DescribeSecurityGroupsCommand({ Filters: [{ Name: 'vpc-id', Values: [VpcId] }] }),
  );
  return {
    vpcId: VpcId,
    subnetId: subnetId!,
    otherSubnetId: otherSubnetId!,
    groupId: SecurityGroups![0]!.GroupId!,
  };
}

/** Launches an instance and waits until it runs. @returns its id. */
export async function launch(
  { ec2, clock }: TestCloud,
  subnetId: string,
  more: Partial<RunInstancesCommandInput> = {},
): Promise<string> {
  const { Instances } = await ec2.send(
    new RunInstancesCommand({
      ImageId: 'ami-0123456789abcdef0',
      InstanceType: 't3.medium',
      MinCount: 1,
      MaxCount: 1,
      SubnetId: subnetId,
      ...more,
    }),
  );
  await clock.advance(0);
  return Instances![0]!.InstanceId!;
}

/** Makes an interface. @returns its id. */
export async function createInterface(
  { ec2 }: Pick<TestCloud, 'ec2'>,
  SubnetId: string,
  more: Partial<CreateNetworkInterfaceCommandInput> = {},
): Promise<string> {
  const { NetworkInterface } = await ec2.send(new CreateNetworkInterfaceCommand({ SubnetId, ...more }));
  return NetworkInterface!.NetworkInterfaceId!;
}
