import { existsSync, mkdirSync, readFileSync, statfsSync, unlinkSync } from 'node:fs';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { BpfError, BpfMap, type BpfObject, hasFeature, loadObject, parseObject } from '@enid/ebpf';
import { UnsupportedKernelError } from './errors.ts';
import type { DataPlaneOptions } from './types.ts';

/** So that to read, word and log a flood of verdicts takes less than 3 % of a core, of slow ones too. */
export const EVENTS_PER_SECOND = 100;

const BPF_FS_MAGIC = 0xcafe4a11;

/**
 * Loads the programs with maps of their own, and with those maps that are pinned: flows, fragments, events and counters, which
 * outlive the process.
 * @param loaded the number by which events say whose rules they speak of.
 * @throws {UnsupportedKernelError}
 */
export function loadPrograms(options: DataPlaneOptions, loaded: number): BpfObject {
  const { directory, sizes = {}, eventsPerSecond = EVENTS_PER_SECOND } = options;
  const pinDirectory = join(directory, 'maps');
  makeDirectory(pinDirectory);
  makeDirectory(join(directory, 'links'));
  try {
    const spec = parseObject(options.object ?? builtObject());
    const maxEntries = { ...sizes, ...keptSizes(pinDirectory, spec.maps.values()) };
    return loadObject(spec, {
      pinDirectory,
      maxEntries: Object.fromEntries(Object.entries(maxEntries).filter(([, size]) => size !== undefined)),
      variables: {
        loaded,
        has_coarse_clock: hasFeature('coarseClock') ? 1 : 0,
        event_interval: BigInt(Math.round(1e9 / eventsPerSecond)),
        event_burst: BigInt(eventsPerSecond),
      },
    });
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    throw new UnsupportedKernelError(
      `network policies need Linux 5.10 or later with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF; this is ${release()}: ${error.message}`,
      { cause: error },
    );
  }
}

function makeDirectory(path: string): void {
  let existing = path;
  while (!existsSync(existing)) existing = dirname(existing);
  if (statfsSync(existing).type !== BPF_FS_MAGIC)
    throw new UnsupportedKernelError(
      `${path} is not on a BPF file system, where policies outlive the agent: mount -t bpf bpf /sys/fs/bpf`,
    );
  mkdirSync(path, { recursive: true });
}

type Spec = ReturnType<typeof parseObject>['maps'] extends ReadonlyMap<string, infer M> ? M : never;

/** Of pinned maps the size stays; one of another layout makes way: it was that of another release. */
function keptSizes(directory: string, specs: Iterable<Spec>): Record<string, number> {
  const kept: Record<string, number> = {};
  for (const spec of specs) {
    const path = join(directory, spec.name);
    if (!spec.pinned || !existsSync(path)) continue;
    using map = BpfMap.pinned(path, {});
    const isSame = (['type', 'keySize', 'valueSize', 'flags'] as const).every(
      (field) => map.info[field] === spec[field],
    );
    if (isSame) kept[spec.name] = map.info.maxEntries;
    else unlinkSync(path);
  }
  return kept;
}

/** The object file of the checkout or the image that this is a part of. */
function builtObject(): Uint8Array {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const path = join(folder, 'bpf/build/policy.o');
    if (existsSync(path)) return readFileSync(path);
    if (folder === dirname(folder))
      throw new Error(
        `bpf/build/policy.o is in no folder around ${import.meta.dirname}: run scripts/build-bpf`,
      );
  }
}
