import { addLink, type Link, NetNamespace, setLink } from '@enid/linux';
import type { NetworkFabric } from '../cloud/fabric.ts';
import type { CloudState } from '../cloud/state.ts';
import { type Cable, type FabricPlan, TABLE_NAME } from './model.ts';
import { internetNamespaceName, isPortName, namespacesOf, vpcNamespaceName } from './names.ts';
import { Place, removePlace } from './place.ts';
import { plan } from './plan.ts';
import { reconcile } from './reconcile.ts';
import { DROP_REASONS, type DropReason } from './vpc.ts';

/** What was dropped for one reason. */
export type Drops = { readonly packets: number; readonly bytes: number };

/**
 * The data plane of a lab's VPCs in the kernel: namespaces, veth pairs, routes and nftables, made to match a cloud
 * state. Nothing is kept but open sockets: what there is, is read from the kernel each time, so that a new process
 * goes on where a killed one stopped.
 */
export class Fabric implements NetworkFabric, Disposable {
  readonly #prefix: string;
  readonly #places = new Map<string, Place>();
  #wanted: CloudState | undefined;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** @param options `prefix`: what the names of the lab's namespaces start with, before a dash. */
  constructor(options: { prefix: string }) {
    this.#prefix = options.prefix;
  }

  /**
   * Makes the kernel match `state`. Calls during a run are served together by the next one, with the latest state.
   * @throws {NetlinkError | NftError} what the kernel refused. The next call tries again.
   */
  sync(state: CloudState): Promise<void> {
    this.#wanted = state;
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        this.#running = this.#apply(plan(this.#wanted!, this.#prefix));
        return this.#running;
      });
    return this.#next;
  }

  /** The namespace of a VPC, open until the VPC is gone or this is closed. */
  vpcNamespace(vpcId: string): NetNamespace | undefined {
    return this.#places.get(vpcNamespaceName(this.#prefix, vpcId))?.ns;
  }

  /** The namespace of the internet; there after the first {@link Fabric.sync}. */
  internetNamespace(): NetNamespace | undefined {
    return this.#places.get(internetNamespaceName(this.#prefix))?.ns;
  }

  /** What a VPC has dropped so far, by reason; undefined when there is no such VPC. */
  async drops(vpcId: string): Promise<Record<DropReason, Drops> | undefined> {
    const place = this.#places.get(vpcNamespaceName(this.#prefix, vpcId));
    if (!place) return undefined;
    const counters = await place.tables.counters({ family: 'ip', name: TABLE_NAME });
    const none: Drops = { packets: 0, bytes: 0 };
    const entries = DROP_REASONS.map((reason) => [reason, counters.get(reason) ?? none] as const);
    return Object.fromEntries(entries) as Record<DropReason, Drops>;
  }

  /** Lets go of the kernel and leaves everything in force. */
  close(): void {
    for (const name of [...this.#places.keys()]) this.#leave(name);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Takes everything away, after the run in progress. Processes in the namespaces are the caller's to end. */
  async remove(): Promise<void> {
    await (this.#next ?? this.#running).catch(() => {});
    this.close();
    await Fabric.remove(this.#prefix);
  }

  /** Takes away all that fabrics of this prefix left in the kernel, also when their process was killed. */
  static async remove(prefix: string): Promise<void> {
    await allDone(namespacesOf(prefix, NetNamespace.list()).map(removePlace));
  }

  async #apply({ namespaces, cables }: FabricPlan): Promise<void> {
    for (const name of namespaces.keys()) this.#enter(name);
    const stale = namespacesOf(this.#prefix, NetNamespace.list()).filter((name) => !namespaces.has(name));
    for (const name of stale) this.#leave(name);
    await allDone(stale.map(removePlace));
    const whole = [...namespaces].filter(([, { ownership }]) => ownership === 'whole');
    await allDone(
      whole.flatMap(([name, { tables }]) => [
        this.#unplugStale(name, cables),
        // Rules stand before anything can pass.
        this.#place(name).tables.ensure(tables),
      ]),
    );
    // The parameters of connection tracking are there once a rule needs it.
    for (const [name, { sysctls }] of whole) this.#place(name).setSysctls(sysctls);
    const plugged: Cable[] = [];
    for (const cable of cables) if (await this.#plug(cable)) plugged.push(cable);
    for (const [name, namespace] of namespaces) {
      const place = this.#place(name);
      const up = cables.flatMap(({ port, plug }) => [
        ...(port.namespace === name ? [port.name] : []),
        ...(plug.namespace === name && plug.up ? [plug.name] : []),
      ]);
      if (namespace.ownership === 'whole') {
        reconcile(place.rtnl, namespace, up);
        continue;
      }
      const off = !place.rtnl.link('lo')?.up;
      if (off) place.setSysctls(namespace.sysctls);
      const isKept = namespace.ownership === 'kept';
      if (off || isKept || plugged.some(({ plug }) => plug.up && plug.namespace === name)) {
        reconcile(place.rtnl, namespace, up);
      }
    }
    // What is not labelled was not finished, and is made again.
    for (const cable of plugged) {
      const { namespace, name } = cable.port;
      this.#place(namespace).rtnl.execute([setLink(name, { alias: this.#labelOf(cable) })]);
    }
  }

  /** Deletes the ports of a namespace that the plan does not have, or that lead elsewhere. */
  async #unplugStale(name: string, cables: readonly Cable[]): Promise<void> {
    const labels = new Map(
      cables
        .filter(({ port }) => port.namespace === name)
        .map((cable) => [cable.port.name, this.#labelOf(cable)]),
    );
    const place = this.#place(name);
    const isRight = (link: Link) => labels.has(link.name) && labels.get(link.name) === link.alias;
    await place.unplug(place.veths().filter((link) => isPortName(link.name) && !isRight(link)));
  }

  /** Makes the veth pair of a cable. @returns false when there is one. */
  async #plug({ port, plug, mtu }: Cable): Promise<boolean> {
    const near = this.#place(port.namespace);
    const far = this.#place(plug.namespace);
    if (near.rtnl.link(port.name)) return false;
    let name = plug.name;
    if (plug.naming === 'exact') {
      const link = far.rtnl.link(name);
      if (link) await far.unplug([link]);
    } else {
      const [, stem, start] = /^(.*?)(\d+)$/.exec(name)!;
      for (let index = Number(start); far.rtnl.link(name); index++) name = `${stem}${index}`;
    }
    near.rtnl.execute([
      addLink({
        kind: 'veth',
        name: port.name,
        mtu,
        ...(port.mac ? { mac: port.mac } : {}),
        peer: { name, mtu, netns: far.ns, ...(plug.mac ? { mac: plug.mac } : {}) },
      }),
    ]);
    near.setSysctls(port.sysctls);
    return true;
  }

  /** Which device in which namespace a port leads to: its alias once the cable is done. */
  #labelOf({ plug }: Cable): string {
    return `${plug.namespace}/${plug.name} net:[${this.#place(plug.namespace).ns.inode}]`;
  }

  #place(name: string): Place {
    return this.#places.get(name)!;
  }

  /** Opens a namespace, which is made when there is none. */
  #enter(name: string): void {
    if (this.#places.get(name)?.isNamed(name)) return;
    this.#leave(name);
    this.#places.set(name, Place.find(name) ?? Place.create(name));
  }

  #leave(name: string): void {
    this.#places.get(name)?.[Symbol.dispose]();
    this.#places.delete(name);
  }
}

/** Waits for all, also when one fails: nothing of a run goes on after it. @throws the first failure. */
async function allDone(tasks: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(tasks);
  const failure = results.find((result) => result.status === 'rejected');
  if (failure) throw failure.reason;
}
