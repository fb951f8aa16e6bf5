/** The targets of target groups, as ELBv2 has them. */
import {
  DeregisterTargetsCommand,
  DescribeTargetGroupsCommand,
  DescribeTargetHealthCommand,
  type ElasticLoadBalancingV2Client,
  RegisterTargetsCommand,
  type TargetHealth,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { contains, type Ipv4, type Ipv4Cidr } from '@enid/ip';
import type { TargetType } from './objects.ts';
import { type Target, targetKey } from './wanted-targets.ts';

export type TargetGroup = { readonly arn: string; readonly targetType: TargetType };

/** By {@link targetKey}. A target that is draining is none that can be counted on, but is there. */
export type RegisteredTargets = ReadonlyMap<string, Target & { readonly health: TargetHealth }>;

/** As many targets as a call may name without being refused for its size. */
const BATCH = 200;

/** Every method throws the SDK's errors, except that a target group which is not there is `undefined`, or has nothing to lose. */
export class TargetGroups {
  readonly #elb: ElasticLoadBalancingV2Client;
  /** By ARN or name. What is kept of them never changes. */
  readonly #known = new Map<string, TargetGroup>();

  constructor(elb: ElasticLoadBalancingV2Client) {
    this.#elb = elb;
  }

  /** A target group by its ARN or its name. */
  async find(by: { readonly arn: string } | { readonly name: string }): Promise<TargetGroup | undefined> {
    const key = 'arn' in by ? by.arn : by.name;
    const known = this.#known.get(key);
    if (known) return known;
    const input = 'arn' in by ? { TargetGroupArns: [by.arn] } : { Names: [by.name] };
    const answer = await unlessGone(this.#elb.send(new DescribeTargetGroupsCommand(input)));
    const [group] = answer?.TargetGroups ?? [];
    if (!group) return undefined;
    const found = { arn: group.TargetGroupArn!, targetType: group.TargetType as TargetType };
    this.#known.set(key, found);
    return found;
  }

  /** All targets and how they are; undefined when the group is gone. */
  async targets(arn: string): Promise<RegisteredTargets | undefined> {
    const answer = await unlessGone(this.#elb.send(new DescribeTargetHealthCommand({ TargetGroupArn: arn })));
    if (!answer) return this.#forget(arn);
    return new Map(
      answer.TargetHealthDescriptions!.map(({ Target, TargetHealth }) => {
        const target = { id: Target!.Id!, port: Target!.Port! };
        return [targetKey(target), { ...target, health: TargetHealth ?? {} }];
      }),
    );
  }

  /** @param vpc the VPC's blocks: an address outside of them is registered for all zones, as AWS wants it. */
  async register(arn: string, targets: readonly Target[], vpc: readonly Ipv4Cidr[]): Promise<void> {
    const zone = ({ id }: Target) =>
      id.startsWith('i-') || vpc.some((cidr) => contains(cidr, id as Ipv4))
        ? {}
        : { AvailabilityZone: 'all' };
    for (const batch of batches(targets)) {
      const Targets = batch.map((target) => ({ Id: target.id, Port: target.port, ...zone(target) }));
      await this.#elb.send(new RegisterTargetsCommand({ TargetGroupArn: arn, Targets }));
    }
  }

  async deregister(arn: string, targets: readonly Target[]): Promise<void> {
    for (const batch of batches(targets)) {
      const Targets = batch.map(({ id, port }) => ({ Id: id, Port: port }));
      await unlessGone(this.#elb.send(new DeregisterTargetsCommand({ TargetGroupArn: arn, Targets })));
    }
  }

  #forget(arn: string): undefined {
    for (const [key, group] of this.#known) if (group.arn === arn) this.#known.delete(key);
  }
}

function* batches(targets: readonly Target[]): Generator<readonly Target[]> {
  for (let i = 0; i < targets.length; i += BATCH) yield targets.slice(i, i + BATCH);
}

async function unlessGone<Answer>(answer: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await answer;
  } catch (error) {
    if ((error as Error).name === 'TargetGroupNotFoundException') return undefined;
    throw error;
  }
}
