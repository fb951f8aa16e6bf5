import { type Link, LinkReaper, NetNamespace, Rtnetlink, SyscallError, sysctl } from '@enid/linux';
import { NamespaceTables } from './tables.ts';

/** A network namespace of the lab, with the sockets that configure it. */
export class Place implements Disposable {
  readonly ns: NetNamespace;
  readonly rtnl: Rtnetlink;
  readonly tables: NamespaceTables;

  private constructor(ns: NetNamespace) {
    this.ns = ns;
    this.rtnl = Rtnetlink.open(ns);
    this.tables = new NamespaceTables(ns);
  }

  /** Opens the namespace of a name; undefined when there is none. */
  static find(name: string): Place | undefined {
    const ns = openNamespace(name);
    return ns && new Place(ns);
  }

  static create(name: string): Place {
    return new Place(NetNamespace.create(name));
  }

  /** Whether this is still what the name leads to. */
  isNamed(name: string): boolean {
    using other = openNamespace(name);
    return other?.inode === this.ns.inode;
  }

  /** Sets kernel parameters. Those of IPv6 need no setting where the kernel does without IPv6. */
  setSysctls(wanted: Readonly<Record<string, string>>): void {
    for (const [key, value] of Object.entries(wanted)) {
      try {
        if (sysctl.get(this.ns, key) !== value) sysctl.set(this.ns, key, value);
      } catch (error) {
        const missing = error instanceof SyscallError && error.code === 'ENOENT';
        if (!missing || !key.startsWith('net.ipv6.')) throw error;
      }
    }
  }

  veths(): Link[] {
    return this.rtnl.links().filter(({ kind }) => kind === 'veth');
  }

  /** Deletes veth pairs by the ends that are here, all at once and without blocking. */
  async unplug(links: readonly Link[]): Promise<void> {
    if (links.length === 0) return;
    await using reaper = new LinkReaper(this.ns);
    await Promise.all(links.map(({ index }) => reaper.delete(index)));
  }

  [Symbol.dispose](): void {
    this.rtnl.close();
    this.ns.close();
  }
}

/** Takes a namespace away with its cables, which sockets left open in it would otherwise keep. */
export async function removePlace(name: string): Promise<void> {
  using place = Place.find(name);
  await place?.unplug(place.veths());
  NetNamespace.delete(name);
}

function openNamespace(name: string): NetNamespace | undefined {
  try {
    return NetNamespace.named(name);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    // A name that leads to no namespace is what a creation left that was cut short.
    if (error.code === 'EINVAL') NetNamespace.delete(name);
    if (error.code === 'EINVAL' || error.code === 'ENOENT') return undefined;
    throw error;
  }
}
