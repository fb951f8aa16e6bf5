/**
 * Wires pods: a veth pair between the node and the pod, routes, rules and the gateway's neighbour entry.
 *
 * The kernel works longer on a pod than the agent does, so it works in the background: the event loop goes on
 * with other pods. Making the pair, half of that work, waits for no address. Reconciling may come in between, and adds
 * nothing but what is on its way.
 */
import { randomBytes } from 'node:crypto';
import { type Ipv4, type Ipv4Cidr, networkOf } from '@enid/ip';
import {
  type Answer,
  addAddress,
  addLink,
  addNeighbour,
  addRoute,
  addRule,
  BackgroundRtnetlink,
  deleteAddress,
  deleteRoute,
  deleteRule,
  getLink,
  type Link,
  LinkReaper,
  MAIN_TABLE,
  type NetNamespace,
  type Route,
  type Rtnetlink,
  setLink,
} from '@enid/linux';
import type { Config } from '../config.ts';
import { faultPoint } from '../fault-point.ts';
import type { Assignment, PodLink, SandboxKey } from '../seams.ts';
import { apply, refusal } from './apply.ts';
import { attachmentId, hostVethName, isHostVethName } from './names.ts';
import {
  hostBlock,
  leadingTo,
  POD_GATEWAY,
  podRoute,
  podRules,
  ROUTING_PROTOCOL,
  routeIdentity,
  routesInPod,
  ruleIdentity,
} from './routing.ts';
import { Sandbox, SandboxError } from './sandbox.ts';

/** A pod as it was wired. */
export type WiredPod = {
  readonly host: { readonly name: string; readonly mac: string };
  readonly container: { readonly name: string; readonly mac: string; readonly sandbox: string };
  readonly mtu: number;
  readonly address: Ipv4;
  readonly gateway: Ipv4;
};

/** A veth pair between the node and a pod, not yet connected: its end on the node, which is up, and the pod's MAC. */
export type VethPair = { readonly name: string; readonly host: Link; readonly mac: string };

export class Pods implements AsyncDisposable {
  readonly #ns: NetNamespace;
  readonly #netlink: Rtnetlink;
  readonly #options: Config['network'];
  readonly #reaper: LinkReaper;
  readonly #background: BackgroundRtnetlink;
  /** The attachments whose pair is being made or connected, by the pair's name. */
  readonly #pairs = new Map<string, SandboxKey>();
  /** Links that are being deleted, by index. */
  readonly #dying = new Map<number, Promise<void>>();
  /** Pods that were taken down whose address is not yet released: reconciling must not bring them back. */
  readonly #down = new Set<string>();

  /** @param ns the node's namespace. @param netlink a socket in it. */
  constructor(ns: NetNamespace, netlink: Rtnetlink, options: Config['network']) {
    this.#ns = ns;
    this.#netlink = netlink;
    this.#options = options;
    this.#reaper = new LinkReaper(ns);
    this.#background = new BackgroundRtnetlink(ns);
  }

