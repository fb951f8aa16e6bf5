import { DescribeInstancesCommand, DescribeNatGatewaysCommand } from '@aws-sdk/client-ec2';
import { INTERNET_SERVER } from '../../internet/server.ts';
import type { LabNode } from '../../lab/node.ts';
import type { Pod } from '../../lab/pod.ts';
import { Capture, line } from '../capture.ts';
import type { Check, Demo } from '../check.ts';

export const internet: Check = {
  name: 'Pod to internet: SNAT to the node, or external SNAT at the NAT gateway',
  async run(demo) {
    const { lab, ec2, evidence } = demo;
    const [red, blue] = lab.nodes as [LabNode, LabNode];
    const { Reservations } = await ec2.send(
      new DescribeInstancesCommand({ InstanceIds: [red.record.instanceId] }),
    );
    const publicIp = Reservations![0]!.Instances![0]!.PublicIpAddress!;
    for (const name of ['red-1', 'red-6']) {
      await leaves(demo, {
        pod: lab.pods.find(name)!,
        node: red,
        as: red.record.address,
        seenAs: publicIp,
        because: `the public address of ${red.name}'s eth0 (${red.record.address})`,
      });
    }

    const { NatGateways } = await ec2.send(
      new DescribeNatGatewaysCommand({ NatGatewayIds: [lab.record.topology.natGatewayId] }),
    );
    const natIp = NatGateways![0]!.NatGatewayAddresses![0]!.PublicIp!;
    const pod = lab.pods.find('blue-1')!;
    await blue.stopAgent();
    await blue.startAgent({ AWS_VPC_K8S_CNI_EXTERNALSNAT: 'true' });
    await leaves(demo, {
      pod,
      node: blue,
      as: pod.address,
      seenAs: natIp,
      because: 'that of the NAT gateway',
    });
    await blue.stopAgent();
    await blue.startAgent();
    evidence.expect(
      blue.agentPid !== undefined,
      `${blue.name} is back with the default, AWS_VPC_K8S_CNI_EXTERNALSNAT=false`,
    );
  },
};

/** Has a pod ask the internet's server who it is, and follows the packet out of the node. */
async function leaves(
  { lab, evidence }: Demo,
  expected: { pod: Pod; node: LabNode; as: string; seenAs: string; because: string },
): Promise<void> {
  const { pod, node, as, seenAs, because } = expected;
  await using capture = await Capture.start(
    lab,
    node.name,
    `tcp[tcpflags] & tcp-syn != 0 and host ${INTERNET_SERVER}`,
  );
  const answer = await lab.run(pod.name, ['curl', '-sS', '--max-time', '5', `http://${INTERNET_SERVER}/`]);
  evidence.expect(
    answer.status === 0,
    `${pod.name} (${pod.address}) reaches the internet${answer.stderr ? `: ${answer.stderr}` : ''}`,
  );
  const seen = JSON.parse(answer.stdout).client.address as string;
  const from = (address: string) =>
    new RegExp(`^IP ${RegExp.escape(address)}\\.\\d+ > ${RegExp.escape(INTERNET_SERVER)}\\.80: `);
  const entered = await capture.find(pod.hostInterface, 'In', from(pod.address));
  const left = await capture.find('eth0', 'Out', from(as));
  evidence.show(
    `${node.name}# tcpdump -i any`,
    [entered, left].map((packet) => (packet ? line(packet) : 'NOTHING')),
  );
  evidence.expect(
    entered !== undefined && left !== undefined,
    as === pod.address
      ? `the packet leaves ${node.name} with the pod's own address`
      : `the packet leaves ${node.name} by eth0 as ${as}`,
  );
  evidence.expect(seen === seenAs, `the server sees ${seen}, ${because}`);
}
