/** The node's network in the kernel, as Amazon's documentation describes it, kept that way. */

import { prefixLength } from '@enid/ip';
import {
  addAddress,
  addRoute,
  addRule,
  deleteRoute,
  deleteRule,
  type Link,
  MAIN_TABLE,
  NetNamespace,
  Nftables,
  Rtnetlink,
  setLink,
  sysctl,
} from '@enid/linux';
import type { Config } from '../config.ts';
import type { Assignment, NodeEni, NodeNetwork, NodeNetworkSetup, PodLink } from '../seams.ts';
import { apply } from './apply.ts';
import { linkOfEni, waitForEniLink } from './eni-link.ts';
import { NAT_TABLE, natScript } from './nat.ts';
import { Pods } from './pods.ts';
import {
  difference,
  eniRoutes,
  nodeRules,
  podRoute,
  podRules,
  routeIdentity,
  ruleIdentity,
  usesMark,
} from './routing.ts';

const PROTOCOL_KERNEL = 2;
/** How long the link of an ENI that EC2 calls attached may take to appear, in milliseconds. */
const LINK_TIMEOUT = 60_000;

export class LinuxNodeNetwork implements NodeNetwork, AsyncDisposable {
  /** The wiring of pods. */
  readonly pods: Pods;
  readonly #options: Config['network'];
  readonly #ns: NetNamespace;
  readonly #netlink: Rtnetlink;
  readonly #nftables: Nftables;
  #setup: NodeNetworkSetup | undefined;
  #enis: readonly NodeEni[] = [];
  /** The script that the NAT table was made by, and the table as the kernel showed it then. */
  #nat: { script: string; table: string | undefined } | undefined;
  /** The last restoration of the NAT table: they come one after another. */
  #restoringNat: Promise<void> = Promise.resolve();