  /** The name of a pod's link on the node. */
  hostName({ key, metadata }: Pick<Assignment, 'key' | 'metadata'>): string {
    return hostVethName(this.#options.vethPrefix, key, metadata);
  }

  /**
   * Opens a pod's sandbox.
   * @param path CNI_NETNS.
   * @throws {SandboxError} when there is none at the path.
   */
  open(path: string): Sandbox {
    return Sandbox.open(path, this.#ns);
  }

  /**
   * Makes the veth pair of a pod, in the background: it needs no address yet. A link of the same name that an earlier
   * sandbox of the pod left is replaced. Either {@link Pods.connect} or {@link Pods.discard} follows.
   * @param sandbox stays open until this has ended.
   * @throws {SandboxError} `interface exists`: nothing was made.
   * @throws {NetlinkError}
   */
  async prepare(owner: Pick<Assignment, 'key' | 'metadata'>, sandbox: Sandbox): Promise<VethPair> {
    const { ifName } = owner.key;
    const name = this.hostName(owner);
    const mtu = this.#options.podMtu;
    // As the kernel chooses one; chosen here, it need not be asked for.
    const mac = randomMac();
    const peer = { name: ifName, mtu, mac, netns: sandbox.ns, queues: 1 };
    const request = addLink({ kind: 'veth', name, mtu, queues: 1, up: true, peer });
    this.#pairs.set(name, owner.key);
    try {
      for (;;) {
        const [made] = await this.#background.run([request]);
        faultPoint('link-made');
        if (!made!.error) return { name, mac, host: made!.link ?? this.#netlink.link(name)! };
        if (made!.error.code !== 'EEXIST') throw made!.error;
        await this.#makeRoom(name, sandbox, ifName);
      }
    } catch (error) {
      this.#forget(name, owner.key);
      throw error;
    }
  }

  /** Deletes a pair that no pod is to have. Resolves when it is gone. */
  async discard({ name, host }: VethPair, { key }: Pick<Assignment, 'key'>): Promise<void> {
    if (this.#netlink.link(host.index)?.name === name) await this.#reap(host);
    this.#forget(name, key);
  }

  /**
   * Connects a pod by its pair: addresses, routes, neighbour and rules. When it throws, call {@link Pods.remove}.
   * @param sandbox stays open, and its socket unused, until this has ended.
   * @throws {NetlinkError}
   */
  async connect({ name, host, mac }: VethPair, assignment: Assignment, sandbox: Sandbox): Promise<WiredPod> {
    const { key, address } = assignment;
    this.#down.delete(attachmentId(key));
    const index = host.peerIndex!;
    // Pods are of IPv4 alone, so that no IPv6 link-local address is made and probed.
    const nodeSide = [
      setLink(host.index, { addrGenMode: 'none' }),
      addRoute(podRoute(address, host.index), 'replace'),
      ...podRules(assignment).map(addRule),
    ];
    const podSide = [
      setLink(index, { addrGenMode: 'none' }),
      setLink(index, { up: true }),
      addAddress({ index, address, prefixLength: 32 }),
      addNeighbour({ index, address: POD_GATEWAY, mac: host.mac }),
      ...routesInPod(index).map((route) => addRoute(route)),
    ];
    try {
      // Unless other pods are in the way, each is done before the next is begun.
      const routed = this.#background.runQuick(nodeSide);
      faultPoint('link-routed');
      const connected = this.#background.runQuick(podSide, sandbox.netlink);
      faultPoint('link-connected');
      const [onNode, inPod, [awake]] = (await Promise.all([
        routed,
        connected,
        // The end that came up first sends only when the kernel has dealt with its carrier, some time later; asking
        // for the link (since 6.8) does it now. Otherwise the first answer to the pod could be lost.
        this.#background.runQuick([getLink(host.index)]),
      ])) as [Answer[], Answer[], [Answer]];
      // EAFNOSUPPORT: there is no IPv6. EEXIST: reconciling was faster.
      const refused =
        refusal(inPod, ['EAFNOSUPPORT']) ?? refusal(onNode, ['EAFNOSUPPORT', 'EEXIST']) ?? awake.error;
      if (refused) throw refused;
      return {
        host: { name, mac: host.mac },
        container: { name: key.ifName, mac, sandbox: sandbox.path },
        mtu: host.mtu,
        address,
        gateway: POD_GATEWAY,
      };
    } finally {
      this.#forget(name, key);
    }
  }

  #forget(name: string, key: SandboxKey): void {
    if (this.#pairs.get(name) === key) this.#pairs.delete(name);
  }

  /** One of the names of a pair is taken: waits until it is free, or throws when it is not going to be. */
  async #makeRoom(name: string, sandbox: Sandbox, ifName: string): Promise<void> {
    if (sandbox.netlink.link(ifName)) {
      // It may be that of an earlier attachment, on its way out.
      await this.settled();
      if (!sandbox.netlink.link(ifName)) return;
      throw new SandboxError('interface exists', `the interface ${ifName} already exists in ${sandbox.path}`);
    }
    const link = this.#netlink.link(name);
    if (!link) return;
    if (link.kind !== 'veth' || link.name !== name) {
      throw new Error(
        `the node has a link ${name} that is no pod's (kind ${link.kind}): rename or delete it`,
      );
    }
    await this.#reap(link);
  }

  /**
   * Takes a pod off the network; nothing is an error that is gone already. The pod can neither send nor receive when
   * this returns, not only when the promise resolves: then its link is gone, too.
   * @param path CNI_NETNS, if known.
   * @throws {NetlinkError} at once, not by the promise.
   */
  remove(assignment: Assignment, path?: string): Promise<void> {
    const { key, address } = assignment;
    this.#down.add(attachmentId(key));
    const link = this.#netlink.link(this.hostName(assignment));
    if (link && path) this.#removeAddress(assignment, link, path);
    faultPoint('link-mute');
    const { route, rules } = leadingTo(address);
    apply(this.#netlink, [deleteRoute(route), ...rules.map(deleteRule)]);
    faultPoint('link-unrouted');
    // A newer sandbox of the same pod has a link of the same name, which stays. It is told by its route.
    const own = link?.kind === 'veth' && !this.#pairs.has(link.name) && this.#routesBy(link).length === 0;
    return own ? this.#reap(link) : Promise.resolve();
  }

  /** The interface itself goes with the link on the node, in a moment; its address goes at once. */
  #removeAddress({ key, address }: Assignment, host: Link, path: string): void {
    try {
      using sandbox = this.open(path);
      const inside = sandbox.netlink.link(key.ifName);
      if (inside?.kind !== 'veth' || inside.peerIndex !== host.index) return;
      sandbox.netlink.batch([deleteAddress({ index: inside.index, address, prefixLength: 32 })]);
    } catch (error) {
      if (!(error instanceof SandboxError)) throw error;
    }
  }

  /**
   * Compares a pod's wiring with what {@link Pods.add} makes.
   * @returns a sentence for each difference.
   */
  check(assignment: Assignment, sandbox: Sandbox): string[] {
    const { key, address } = assignment;
    const name = this.hostName(assignment);
    const host = this.#netlink.link(name);
    const inside = sandbox.netlink.link(key.ifName);
    if (!inside) return [`the interface ${key.ifName} is missing in ${sandbox.path}`];
    if (!host) return [`the link ${name} is missing on the node`];
    const { index } = inside;
    const addresses = sandbox.netlink.addresses({ index, family: 4 });
    const neighbours = sandbox.netlink.neighbours({ index, family: 4 });
    const routes = new Set(sandbox.netlink.routes({ family: 4, table: MAIN_TABLE }).map(routeIdentity));
    const nodeRoutes = new Set(this.#routesBy(host).map(routeIdentity));
    const nodeRules = new Set(this.#netlink.rules(4).map(ruleIdentity));
    const findings: [boolean, string][] = [
      [inside.peerIndex === host.index, `${key.ifName} is not the other end of ${name}`],
      [inside.up, `${key.ifName} is down`],
      [host.up, `${name} is down on the node`],
      [
        addresses.some((held) => held.address === address && held.prefixLength === 32),
        `${key.ifName} does not have the address ${address}/32`,
      ],
      [
        neighbours.some(
          (entry) => entry.address === POD_GATEWAY && entry.mac === host.mac && entry.state === 'permanent',
        ),
        `the neighbour entry ${POD_GATEWAY} -> ${host.mac} is missing in the pod`,
      ],
      ...routesInPod(index).map((route): [boolean, string] => [
        routes.has(routeIdentity(route)),
        `the route to ${route.destination} is missing in the pod`,
      ]),
      [
        nodeRoutes.has(routeIdentity(podRoute(address, host.index))),
        `the route ${address} dev ${name} is missing on the node`,
      ],
      ...podRules(assignment).map((rule): [boolean, string] => [
        nodeRules.has(ruleIdentity(rule)),
        `the rule ${rule.priority} (${rule.to ? 'to' : 'from'} ${address} lookup ${rule.table}) is missing on the node`,
      ]),
    ];
    return findings.filter(([fine]) => !fine).map(([, sentence]) => sentence);
  }

  /**
   * The pods that should be in force, each with its link among `links` if that is there.
   * @param assignments all that L-IPAM holds at this moment.
   */
  wanted(assignments: readonly Assignment[], links: readonly Link[]): { pod: Assignment; link?: Link }[] {
    const held = new Set(assignments.map(({ key }) => attachmentId(key)));
    for (const id of this.#down) if (!held.has(id)) this.#down.delete(id);
    const living = links.filter((link) => !this.#dying.has(link.index));
    const byName = new Map(living.map((link) => [link.name, link]));
    const pods = assignments.filter(({ key }) => !this.#down.has(attachmentId(key)));
    const names = pods.map((pod) => this.hostName(pod));
    return pods.map((pod, at) => {
      const link = byName.get(names[at]!);
      // An old and a new sandbox of one pod share the name; the link is that one's whose route leads to it.
      const shared = names.indexOf(names[at]!) !== names.lastIndexOf(names[at]!);
      return link && (!shared || this.#isRouted(pod, link)) ? { pod, link } : { pod };
    });
  }

  /** The pods that have a link on the node. */
  wired(assignments: readonly Assignment[]): { pod: Assignment; link: Link }[] {
    return this.wanted(assignments, this.#netlink.links()).flatMap(({ pod, link }) =>
      link ? [{ pod, link }] : [],
    );
  }

  /** The links of pods that are wired, with their addresses. */
  podLinks(): PodLink[] {
    const links = new Map(
      this.#netlink
        .links()
        .filter(({ kind, name }) => kind === 'veth' && isHostVethName(this.#options.vethPrefix, name))
        .map(({ index, name }) => [index, name]),
    );
    return this.#netlink.routes({ family: 4, table: MAIN_TABLE }).flatMap(({ destination, oif }) => {
      const name = links.get(oif ?? 0);
      return name && destination.endsWith('/32')
        ? [{ name, address: networkOf(destination as Ipv4Cidr) }]
        : [];
    });
  }

  /**
   * Deletes links that were pods' and are nobody's now: named as ours, of none of the `assignments`, and without a
   * route that somebody else made.
   */
  removeOrphans(assignments: readonly Assignment[], links: readonly Link[]): void {
    const names = new Set([
      ...this.#pairs.keys(),
      ...assignments.map((assignment) => this.hostName(assignment)),
    ]);
    for (const link of links) {
      const orphan =
        link.kind === 'veth' && isHostVethName(this.#options.vethPrefix, link.name) && !names.has(link.name);
      if (!orphan || this.#routesBy(link).some(({ protocol }) => protocol !== ROUTING_PROTOCOL)) continue;
      this.#reap(link).catch(() => {}); // tried again the next time
    }
  }

  /** Resolves when the links that are being deleted are gone. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#dying.values());
  }

  /** Lets the deletions that are under way finish. */
  async close(): Promise<void> {
    await this.#background.close();
    await this.#reaper.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #isRouted({ address }: Assignment, link: Link): boolean {
    return this.#routesBy(link).some(({ destination }) => destination === hostBlock(address));
  }

  #routesBy({ index }: Link): Route[] {
    return this.#netlink.routes({ family: 4, table: MAIN_TABLE, oif: index });
  }

  #reap({ index }: Link): Promise<void> {
    const dying = this.#dying.get(index);
    if (dying) return dying;
    const gone = this.#reaper
      .delete(index)
      .then(() => faultPoint('link-deleted'))
      .finally(() => this.#dying.delete(index));
    this.#dying.set(index, gone);
    return gone;
  }
}

/** A random unicast address that nobody administers (IEEE 802, section 8.4). */
function randomMac(): string {
  const bytes = randomBytes(6);
  bytes[0] = (bytes[0]! & 0xfc) | 0x02;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
