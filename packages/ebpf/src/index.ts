/** eBPF: object files, programs, maps, links, ring buffers and what is loaded. See the package's README. */
export { Btf, type BtfType } from './btf/btf.ts';
export { type BpfValue, bytesCodec, type Codec, codecOf, u32Codec } from './btf/codec.ts';
export { btfOf } from './btf/kernel.ts';
export { parseElf } from './elf/elf.ts';
export { BpfError, MalformedObjectError, VerifierError } from './errors.ts';
export { type FeatureName, features, hasFeature, requireFeature } from './features.ts';
export { disassemble, formatInstructions } from './inspect/disassemble.ts';
export { type FilterInfo, listFilters } from './inspect/filters.ts';
export {
  dumpMap,
  enableStats,
  listLinks,
  listMaps,
  listPrograms,
  type ProgramInfo,
  programInfo,
} from './inspect/objects.ts';
export { type ObjectKind, type Owner, Owners } from './inspect/owners.ts';
export type { LinkType, MapType, ProgramType } from './kinds.ts';
export { attachClsact, type ClsactFilter, detachClsact } from './links/clsact.ts';
export { attachTcx, attachXdp, type Interface, Link, type LinkInfo, type TcxPlace } from './links/link.ts';
export { attachKprobe, attachTracepoint } from './links/tracing.ts';
export { BpfObject, type LoadOptions, loadObject } from './loader/load.ts';
export { type ObjectSpec, parseObject } from './loader/object.ts';
export { Program, type TestResult, type TestRun } from './loader/program.ts';
export { BpfMap, type MapInfo, type MapShape, possibleCpus, type UpdateMode } from './maps/map.ts';
export { RingBuffer } from './maps/ringbuf.ts';
