import type { BpfValue } from '../btf/codec.ts';
import { BpfError } from '../errors.ts';
import { type ProgramType, programTypes } from '../kinds.ts';
import { Link, type LinkInfo } from '../links/link.ts';
import { BpfMap, KEYLESS, type MapInfo, mapInfo } from '../maps/map.ts';
import { Attr, addressOf, bpf, type Command, Handle, objectInfo, tryBpf } from '../syscalls.ts';

const ENOENT = 2;

/** A program as the kernel shows it. */
export type ProgramInfo = {
  readonly id: number;
  readonly type: ProgramType;
  readonly name: string;
  /** Hash of its instructions. */
  readonly tag: string;
  /** Nanoseconds since boot. */
  readonly loadedAt: bigint;
  readonly uid: number;
  readonly mapIds: readonly number[];
  readonly btfId: number;
  /** Bytes of instructions after verification, and of machine code. */
  readonly translatedLength: number;
  readonly jitedLength: number;
  /** How often and how long (nanoseconds) it ran while {@link enableStats} held. */
  readonly runs: bigint;
  readonly runTime: bigint;
};

/** All programs of the system. What comes or goes meanwhile may be missing. */
export function listPrograms(): ProgramInfo[] {
  return [...each('BPF_PROG_GET_NEXT_ID', 'BPF_PROG_GET_FD_BY_ID', programInfo)];
}

/** All maps of the system. */
export function listMaps(): MapInfo[] {
  return [...each('BPF_MAP_GET_NEXT_ID', 'BPF_MAP_GET_FD_BY_ID', mapInfo)];
}

/** All links of the system. */
export function listLinks(): LinkInfo[] {
  return [...ids('BPF_LINK_GET_NEXT_ID')].flatMap((id) =>
    unlessGone(() => {
      using link = Link.byId(id);
      return [link.info];
    }),
  );
}

/** The entries of a map, whoever made it, with fields named where it has BTF. */
export function dumpMap(id: number): { key: BpfValue; value: BpfValue }[] {
  using map = BpfMap.byId(id);
  if (KEYLESS.includes(map.info.type)) throw new Error(`map ${id} is a ${map.info.type}, which has no keys`);
  return [...map].map(([key, value]) => ({ key, value }));
}

/** Counts runs and their time, of all programs, until it is closed. It costs some 20 ns a run. Needs kernel 5.8. */
export function enableStats(): Handle {
  return new Handle(bpf('BPF_ENABLE_STATS', new Attr().u32(0, 0)), 'statistics');
}

/** What the kernel says of the program behind a file descriptor. */
export function programInfo(fd: number): ProgramInfo {
  const bytes = new Uint8Array(224);
  const view = new DataView(bytes.buffer);
  objectInfo(fd, bytes);
  const count = view.getUint32(52, true);
  const mapIds = new Uint32Array(Math.max(count, 1));
  const translatedLength = view.getUint32(20, true);
  const jitedLength = view.getUint32(16, true);
  bytes.fill(0);
  view.setUint32(52, count, true);
  view.setBigUint64(56, count > 0 ? addressOf(new Uint8Array(mapIds.buffer)) : 0n, true);
  objectInfo(fd, bytes);
  return {
    type: programTypes[view.getUint32(0, true)] ?? 'unspec',
    id: view.getUint32(4, true),
    tag: Buffer.from(bytes.subarray(8, 16)).toString('hex'),
    jitedLength,
    translatedLength,
    loadedAt: view.getBigUint64(40, true),
    uid: view.getUint32(48, true),
    mapIds: [...mapIds.subarray(0, Math.min(count, view.getUint32(52, true)))],
    name: Buffer.from(bytes.subarray(64, 80)).toString('latin1').replace(/\0.*$/s, ''),
    btfId: view.getUint32(128, true),
    runTime: view.getBigUint64(192, true),
    runs: view.getBigUint64(200, true),
  };
}

function* each<T>(next: Command, open: Command, read: (fd: number) => T): Generator<T> {
  for (const id of ids(next)) {
    yield* unlessGone(() => {
      using handle = new Handle(bpf(open, new Attr().u32(0, id)), 'object');
      return [read(handle.fd)];
    });
  }
}

function* ids(command: Command): Generator<number> {
  for (let id = 0; ; ) {
    const attr = new Attr().u32(0, id);
    const result = tryBpf(command, attr);
    if (result === -ENOENT) return;
    if (result < 0) throw new BpfError(command, -result);
    id = attr.readU32(4);
    yield id;
  }
}

/** What went between listing and opening is passed over. */
function unlessGone<T>(open: () => T[]): T[] {
  try {
    return open();
  } catch (error) {
    if ((error as BpfError).errno === ENOENT) return [];
    throw error;
  }
}
