import { MalformedObjectError } from '../errors.ts';
import type { Btf } from './btf.ts';

/** Which function begins at an offset of a section, in bytes. */
export type FunctionInfo = { readonly offset: number; readonly type: number };

/** Which line of source the instruction at an offset comes from. */
export type LineInfo = {
  readonly offset: number;
  readonly file: string;
  readonly line: number;
  readonly text: string;
  /** file_name_off, line_off and line_col as the kernel takes them. */
  readonly raw: readonly [number, number, number];
};

/** What .BTF.ext says of the instructions, by section. */
export type BtfExt = {
  readonly functions: ReadonlyMap<string, readonly FunctionInfo[]>;
  readonly lines: ReadonlyMap<string, readonly LineInfo[]>;
  /** Whether there are relocations against the running kernel's types (CO-RE), by section. */
  readonly coreRelocations: ReadonlyMap<string, readonly number[]>;
};

/** Reads .BTF.ext. @throws {MalformedObjectError} */
export function parseBtfExt(bytes: Uint8Array, btf: Btf): BtfExt {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 24 || view.getUint16(0, true) !== 0xeb9f)
    throw new MalformedObjectError('not BTF.ext in little-endian');
  const start = view.getUint32(4, true);
  const part = (at: number, least: number, read: (view: DataView) => unknown) => {
    const offset = start + view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    if (offset + length > bytes.length) throw new MalformedObjectError('a part of BTF.ext beyond the end');
    const part = new DataView(bytes.buffer, bytes.byteOffset + offset, length);
    return length === 0 ? new Map() : readPart(part, least, btf, read);
  };
  return {
    functions: part(8, 8, (record) => ({
      offset: record.getUint32(0, true),
      type: record.getUint32(4, true),
    })) as Map<string, FunctionInfo[]>,
    lines: part(16, 16, (record): LineInfo => {
      const raw = [record.getUint32(4, true), record.getUint32(8, true), record.getUint32(12, true)] as const;
      return {
        offset: record.getUint32(0, true),
        file: btf.string(raw[0]),
        line: raw[2] >>> 10,
        text: btf.string(raw[1]).trim(),
        raw,
      };
    }) as Map<string, LineInfo[]>,
    coreRelocations:
      start >= 32 && bytes.length >= 32
        ? (part(24, 16, (record) => record.getUint32(0, true)) as Map<string, number[]>)
        : new Map(),
  };
}

function readPart<T>(view: DataView, least: number, btf: Btf, read: (view: DataView) => T): Map<string, T[]> {
  const bySection = new Map<string, T[]>();
  if (view.byteLength < 4) throw new MalformedObjectError('a part of BTF.ext without its record size');
  const size = view.getUint32(0, true);
  if (size < least) throw new MalformedObjectError(`records of ${size} bytes in BTF.ext`);
  for (let at = 4; at < view.byteLength; ) {
    if (at + 8 > view.byteLength) throw new MalformedObjectError('a section of BTF.ext beyond the end');
    const name = btf.string(view.getUint32(at, true));
    const count = view.getUint32(at + 4, true);
    at += 8;
    if (at + count * size > view.byteLength)
      throw new MalformedObjectError(`records of ${name} in BTF.ext beyond the end`);
    const records = bySection.get(name) ?? [];
    bySection.set(name, records);
    for (let i = 0; i < count; i++, at += size)
      records.push(read(new DataView(view.buffer, view.byteOffset + at, size)));
  }
  return bySection;
}
