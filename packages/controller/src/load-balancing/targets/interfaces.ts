/** Which security group guards a target: that of the network interface which has its address. */
import { DescribeNetworkInterfacesCommand, type EC2Client, type NetworkInterface } from '@aws-sdk/client-ec2';
import { contains, type Ipv4, parseIpv4Cidr } from '@enid/ip';
import { type Clock, systemClock } from '@enid/kube';
import type { AccountSecurityGroup } from '../model/account.ts';

type Found = { readonly interfaces: readonly NetworkInterface[]; readonly at: number };

/** Groups of an interface change seldom, addresses are looked up anew when one is missing; in milliseconds. */
const LIFETIME = 300_000;
/** As many values as a filter of EC2 may have. */
const BATCH = 200;

/** The interfaces of instances, remembered for some minutes. */
export class InstanceInterfaces {
  readonly #ec2: EC2Client;
  readonly #clock: Clock;
  readonly #byInstance = new Map<string, Found>();

  constructor(ec2: EC2Client, clock: Clock = systemClock) {
    this.#ec2 = ec2;
    this.#clock = clock;
  }

  /**
   * The security groups that guard addresses, by address: those of the instances' interfaces that have them, as addresses of
   * their own or in delegated prefixes. Without an address, those of an instance's primary interface, by instance id.
   * @returns nothing for an address that no interface has.
   */
  async groupsOf(
    targets: readonly { readonly instance: string; readonly address?: string }[],
  ): Promise<Map<string, readonly string[]>> {
    const instances = [...new Set(targets.map(({ instance }) => instance))];
    await this.#look(instances.filter((instance) => !this.#known(instance)));
    const isMissing = ({ instance, address }: (typeof targets)[number]) => !this.#find(instance, address);
    await this.#look([...new Set(targets.filter(isMissing).map(({ instance }) => instance))]);
    return new Map(
      targets.flatMap(({ instance, address }) => {
        const groups = this.#find(instance, address)?.Groups?.map(({ GroupId }) => GroupId!);
        return groups ? [[address ?? instance, groups]] : [];
      }),
    );
  }

  #known(instance: string): boolean {
    const found = this.#byInstance.get(instance);
    return found !== undefined && this.#clock.now() - found.at < LIFETIME;
  }

  #find(instance: string, address: string | undefined): NetworkInterface | undefined {
    const { interfaces = [] } = this.#byInstance.get(instance) ?? {};
    return interfaces.find((eni) =>
      address === undefined ? eni.Attachment?.DeviceIndex === 0 : owns(eni, address as Ipv4),
    );
  }

  async #look(instances: readonly string[]): Promise<void> {
    for (let i = 0; i < instances.length; i += BATCH) {
      const Values = instances.slice(i, i + BATCH);
      const found: NetworkInterface[] = [];
      let NextToken: string | undefined;
      do {
        const answer = await this.#ec2.send(
          new DescribeNetworkInterfacesCommand({
            Filters: [{ Name: 'attachment.instance-id', Values }],
            ...(NextToken && { NextToken }),
          }),
        );
        found.push(...(answer.NetworkInterfaces ?? []));
        NextToken = answer.NextToken;
      } while (NextToken);
      const at = this.#clock.now();
      for (const instance of Values) {
        const interfaces = found.filter(({ Attachment }) => Attachment?.InstanceId === instance);
        this.#byInstance.set(instance, { interfaces, at });
      }
    }
  }
}

function owns({ PrivateIpAddresses = [], Ipv4Prefixes = [] }: NetworkInterface, address: Ipv4): boolean {
  return (
    PrivateIpAddresses.some(({ PrivateIpAddress }) => PrivateIpAddress === address) ||
    Ipv4Prefixes.some(({ Ipv4Prefix }) => contains(parseIpv4Cidr(Ipv4Prefix!), address))
  );
}

/** Which of an interface's groups gets rules cannot be told. The message says how to choose one. */
export class AmbiguousGroups extends Error {}

/**
 * The one group of an interface that gets rules: the only one, or of several the one that is tagged for the cluster.
 * @throws {AmbiguousGroups}
 */
export function groupForRules(
  groups: readonly string[],
  all: readonly AccountSecurityGroup[],
  clusterName: string,
): string {
  if (groups.length === 1) return groups[0]!;
  const tag = `kubernetes.io/cluster/${clusterName}`;
  const tagged = groups.filter((id) => all.some((group) => group.id === id && tag in group.tags));
  if (tagged.length === 1) return tagged[0]!;
  const have = tagged.length === 0 ? 'none of them is' : `${tagged.join(' and ')} are`;
  throw new AmbiguousGroups(
    `a network interface has the security groups ${groups.join(', ')} and ${have} tagged ${tag}: tag exactly one of them, to which rules for load balancers are added`,
  );
}
