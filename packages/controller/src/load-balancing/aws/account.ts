/** What the account has, asked of AWS and remembered for a moment. */
import { paginateListCertificates } from '@aws-sdk/client-acm';
import {
  DescribeVpcsCommand,
  paginateDescribeSecurityGroups,
  paginateDescribeSubnets,
} from '@aws-sdk/client-ec2';
import {
  DescribeAccountLimitsCommand,
  DescribeTargetGroupsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { type Ipv4Cidr, parseIpv4Cidr } from '@enid/ip';
import { type Clock, systemClock } from '@enid/kube';
import { mapOf } from '../deploy/words.ts';
import type {
  Account,
  AccountCertificate,
  AccountLimits,
  AccountLoadBalancer,
  AccountSecurityGroup,
  AccountSubnet,
} from '../model/account.ts';
import type { StackId } from '../model/stack.ts';
import type { AwsClients } from './clients.ts';
import { AwsError } from './error.ts';

export type AwsAccountOptions = {
  readonly aws: AwsClients;
  readonly vpcId: string;
  readonly loadBalancerOf: (id: StackId) => Promise<AccountLoadBalancer | undefined>;
  readonly clock?: Clock;
};

/** For so long an answer holds, in milliseconds, unless it is {@link AwsAccount.forget forgotten}. */
const LIFETIME = 15_000;

/** What an account has that was not asked for more. */
const USUAL: AccountLimits = { listeners: 50, rules: 100, targetGroups: 100, certificates: 25 };

export class AwsAccount implements Account {
  readonly vpcId: string;
  readonly loadBalancerOf: Account['loadBalancerOf'];
  readonly #aws: AwsClients;
  readonly #clock: Clock;
  readonly #answers = new Map<string, { readonly at: number; readonly answer: Promise<unknown> }>();

  constructor({ aws, vpcId, loadBalancerOf, clock = systemClock }: AwsAccountOptions) {
    this.vpcId = vpcId;
    this.loadBalancerOf = loadBalancerOf;
    this.#aws = aws;
    this.#clock = clock;
  }

  vpcCidrs(): Promise<readonly Ipv4Cidr[]> {
    return this.#remember('vpcCidrs', async () => {
      const { Vpcs = [] } = await this.#aws.ec2.send(new DescribeVpcsCommand({ VpcIds: [this.vpcId] }));
      const blocks = Vpcs.flatMap(({ CidrBlockAssociationSet = [] }) => CidrBlockAssociationSet);
      return blocks
        .filter(({ CidrBlockState }) => CidrBlockState?.State === 'associated')
        .map(({ CidrBlock }) => parseIpv4Cidr(CidrBlock!));
    });
  }

  subnets(): Promise<readonly AccountSubnet[]> {
    return this.#remember('subnets', async () => {
      const found: AccountSubnet[] = [];
      for await (const { Subnets = [] } of paginateDescribeSubnets(
        { client: this.#aws.ec2 },
        this.#ofVpc(),
      )) {
        found.push(
          ...Subnets.map((subnet) => ({
            id: subnet.SubnetId!,
            zone: subnet.AvailabilityZone ?? '',
            cidr: parseIpv4Cidr(subnet.CidrBlock!),
            freeAddresses: subnet.AvailableIpAddressCount ?? 0,
            tags: mapOf(subnet.Tags),
          })),
        );
      }
      return found;
    });
  }

  securityGroups(): Promise<readonly AccountSecurityGroup[]> {
    return this.#remember('securityGroups', async () => {
      const found: AccountSecurityGroup[] = [];
      const pages = paginateDescribeSecurityGroups({ client: this.#aws.ec2 }, this.#ofVpc());
      for await (const { SecurityGroups = [] } of pages) {
        found.push(
          ...SecurityGroups.map((group) => ({
            id: group.GroupId!,
            name: group.GroupName ?? '',
            tags: mapOf(group.Tags),
          })),
        );
      }
      return found;
    });
  }

  certificates(): Promise<readonly AccountCertificate[]> {
    return this.#remember('certificates', async () => {
      const found: AccountCertificate[] = [];
      const pages = paginateListCertificates(
        { client: this.#aws.acm },
        { CertificateStatuses: ['ISSUED'], Includes: { keyTypes: KEY_TYPES } },
      );
      for await (const { CertificateSummaryList = [] } of pages) {
        for (const summary of CertificateSummaryList) {
          const { DomainName = '', SubjectAlternativeNameSummaries: more = [] } = summary;
          found.push({
            arn: summary.CertificateArn!,
            names: [...new Set([DomainName, ...more])],
            importedOrIssuedAt: (summary.ImportedAt ?? summary.IssuedAt ?? summary.CreatedAt)?.getTime() ?? 0,
          });
        }
      }
      return found;
    });
  }

  limits(): Promise<AccountLimits> {
    return this.#remember('limits', async () => {
      const limits = new Map<string, number>();
      let Marker: string | undefined;
      do {
        const input = Marker === undefined ? {} : { Marker };
        const answer = await this.#aws.elb.send(new DescribeAccountLimitsCommand(input));
        for (const { Name = '', Max } of answer.Limits ?? []) limits.set(Name, Number(Max));
        Marker = answer.NextMarker;
      } while (Marker !== undefined);
      const of = (name: string, usual: number) =>
        limits.get(`${name}-per-application-load-balancer`) ?? usual;
      return {
        listeners: of('listeners', USUAL.listeners),
        rules: of('rules', USUAL.rules),
        targetGroups: of('target-groups', USUAL.targetGroups),
        certificates: of('certificates', USUAL.certificates),
      };
    });
  }

  targetGroupArn(name: string): Promise<string | undefined> {
    return this.#remember(`targetGroupArn ${name}`, async () => {
      try {
        const { TargetGroups } = await this.#aws.elb.send(new DescribeTargetGroupsCommand({ Names: [name] }));
        return TargetGroups?.[0]?.TargetGroupArn;
      } catch (error) {
        if (error instanceof AwsError && error.isNotFound) return undefined;
        throw error;
      }
    });
  }

  /** Answers to what was asked before a time are not given any more. @returns whether there were any. */
  forget(before: number): boolean {
    const old = [...this.#answers].filter(([, { at }]) => at < before);
    for (const [question] of old) this.#answers.delete(question);
    return old.length > 0;
  }

  #ofVpc() {
    return { Filters: [{ Name: 'vpc-id', Values: [this.vpcId] }] };
  }

  /** One question at a time, for all who ask; a failure is not remembered. */
  #remember<Answer>(question: string, ask: () => Promise<Answer>): Promise<Answer> {
    const now = this.#clock.now();
    const known = this.#answers.get(question);
    if (known && now - known.at < LIFETIME) return known.answer as Promise<Answer>;
    const answer = ask();
    this.#answers.set(question, { at: now, answer });
    answer.catch(() => {
      if (this.#answers.get(question)?.answer === answer) this.#answers.delete(question);
    });
    return answer;
  }
}

/** Without them ACM lists certificates of RSA with 1024 and 2048 bits alone. */
const KEY_TYPES = [
  'RSA_1024' as const,
  'RSA_2048' as const,
  'RSA_3072' as const,
  'RSA_4096' as const,
  'EC_prime256v1' as const,
  'EC_secp384r1' as const,
  'EC_secp521r1' as const,
];
