/** Keeps the security groups of nodes and pods open for load balancers, for all bindings together. */
import { DescribeSecurityGroupsCommand, type EC2Client, type SecurityGroup } from '@aws-sdk/client-ec2';
import { authorizeIngress, ingressRuleKey, ingressRulesOf, revokeIngress } from '../aws/ingress-rules.ts';
import type { SecurityGroupRule } from '../model/stack.ts';
import { mergeRules } from './merge-rules.ts';

/** By which rules of ours are known, those of the AWS Load Balancer Controller among them; others are left alone. */
export const DESCRIPTION = 'elbv2.k8s.aws/targetGroupBinding=shared';

/** What a binding needs of each security group, by the group's id. */
export type NeededRules = ReadonlyMap<string, readonly SecurityGroupRule[]>;

export type TargetAccessOptions = {
  readonly ec2: EC2Client;
  readonly vpcId: string;
  readonly clusterName: string;
  /** Whether the needs of all bindings are known: until then nothing is taken away. */
  readonly isComplete: () => boolean;
};

export class TargetAccess {
  readonly #options: TargetAccessOptions;
  /** By the key of the binding. */
  readonly #needs = new Map<string, NeededRules>();
  /** By the key of the binding: groups that it may need more of than it can say. */
  readonly #undecided = new Map<string, ReadonlySet<string>>();
  /** Groups that may have rules too many. */
  readonly #stale = new Set<string>();
  #hasLooked = false;
  /** The last turn that has begun, and the one after it, with the groups that are to be looked at in it. */
  #turn: Promise<void> = Promise.resolve();
  #next: { readonly groups: Set<string>; readonly done: Promise<void> } | undefined;

  constructor(options: TargetAccessOptions) {
    this.#options = options;
  }

  /**
   * Says what a binding needs, and opens the groups before it returns.
   * @param needs nothing when the binding is gone.
   * @param undecided groups of which is not known what the binding needs: they lose no rule meanwhile.
   * @throws what the SDK throws; all that is missing is made up for by the next call.
   */
  need(binding: string, needs: NeededRules, undecided: ReadonlySet<string> = new Set()): Promise<void> {
    for (const known of [this.#needs, this.#undecided])
      for (const group of known.get(binding)?.keys() ?? []) this.#stale.add(group);
    if (needs.size > 0) this.#needs.set(binding, needs);
    else this.#needs.delete(binding);
    if (undecided.size > 0) this.#undecided.set(binding, undecided);
    else this.#undecided.delete(binding);
    // One after another: two that read the same group at a time would open it twice. Who comes meanwhile shares the next turn.
    const next = this.#next ?? this.#begin();
    for (const group of needs.keys()) next.groups.add(group);
    return next.done;
  }

  #begin() {
    const groups = new Set<string>();
    const done = this.#turn.then(() => {
      this.#next = undefined;
      return this.#apply(groups);
    });
    this.#turn = done.catch(() => {});
    this.#next = { groups, done };
    return this.#next;
  }

  async #apply(asked: ReadonlySet<string>): Promise<void> {
    const { isComplete } = this.#options;
    const clean = isComplete();
    if (clean && !this.#hasLooked) {
      // What an earlier process has opened.
      for (const { GroupId } of await this.#describe(this.#ofCluster)) this.#stale.add(GroupId!);
      this.#hasLooked = true;
    }
    // What becomes stale meanwhile is for the next turn.
    const stale = clean ? [...this.#stale] : [];
    for (const id of stale) this.#stale.delete(id);
    const ids = new Set([...asked, ...stale]);
    if (ids.size === 0) return;
    try {
      const groups = await this.#describe({ Name: 'group-id', Values: [...ids] });
      for (const group of groups) await this.#match(group, clean);
    } catch (error) {
      for (const id of stale) this.#stale.add(id);
      throw error;
    }
  }

  /** Opens a group for all that is needed of it before it closes what is not. */
  async #match(group: SecurityGroup, clean: boolean): Promise<void> {
    const { ec2 } = this.#options;
    const id = group.GroupId!;
    const there = ingressRulesOf(group);
    const wanted = mergeRules([...this.#needs.values()].flatMap((needs) => needs.get(id) ?? []));
    const have = new Set(there.map(ingressRuleKey));
    const want = new Set(wanted.map(ingressRuleKey));
    const missing = wanted.filter((rule) => !have.has(ingressRuleKey(rule)));
    await authorizeIngress(
      ec2,
      id,
      missing.map((rule) => ({ ...rule, description: DESCRIPTION })),
    );
    if (!clean || [...this.#undecided.values()].some((groups) => groups.has(id))) return;
    const extra = there.filter((rule) => rule.description === DESCRIPTION && !want.has(ingressRuleKey(rule)));
    await revokeIngress(ec2, id, extra);
  }

  get #ofCluster() {
    return { Name: 'tag-key', Values: [`kubernetes.io/cluster/${this.#options.clusterName}`] };
  }

  async #describe(filter: { Name: string; Values: string[] }): Promise<SecurityGroup[]> {
    const { ec2, vpcId } = this.#options;
    const { SecurityGroups = [] } = await ec2.send(
      new DescribeSecurityGroupsCommand({ Filters: [{ Name: 'vpc-id', Values: [vpcId] }, filter] }),
    );
    return SecurityGroups;
  }
}
