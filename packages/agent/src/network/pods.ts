/**
 * Wires pods: a veth pair between the node and the pod, routes, rules and the gateway's neighbour entry.
 *
 * Making the pair takes the kernel as long as all the rest. It is done in the background, while the address is
 * put down on disk. The rest is two synchronous messages, one inside the pod and one on the node: reconciling never
 * sees a pod that is connected halfway.
 */
import type { Ipv4 } from '@enid/ip';
import {
  addAddress,
  addLink,
  addNeighbour,
  addRoute,
  addRule,
  BackgroundRtnetlink,
  deleteAddress,
  deleteRoute,
  deleteRule,
  type Link,
  LinkReaper,
  MAIN_TABLE,
  type NetNamespace,
  type Route,
  type Rtnetlink,
  setLink,
} from '@enid/linux';
import type { Config } from '../config.ts';
import type { Assignment } from '../seams.ts';
import { apply } from './apply.ts';
import { attachmentId, hostVethName, isHostVethName } from './names.ts';
import {
  hostBlock,
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

/** A veth pair between the node and a pod, not yet connected. */
export type VethPair = {
  /** Of the end on the node. */
  readonly name: string;
};

export class Pods implements AsyncDisposable {
  readonly #ns: NetNamespace;
  readonly #netlink: Rtnetlink;
  readonly #options: Config['network'];
  readonly #reaper: LinkReaper;
  readonly #background: BackgroundRtnetlink;
  /** Pairs that are being made or wait to be connected, by name. */
  readonly #pairs = new Map<string, VethPair>();
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
    const pair = { name: this.hostName(owner) };
    const { name } = pair;
    const mtu = this.#options.podMtu;
    const request = addLink({ kind: 'veth', name, mtu, peer: { name: ifName, mtu, netns: sandbox.ns } });
    this.#pairs.set(name, pair);
    try {
      for (;;) {
        const refused = await this.#background.run(request);
        if (!refused) return pair;
        if (refused.code !== 'EEXIST') throw refused;
        await this.#makeRoom(name, sandbox, ifName);
      }
    } catch (error) {
      this.#forget(pair);
      throw error;
    }
  }

  /** Deletes a pair that no pod is to have. Resolves when it is gone. */
  async discard(pair: VethPair): Promise<void> {
    const link = this.#netlink.link(pair.name);
    if (link && this.#pairs.get(pair.name) === pair) await this.#reap(link);
    this.#forget(pair);
  }

  /**
   * Connects a pod by its pair: addresses, routes, neighbour and rules. When it throws, call {@link Pods.remove}.
   * @throws {NetlinkError}
   */
  connect(pair: VethPair, assignment: Assignment, sandbox: Sandbox): WiredPod {
    const { key, address } = assignment;
    const { name } = pair;
    this.#forget(pair);
    this.#down.delete(attachmentId(key));
    const host = this.#netlink.link(name);
    if (!host?.peerIndex) throw new Error(`the link ${name} was deleted while the pod was wired`);
    const index = host.peerIndex;
    const podSide = [
      setLink(index, { addrGenMode: 'none' }),
      setLink(index, { up: true }),
      addAddress({ index, address, prefixLength: 32 }),
      addNeighbour({ index, address: POD_GATEWAY, mac: host.mac }),
      ...routesInPod(index).map((route) => addRoute(route)),
    ];
    // Pods are of IPv4 alone, so that no IPv6 link-local address is made and probed. EAFNOSUPPORT: there is no IPv6.
    apply(sandbox.netlink, podSide, ['EAFNOSUPPORT']);
    const nodeSide = [
      setLink(host.index, { addrGenMode: 'none' }),
      setLink(host.index, { up: true }),
      addRoute(podRoute(address, host.index), 'replace'),
      ...podRules(assignment).map(addRule),
    ];
    apply(this.#netlink, nodeSide, ['EAFNOSUPPORT', 'EEXIST']);
    // The end that came up first sends only when the kernel has dealt with its carrier, in the background; asking
    // for the link (since 6.8) does it now. Otherwise the pod's first packet could be lost.
    const { mac } = sandbox.netlink.link(index)!;
    return {
      host: { name, mac: host.mac },
      container: { name: key.ifName, mac, sandbox: sandbox.path },
      mtu: host.mtu,
      address,
      gateway: POD_GATEWAY,
    };
  }

  #forget(pair: VethPair): void {
    if (this.#pairs.get(pair.name) === pair) this.#pairs.delete(pair.name);
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
    const route = { destination: hostBlock(address), table: MAIN_TABLE, protocol: ROUTING_PROTOCOL };
    apply(this.#netlink, [deleteRoute(route), ...podRules(assignment).map(deleteRule)]);
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
    const gone = this.#reaper.delete(index).finally(() => this.#dying.delete(index));
    this.#dying.set(index, gone);
    return gone;
  }
}
