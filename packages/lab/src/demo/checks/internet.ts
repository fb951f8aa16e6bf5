import { DescribeInstancesCommand, DescribeNatGatewaysCommand } from '@aws-sdk/client-ec2';
import { until } from '../../base/until.ts';
import type { ClusterNode } from '../../cluster/node.ts';
import type { ClusterPod } from '../../cluster/pods.ts';
import { INTERNET_SERVER } from '../../internet/server.ts';
import { Capture, line } from '../capture.ts';
import type { Check, Demo } from '../check.ts';

export const internet: Check = {
  name: 'Pod to internet: SNAT to the node, or external SNAT at the NAT gateway',
  async run(demo) {
    const { lab, red, blue, pods, ec2 } = demo;
    const { Reservations } = await ec2.send(
      new DescribeInstancesCommand({ InstanceIds: [red.record.instanceId] }),
    );
    const publicIp = Reservations![0]!.Instances![0]!.PublicIpAddress!;
    for (const name of ['red-1', 'red-6']) {
      await leaves(demo, {
        pod: await pods.find(name),
        node: red,
        as: red.record.address,
        seenAs: publicIp,
        because: `the public address of ${red.record.name}'s eth0 (${red.record.address})`,
      });
    }

    const { NatGateways } = await ec2.send(
      new DescribeNatGatewaysCommand({ NatGatewayIds: [lab.record.topology.natGatewayId] }),
    );
    const natIp = NatGateways![0]!.NatGatewayAddresses![0]!.PublicIp!;
    const pod = await pods.find('blue-1');
    await setExternalSnat(demo, 'true');
    await leaves(demo, {
      pod,
      node: blue,
      as: pod.address,
      seenAs: natIp,
      because: 'that of the NAT gateway',
    });
    await setExternalSnat(demo, 'false');
  },
};

const DAEMON_SET = '/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node';

type Rollout = {
  metadata: { generation: number };
  status: Record<
    'observedGeneration' | 'desiredNumberScheduled' | 'updatedNumberScheduled' | 'numberAvailable',
    number
  >;
};

/** As `kubectl set env daemonset/aws-node` and `kubectl rollout status` do. */
async function setExternalSnat({ client, evidence }: Demo, value: 'true' | 'false'): Promise<void> {
  const env = [{ name: 'AWS_VPC_K8S_CNI_EXTERNALSNAT', value }];
  const containers = [{ name: 'aws-node', env }];
  await client.patch(DAEMON_SET, { spec: { template: { spec: { containers } } } }, 'strategic');
  await until(
    () => client.get<Rollout>(DAEMON_SET),
    ({ metadata, status }) =>
      status.observedGeneration === metadata.generation &&
      [status.updatedNumberScheduled, status.numberAvailable].every(
        (n) => n === status.desiredNumberScheduled,
      ),
    'the aws-node DaemonSet to roll out',
    30_000,
  );
  evidence.expect(true, `aws-node rolled out with ${env[0]!.name}=${value}`);
}

/** Has a pod ask the internet's server who it is, and follows the packet out of the node. */
async function leaves(
  { lab, evidence }: Demo,
  expected: { pod: ClusterPod; node: ClusterNode; as: string; seenAs: string; because: string },
): Promise<void> {
  const { pod, as, seenAs, because } = expected;
  const { name } = expected.node.record;
  await using capture = await Capture.start(
    lab,
    name,
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
    `${name}# tcpdump -i any`,
    [entered, left].map((packet) => (packet ? line(packet) : 'NOTHING')),
  );
  evidence.expect(
    entered !== undefined && left !== undefined,
    as === pod.address
      ? `the packet leaves ${name} with the pod's own address`
      : `the packet leaves ${name} by eth0 as ${as}`,
  );
  evidence.expect(seen === seenAs, `the server sees ${seen}, ${because}`);
}
