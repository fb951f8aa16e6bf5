import type { NetNamespace } from '@enid/linux';
import { BpfError } from '../errors.ts';
import { type FeatureName, requireFeature } from '../features.ts';
import { attachTypes, type LinkType, linkTypes } from '../kinds.ts';
import type { Program } from '../loader/program.ts';
import { Attr, bpf, Handle, objectInfo, openPinned } from '../syscalls.ts';

const EINVAL = 22;
const BPF_F_REPLACE = 4;
const BPF_F_BEFORE = 8;
const BPF_F_AFTER = 16;
const BPF_F_LINK = 1 << 13;

/** What the kernel says of a link. */
export type LinkInfo = {
  readonly id: number;
  readonly type: LinkType;
  readonly programId: number;
  /** The network interface, of TCX and XDP links; 0 when that is gone. */
  readonly ifindex?: number;
  /** Of TCX links. */
  readonly direction?: 'ingress' | 'egress';
};

/** A program's attachment. It ends when its last file descriptor is closed, unless it is pinned. */
export class Link extends Handle {
  constructor(fd: number) {
    super(fd, 'link');
  }

  static pinned(path: string): Link {
    return new Link(openPinned(path));
  }

  static byId(id: number): Link {
    return new Link(bpf('BPF_LINK_GET_FD_BY_ID', new Attr().u32(0, id), `link ${id}`));
  }

  get info(): LinkInfo {
    const bytes = new Uint8Array(64);
    objectInfo(this.fd, bytes);
    const view = new DataView(bytes.buffer);
    const type = linkTypes[view.getUint32(0, true)] ?? 'unspec';
    const base = { type, id: view.getUint32(4, true), programId: view.getUint32(8, true) };
    const ifindex = view.getUint32(16, true);
    if (type === 'xdp') return { ...base, ifindex };
    if (type !== 'tcx') return base;
    const ingress = view.getUint32(20, true) === attachTypes.tcxIngress;
    return { ...base, ifindex, direction: ingress ? 'ingress' : 'egress' };
  }

  /**
   * Puts another program in this one's place: each packet meets the old or the new one, none neither.
   * @param old fail with EPERM unless this is the program in place.
   */
  update(program: Program, old?: Program): void {
    const attr = new Attr().u32(0, this.fd).u32(4, program.fd);
    if (old) attr.u32(8, BPF_F_REPLACE).u32(12, old.fd);
    bpf('BPF_LINK_UPDATE', attr, program.name);
  }

  /** Ends the attachment, also of a link that is pinned. */
  detach(): void {
    bpf('BPF_LINK_DETACH', new Attr().u32(0, this.fd));
  }
}

/** Where an interface is: by default in the calling thread's network namespace. */
export type Interface = { readonly ifindex: number; readonly ns?: NetNamespace };

/** Where in the row of programs a new one stands: at an end, or beside another. */
export type TcxPlace =
  | 'first'
  | 'last'
  | { readonly before: Program | Link }
  | { readonly after: Program | Link };

/**
 * Attaches a program of type sched_cls by TCX. It lets a packet on to the next program by returning -1 (TCX_NEXT).
 * @throws {BpfError} on kernels before 6.6, where {@link attachClsact} is the way.
 */
export function attachTcx(
  program: Program,
  on: Interface,
  direction: 'ingress' | 'egress',
  place: TcxPlace = 'last',
): Link {
  const type = direction === 'ingress' ? attachTypes.tcxIngress : attachTypes.tcxEgress;
  const attr = new Attr().u32(0, program.fd).u32(4, on.ifindex).u32(8, type);
  if (typeof place === 'string') attr.u32(12, place === 'first' ? BPF_F_BEFORE : BPF_F_AFTER);
  else {
    const [side, anchor] = 'before' in place ? [BPF_F_BEFORE, place.before] : [BPF_F_AFTER, place.after];
    attr.u32(12, side | (anchor instanceof Link ? BPF_F_LINK : 0)).u32(16, anchor.fd);
  }
  return create(attr, on, `${program.name} on interface ${on.ifindex}`, 'tcx');
}

/** Attaches an XDP program; `generic` works on every kind of interface, `native` in its driver. */
export function attachXdp(program: Program, on: Interface, mode?: 'generic' | 'native'): Link {
  const flags = mode === 'generic' ? 2 : mode === 'native' ? 4 : 0;
  const attr = new Attr().u32(0, program.fd).u32(4, on.ifindex).u32(8, attachTypes.xdp).u32(12, flags);
  return create(attr, on, `${program.name} on interface ${on.ifindex}`, 'xdpLinks');
}

function create(attr: Attr, { ns }: Interface, subject: string, feature: FeatureName): Link {
  const make = () => {
    try {
      return new Link(bpf('BPF_LINK_CREATE', attr, subject));
    } catch (error) {
      // The same error is of a program that does not fit.
      if (error instanceof BpfError && error.errno === EINVAL) requireFeature(feature);
      throw error;
    }
  };
  return ns ? ns.run(make) : make();
}
