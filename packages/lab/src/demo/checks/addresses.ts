import { DescribeNetworkInterfacesCommand, type EC2Client, type NetworkInterface } from '@aws-sdk/client-ec2';
import { contains, parseIpv4, parseIpv4Cidr } from '@enid/ip';
import { until } from '../../base/until.ts';
import type { ClusterNode } from '../../cluster/node.ts';
import type { Check } from '../check.ts';

/** The ENIs of a node as EC2 has them, by device number. */
async function enisOf(ec2: EC2Client, node: ClusterNode): Promise<NetworkInterface[]> {
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

/** A pod in the node's own network, as aws-node and kube-proxy are. */
const HOST_NETWORK = {
  hostNetwork: true,
  containers: [{ name: 'agnhost', image: 'registry.k8s.io/e2e-test-images/agnhost:2.53', args: ['netexec'] }],
};

export const addresses: Check = {
  name: 'Pods have addresses of the VPC, from the subnet of their node',
  async run({ lab, red, blue, pods, ec2, evidence }) {
    const first = await pods.add(red.record, 'red-1');
    const other = await pods.add(blue.record, 'blue-1');
    for (const [pod, { record }] of [
      [first, red],
      [other, blue],
    ] as const) {
      const subnet = lab.record.topology.subnets.find(({ name }) => name === record.subnet)!;
      evidence.expect(
        [pod.address, record.address].every((a) => contains(parseIpv4Cidr(subnet.cidr), parseIpv4(a))),
        `pod ${pod.name} (${pod.address}) and ${record.name} (${record.address}) are both in ${subnet.name}, ${subnet.cidr}`,
      );
    }

    const enis = await until(
      () => enisOf(ec2, red),
      (all) => all.length === 2 && all.every((eni) => eni.Attachment!.Status === 'attached'),
      `a second ENI at ${red.record.name}`,
    );
    evidence.show(
      `${red.record.name}, a t3.medium with its first pods, as EC2 describes it`,
      enis.map(describe),
    );
    evidence.expect(
      enis.every((eni) => secondaries(eni).length === 5),
      'the first pods brought a secondary ENI, and ENI0 and ENI1 carry 5 secondary addresses each',
    );
    evidence.expect(secondaries(enis[0]!).includes(first.address), `${first.name} has one of ENI0's`);

    const host = await pods.add(red.record, 'red-host', HOST_NETWORK);
    evidence.expect(
      host.address === red.record.address,
      `a host-network pod has the node's address, ${host.address}`,
    );
    for (const { what, url, says } of [
      { what: 'it', url: `http://${host.address}:8080/hostname`, says: red.record.dnsName },
      { what: 'the host-network agent', url: `http://${host.address}:61678/metrics`, says: 'awscni_' },
    ]) {
      const answer = await lab.run('blue-1', ['curl', '-sS', '--max-time', '5', url]);
      evidence.expect(
        answer.status === 0 && answer.stdout.includes(says),
        `${what} answers at that address (${url} from pod blue-1)`,
      );
    }
    await pods.delete('red-host');
  },
};
