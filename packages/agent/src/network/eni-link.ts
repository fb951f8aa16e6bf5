/** Finds the network interfaces of ENIs, which the kernel makes some seconds after they are attached. */
import { type Link, monitor, type NetNamespace, type Rtnetlink } from '@enid/linux';
import type { NodeEni } from '../seams.ts';

/** Links that take over the address of the link below them, or of a port. */
const borrowsMac = new Set(['bond', 'bridge', 'ipvlan', 'macvlan', 'team', 'vlan']);

/** The link of an ENI among those of the node. */
export function linkOfEni(links: readonly Link[], { mac }: Pick<NodeEni, 'mac'>): Link | undefined {
  return links.find((link) => link.mac === mac && !borrowsMac.has(link.kind ?? ''));
}

/**
 * Waits for the link of an ENI.
 * @param timeout in milliseconds.
 * @throws when it is not there in time.
 */
export function waitForEniLink(
  ns: NetNamespace,
  netlink: Rtnetlink,
  eni: NodeEni,
  timeout: number,
): Promise<Link> {
  const { promise, resolve, reject } = Promise.withResolvers<Link>();
  const look = () => {
    const link = linkOfEni(netlink.links(), eni);
    if (link) resolve(link);
  };
  const watch = monitor(ns, ['link'], (event) => {
    if (event.type !== 'link' || event.link.mac === eni.mac) look();
  });
  const timer = setTimeout(() => {
    reject(
      new Error(
        `the network interface of ${eni.id} (device ${eni.deviceNumber}, MAC ${eni.mac}) did not appear within ` +
          `${timeout / 1000} s: see "ip link" and the kernel's log on this node; if it is not there, detach the ENI`,
      ),
    );
  }, timeout);
  look(); // after the subscription, so that nothing is missed in between
  return promise.finally(() => {
    clearTimeout(timer);
    watch.close();
  });
}
