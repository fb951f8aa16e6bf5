import { DescribeNetworkInterfacesCommand, type EC2Client, type NetworkInterface } from '@aws-sdk/client-ec2';
import { contains, parseIpv4, parseIpv4Cidr } from '@enid/ip';
import type { LabNode } from '../../lab/node.ts';
import { until } from '../../lab/until.ts';
import type { Check } from '../check.ts';

/** The ENIs of a node as EC2 has them, by device number. */
async function enisOf(ec2: EC2Client, node: LabNode): Promise<NetworkInterface[]> {
  const { NetworkInterfaces } = await ec2.send(
    new DescribeNetworkInterfacesCommand({
      Filters: [{ Name: 'attachment.instance-id', Values: [node.record.instanceId] }],
    }),
  );
  return NetworkInterfaces!.sort((a, b) => a.Attachment!.DeviceIndex! - b.Attachment!.DeviceIndex!);
}

const secondaries = (eni: NetworkInterface) =>
  eni.PrivateIpAddresses!.filter((address) => !address.Primary).map((address) => address.PrivateIpAddress!);

const describe = (eni: NetworkInterface) =>
  `ENI${eni.Attachment!.DeviceIndex} ${eni.NetworkInterfaceId} ${eni.PrivateIpAddress} + ${secondaries(eni).join(' ')}`;

export const addresses: Check = {
  name: 'Pods have addresses of the VPC, from the subnet of their node',
  async run({ lab, ec2, evidence }) {
    const [red, blue] = lab.nodes as [LabNode, LabNode];
    const before = await enisOf(ec2, red);
    evidence.show(`${red.name} without pods, as EC2 describes it`, before.map(describe));
    evidence.expect(
      before.length === 1 && secondaries(before[0]!).length === 5,
      `a t3.medium without pods has its primary ENI alone, with 5 warm secondary addresses`,
    );

    const first = await lab.pods.add(red, 'red-1');
    const other = await lab.pods.add(blue, 'blue-1');
    for (const [pod, node] of [
      [first, red],
      [other, blue],
    ] as const) {
      const subnet = lab.record.topology.subnets.find(({ name }) => name === node.record.subnet)!;
      evidence.expect(
        [pod.address, node.record.address].every((a) => contains(parseIpv4Cidr(subnet.cidr), parseIpv4(a))),
        `pod ${pod.name} (${pod.address}) and ${node.name} (${node.record.address}) are both in ${subnet.name}, ${subnet.cidr}`,
      );
    }

    const after = await until(
      () => enisOf(ec2, red),
      (enis) => enis.length === 2 && enis.every((eni) => eni.Attachment!.Status === 'attached'),
      `a second ENI at ${red.name}`,
    );
    evidence.show(`${red.name} with its first pod`, after.map(describe));
    evidence.expect(
      after.every((eni) => secondaries(eni).length === 5),
      'the first pod brought a secondary ENI, and ENI0 and ENI1 carry 5 secondary addresses each',
    );
    evidence.expect(secondaries(after[0]!).includes(first.address), `${first.name} has one of ENI0's`);

    await lab.startWhoami(red);
    for (const { what, url } of [
      { what: 'a host-network pod', url: `http://${red.record.address}:8080/` },
      { what: 'the host-network agent', url: `http://${red.record.address}:61678/metrics` },
    ]) {
      const answer = await lab.run('blue-1', ['curl', '-sS', '--max-time', '5', url]);
      evidence.expect(
        answer.status === 0 &&
          (answer.stdout.includes('awscni_') || answer.stdout.includes(red.record.address)),
        `${what} on ${red.name} answers at the node's own address (${url} from pod blue-1)`,
      );
    }
  },
};
