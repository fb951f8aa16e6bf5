/** The hops that a request takes, and with which addresses. */
import { INTERNET_GATEWAY_LINK } from '../../fabric/names.ts';
import type { Packet } from '../capture.ts';
import type { Zone } from './exposed.ts';
import type { Path } from './paths.ts';

export type Hop = {
  /** Where it is captured, as `lab exec` names it. */
  readonly at: string;
  readonly link: string;
  readonly direction: Packet['direction'];
  readonly from: string;
  readonly to: string;
  readonly port: number;
};

/** Who is on the way. */
export type Stations = {
  readonly client: string;
  /** The load balancer's zone that was asked. */
  readonly zone: Zone;
  /** The nodes, and on the second the pod, with the node's link to its ENI. */
  readonly first: { readonly name: string; readonly address: string };
  readonly second: { readonly name: string; readonly address: string };
  readonly pod: { readonly address: string; readonly hostInterface: string; readonly eni: string };
  readonly podPort: number;
  /** Of the Service, for targets by instance. */
  readonly nodePort: number | undefined;
};

/** From the internet gateway to the pod. */
export function routeOf(path: Path, stations: Stations): Hop[] {
  const { client, zone, first, second, pod, podPort, nodePort } = stations;
  const address = { client, 'load balancer': zone.address, node: first.address };
  const toTarget = address[path.source.ofTarget];
  const toPod = { from: address[path.source.ofPod], to: pod.address, port: podPort };
  const asked = { from: client, port: path.port };
  const hops: Hop[] = [
    { at: 'vpc', link: INTERNET_GATEWAY_LINK, direction: 'In', ...asked, to: zone.publicAddress },
    { at: 'vpc', link: zone.port, direction: 'Out', ...asked, to: zone.address },
  ];
  if (path.target === 'pod') {
    hops.push({ at: 'vpc', link: zone.port, direction: 'In', ...toPod, from: toTarget });
    hops.push({ at: second.name, link: pod.eni, direction: 'In', ...toPod });
  } else {
    const node = path.target === 'first node' ? first : second;
    const toNode = { from: toTarget, to: node.address, port: nodePort! };
    hops.push({ at: 'vpc', link: zone.port, direction: 'In', ...toNode });
    hops.push({ at: node.name, link: 'eth0', direction: 'In', ...toNode });
    if (node === first) {
      hops.push({ at: first.name, link: 'eth0', direction: 'Out', ...toPod });
      hops.push({ at: second.name, link: pod.eni, direction: 'In', ...toPod });
    }
  }
  return [...hops, { at: second.name, link: pod.hostInterface, direction: 'Out', ...toPod }];
}
