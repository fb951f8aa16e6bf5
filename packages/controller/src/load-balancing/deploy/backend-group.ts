/** The security group that all load balancers of a cluster share, so that their targets let in one group for all of them. */
import { createHash } from 'node:crypto';
import { CreateSecurityGroupCommand, DeleteSecurityGroupCommand, type EC2Client } from '@aws-sdk/client-ec2';
import type { Clock } from '@enid/kube';
import { AwsError } from '../aws/error.ts';
import { BACKEND_SECURITY_GROUP, CLUSTER_TAG, SHARED_TAG } from '../model/identity.ts';
import type { Tags } from '../model/stack.ts';
import { LAG } from './lag.ts';
import { NotYet } from './not-yet.ts';
import { pairsOf } from './words.ts';

/** How it is made: `k8s-traffic-<cluster>-<digest>`, without a rule. */
export function backendGroup(clusterName: string): {
  readonly spec: { readonly name: string; readonly description: string };
  readonly tags: Tags;
} {
  const label = clusterName.replace(/[^a-zA-Z0-9-]/g, '').slice(0, 232);
  const digest = createHash('sha256').update(clusterName).digest('hex').slice(0, 10);
  return {
    spec: {
      name: `k8s-traffic-${label}-${digest}`,
      description: '[k8s] Shared Backend SecurityGroup for LoadBalancer',
    },
    tags: { [CLUSTER_TAG]: clusterName, [SHARED_TAG]: BACKEND_SECURITY_GROUP },
  };
}

/** Makes it when it is first needed, and takes it away when nobody needs it any more. One thing at a time. */
export class BackendGroup {
  readonly #ec2: EC2Client;
  readonly #vpcId: string;
  readonly #clusterName: string;
  readonly #clock: Clock;
  #id: string | undefined;
  /** When it was last made or deleted. */
  #changedAt = 0;
  /** Keys of the stacks that need it. */
  readonly #holders = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(ec2: EC2Client, vpcId: string, clusterName: string, clock: Clock) {
    this.#clock = clock;
    this.#ec2 = ec2;
    this.#vpcId = vpcId;
    this.#clusterName = clusterName;
  }

  /** Undefined while there is none. */
  get id(): string | undefined {
    return this.#id;
  }

  get isUnused(): boolean {
    return this.#id !== undefined && this.#holders.size === 0;
  }

  /** What the account had, as it was looked up from then on; it may have been changed since, and describing may be behind. */
  found(id: string | undefined, from: number): void {
    if (from > this.#changedAt + (id ? 0 : LAG)) this.#id = id;
  }

  /** It stays, or is to be made, as long as it is held. Resolves when it is not just being deleted. */
  async hold(stack: string): Promise<void> {
    this.#holders.add(stack);
    await this.#turn;
  }

  release(stack: string): void {
    this.#holders.delete(stack);
  }

  /** @returns its id. */
  make(): Promise<string> {
    return this.#next(async () => {
      if (this.#id) return this.#id;
      const { spec, tags } = backendGroup(this.#clusterName);
      const { GroupId } = await this.#ec2.send(
        new CreateSecurityGroupCommand({
          GroupName: spec.name,
          Description: spec.description,
          VpcId: this.#vpcId,
          TagSpecifications: [{ ResourceType: 'security-group', Tags: pairsOf(tags) }],
        }),
      );
      this.#set(GroupId!);
      return GroupId!;
    });
  }

  /** @throws {NotYet} while an interface or a rule still has it. */
  deleteIfUnused(): Promise<void> {
    return this.#next(async () => {
      if (!this.isUnused) return;
      try {
        await this.#ec2.send(new DeleteSecurityGroupCommand({ GroupId: this.#id! }));
      } catch (error) {
        if (!(error instanceof AwsError)) throw error;
        if (error.isInUse) throw new NotYet(error.message, { cause: error });
        if (!error.isNotFound) throw error;
      }
      this.#set(undefined);
    });
  }

  #set(id: string | undefined): void {
    this.#id = id;
    this.#changedAt = this.#clock.now();
  }

  #next<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}