  /** @param ns the node's namespace, the caller's own by default; it is closed with this. */
  constructor(options: Config['network'], ns: NetNamespace = NetNamespace.current()) {
    this.#options = options;
    this.#ns = ns;
    this.#netlink = Rtnetlink.open(ns);
    this.#nftables = new Nftables(ns);
    this.pods = new Pods(ns, this.#netlink, options);
  }

  async setup(setup: NodeNetworkSetup): Promise<void> {
    await waitForEniLink(this.#ns, this.#netlink, setup.primaryEni, LINK_TIMEOUT);
    this.#setup = setup;
    this.#restoreSysctls(setup);
    this.#addNodeRules();
    await this.#restoreNat(this.#enis);
  }

  async setEnis(enis: readonly NodeEni[]): Promise<void> {
    this.#enis = enis;
    const ready = await Promise.allSettled(
      enis.map(async (eni) => {
        const link = await waitForEniLink(this.#ns, this.#netlink, eni, LINK_TIMEOUT);
        this.#restoreEni(link, eni);
      }),
    );
    this.#addNodeRules();
    await this.#restoreNat(enis);
    for (const eni of ready) if (eni.status === 'rejected') throw eni.reason;
  }

  async reconcile(assignments: readonly Assignment[]): Promise<void> {
    // Up to the first await this is one step for everybody else: no pod is added or removed in the middle of it.
    const links = this.#netlink.links();
    const inUse = new Map([...this.#enis, ...assignments.map(({ eni }) => eni)].map((eni) => [eni.id, eni]));
    const there = [...inUse.values()].flatMap((eni) => {
      const link = linkOfEni(links, eni);
      return link ? [{ eni, link }] : [];
    });
    const errors = [
      () => this.pods.removeOrphans(assignments, links),
      ...there.map(({ link, eni }) => this.#restoreEni.bind(this, link, eni)),
      () => this.#restoreRouting(assignments, links, there),
      () => this.#setup && this.#restoreSysctls(this.#setup),
    ].flatMap(errorOf);
    await this.#restoreNat([...inUse.values()]).catch((error: Error) => errors.push(error));
    if (errors.length > 0) throw new AggregateError(errors, errors.map(({ message }) => message).join('; '));
  }

  podLinks(): PodLink[] {
    return this.pods.podLinks();
  }

  async close(): Promise<void> {
    await this.pods.close();
    this.#netlink.close();
    this.#ns.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #restoreSysctls({ primaryEni }: NodeNetworkSetup): void {
    sysctl.set(this.#ns, 'net.ipv4.ip_forward', 1);
    const link = linkOfEni(this.#netlink.links(), primaryEni);
    // Replies to a pod on another ENI come in by the primary one, which is not where the route back leads.
    if (link && usesMark(this.#options)) sysctl.set(this.#ns, `net/ipv4/conf/${link.name}/rp_filter`, 2);
  }

  #addNodeRules(): void {
    const { missing } = difference(
      this.#netlink.rules(4),
      nodeRules(this.#options, this.#enis),
      ruleIdentity,
    );
    apply(this.#netlink, missing.map(addRule));
  }

  /** Link up, MTU, and on a secondary ENI its own address and what is missing of its table. */
  #restoreEni({ index, ...link }: Link, eni: NodeEni): void {
    // What comes for a NodePort may go on to a pod of another ENI.
    if (this.#options.nodePortSupport) sysctl.set(this.#ns, `net/ipv4/conf/${link.name}/rp_filter`, 2);
    const mtu = this.#options.eniMtu;
    const requests = link.up && link.mtu === mtu ? [] : [setLink(index, { up: true, mtu })];
    if (!eni.primary) {
      const addresses = this.#netlink.addresses({ index, family: 4 });
      if (!addresses.some(({ address }) => address === eni.primaryIp)) {
        const block = { address: eni.primaryIp, prefixLength: prefixLength(eni.subnetCidr) };
        requests.push(addAddress({ index, ...block, noPrefixRoute: true }));
      }
      // An address that DHCP gave the link brings a route to the whole subnet in the main table, and the node's own
      // packets would leave by it with the primary ENI's address, which the VPC drops.
      const drawn = this.#netlink
        .routes({ family: 4, table: MAIN_TABLE, oif: index })
        .filter((route) => route.protocol === PROTOCOL_KERNEL && route.destination === eni.subnetCidr);
      const table = this.#netlink.routes({ family: 4, table: eni.table });
      const { missing } = difference(table, eniRoutes(eni, index), routeIdentity);
      requests.push(...drawn.map(deleteRoute), ...missing.map((route) => addRoute(route, 'replace')));
    }
    apply(this.#netlink, requests);
  }

  /** Rules, the routes to pods, and what is stale of the ENIs' tables. */
  #restoreRouting(
    assignments: readonly Assignment[],
    links: readonly Link[],
    enis: readonly { eni: NodeEni; link: Link }[],
  ): void {
    const pods = this.pods.wanted(assignments, links);
    const used = enis.map(({ eni }) => eni);
    const wantedRules = [...nodeRules(this.#options, used), ...pods.flatMap(({ pod }) => podRules(pod))];
    const wantedRoutes = [
      ...enis.flatMap(({ eni, link }) => (eni.primary ? [] : eniRoutes(eni, link.index))),
      ...pods.flatMap(({ pod, link }) => (link ? [podRoute(pod.address, link.index)] : [])),
    ];
    const rules = difference(this.#netlink.rules(4), wantedRules, ruleIdentity);
    const routes = difference(this.#netlink.routes({ family: 4 }), wantedRoutes, routeIdentity);
    apply(this.#netlink, [
      ...pods.flatMap(({ link }) => (link && !link.up ? [setLink(link.index, { up: true })] : [])),
      ...rules.stale.map(deleteRule),
      ...routes.stale.map(deleteRoute),
      ...routes.missing.map((route) => addRoute(route, 'replace')),
      ...rules.missing.map(addRule),
    ]);
  }

  /** Replaces the NAT table unless it is as it was made. Once there is a setup. */
  #restoreNat(enis: readonly NodeEni[]): Promise<void> {
    const restored = this.#restoringNat.then(() => this.#setup && this.#replaceNat(this.#setup, enis));
    this.#restoringNat = restored.catch(() => {});
    return restored;
  }

  async #replaceNat({ primaryEni, vpcCidrs }: NodeNetworkSetup, enis: readonly NodeEni[]): Promise<void> {
    const links = this.#netlink.links();
    const link = linkOfEni(links, primaryEni);
    if (!link) throw new Error(`${primaryEni.id}, the primary ENI, has no link with MAC ${primaryEni.mac}`);
    const secondaries = enis.flatMap(({ primary, table, ...eni }) => {
      const name = primary ? undefined : linkOfEni(links, eni)?.name;
      return name === undefined ? [] : [{ link: name, table }];
    });
    const facts = { primaryLink: link.name, primaryIp: primaryEni.primaryIp, vpcCidrs, secondaries };
    const script = natScript(this.#options, facts);
    const show = async () => JSON.stringify(await this.#nftables.list(NAT_TABLE));
    if (this.#nat?.script === script && (await show()) === this.#nat.table) return;
    await this.#nftables.apply(script);
    this.#nat = { script, table: await show() };
  }
}

function errorOf(step: () => unknown): Error[] {
  try {
    step();
    return [];
  } catch (error) {
    return [error as Error];
  }
}
