import type { ClusterPod } from '../../cluster/pods.ts';
import { Capture, line } from '../capture.ts';
import type { Check } from '../check.ts';

/** Whatever a tunnel could hide in: UDP (VXLAN, Geneve, WireGuard), IP in IP, GRE, IPsec. */
const FILTER = 'icmp or udp or ip proto 4 or ip proto 47 or ip proto 50 or ip proto 41';

export const podToPod: Check = {
  name: 'Pod to pod across nodes: plain IP, no encapsulation, no NAT',
  async run({ lab, pods, evidence }) {
    const target = await pods.find('blue-1');
    for (const { source, eni } of [
      { source: await pods.find('red-1'), eni: 'eth0' },
      { source: await pods.find('red-6'), eni: 'eth1' },
    ]) {
      await using near = await Capture.start(lab, 'node-1', FILTER);
      await using far = await Capture.start(lab, 'node-2', FILTER);
      const ping = await lab.run(source.name, ['ping', '-c', '2', '-i', '0.1', '-W', '2', target.address]);
      evidence.expect(
        ping.status === 0,
        `${source.name} (${source.address}) reaches ${target.name} (${target.address})`,
      );

      const request = says(source, target, 'echo request');
      const reply = says(target, source, 'echo reply');
      const seen = [
        await near.find(source.hostInterface, 'In', request),
        await near.find(eni, 'Out', request),
        await far.find('eth0', 'In', request),
        await far.find(target.hostInterface, 'Out', request),
        await far.find('eth0', 'Out', reply),
        await near.find(eni, 'In', reply),
      ];
      evidence.show(
        `node-1, then node-2 and back: tcpdump -i any`,
        seen.map(
          (packet, hop) =>
            `${[0, 1, 5].includes(hop) ? 'node-1' : 'node-2'}: ${packet ? line(packet) : 'NOTHING'}`,
        ),
      );
      evidence.expect(
        seen.every(Boolean),
        `the same packet ${source.address} > ${target.address} leaves node-1 by ${eni} and enters node-2 by eth0`,
      );
      const others = [...near.packets, ...far.packets].filter(
        ({ link, text }) => /^eth\d/.test(link) && !request.test(text) && !reply.test(text),
      );
      evidence.expect(
        others.length === 0,
        `nothing else was on the ENIs: no tunnel, no other address${others[0] ? `; seen: ${line(others[0])}` : ''}`,
      );
    }
  },
};

const says = (from: ClusterPod, to: ClusterPod, what: string) =>
  new RegExp(`^IP ${RegExp.escape(from.address)} > ${RegExp.escape(to.address)}: ICMP ${what}`);
