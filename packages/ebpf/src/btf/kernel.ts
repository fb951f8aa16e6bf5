import { Attr, bpf, Handle, objectInfo } from '../syscalls.ts';
import { Btf } from './btf.ts';

/** Ids are not used again while the system runs, but its BTF may be large: the last few are kept. */
const recent = new Map<number, Btf>();
const KEPT = 16;

/** The types that the kernel holds under an id. */
export function btfOf(id: number): Btf {
  const btf = recent.get(id) ?? readBtf(id);
  recent.delete(id);
  recent.set(id, btf);
  for (const [oldest] of recent) if (recent.size > KEPT) recent.delete(oldest);
  return btf;
}

function readBtf(id: number): Btf {
  using handle = new Handle(bpf('BPF_BTF_GET_FD_BY_ID', new Attr().u32(0, id), `BTF ${id}`), 'BTF');
  const info = new Uint8Array(32);
  objectInfo(handle.fd, info);
  const view = new DataView(info.buffer);
  const bytes = new Uint8Array(view.getUint32(8, true));
  const attr = new Attr().pointer(0, bytes);
  info.fill(0);
  info.set(attr.bytes.subarray(0, 8));
  view.setUint32(8, bytes.length, true);
  objectInfo(handle.fd, info);
  return new Btf(bytes);
}
