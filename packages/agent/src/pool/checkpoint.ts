/**
 * What of the pool outlives the process: who holds which address, and which were released a moment ago.
 *
 * The file is Amazon's, with two fields more: `released`, so that a restart does not end the rest of an address
 * early, and `cordoned`, what an operator has put aside. A file without `released` was left by Amazon's agent: then
 * every address that it does not name is taken to have been released when the file was last written.
 */
import { closeSync, fdatasync, mkdirSync, openSync, renameSync, statfsSync, writeFileSync } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { AddressError, type Ipv4, type Ipv4Cidr, parseIpv4, parseIpv4Cidr } from '@enid/ip';
import type { Allocation, Pool } from '@enid/ipam';
import { z } from 'zod';
import { faultPoint } from '../fault-point.ts';

const VERSION = 'vpc-cni-ipam/1';
/** In a millisecond. */
const NANOSECONDS = 1_000_000;

const synchronizeData = promisify(fdatasync);

/** The checkpoint cannot be read or written. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError';
}

/** Where the text of a checkpoint is kept. */
export interface CheckpointStore {
  readonly name: string;
  /** @returns undefined when there is none yet. `writtenAt` is milliseconds since 1970. */
  read(): Promise<{ readonly text: string; readonly writtenAt: number } | undefined>;
  /** Replaces the text, whole or not at all. Once this resolves, it survives all that pods survive. */
  write(text: string): Promise<void>;
}

/** The type of a file system in memory, see statfs(2). */
const TMPFS_MAGIC = 0x01021994;

/** A checkpoint in a file. */
export class CheckpointFile implements CheckpointStore {
  readonly name: string;
  #filesystem: number | undefined;

  constructor(path: string) {
    this.name = path;
  }

  async read(): Promise<{ text: string; writtenAt: number } | undefined> {
    try {
      return { text: await readFile(this.name, 'utf8'), writtenAt: (await stat(this.name)).mtimeMs };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  async write(text: string): Promise<void> {
    const temporary = `${this.name}.tmp`;
    const file = this.#create(temporary);
    faultPoint('checkpoint-opened');
    try {
      // What does not wait for a disk is done on the spot: each turn of the thread pool would cost a pod more.
      writeFileSync(file, text);
      if (this.#onDisk) await synchronizeData(file);
    } finally {
      closeSync(file);
    }
    faultPoint('checkpoint-complete');
    renameSync(temporary, this.name);
    faultPoint('checkpoint-replaced');
    if (this.#onDisk) await synchronizeDirectory(dirname(this.name)); // Else the rename may be lost with the machine.
  }

  /** A file in memory, as /var/run is on a node, lives as long as the pods that it tells of: there is no disk to wait for. */
  get #onDisk(): boolean {
    this.#filesystem ??= statfsSync(dirname(this.name)).type;
    return this.#filesystem !== TMPFS_MAGIC;
  }

  #create(path: string): number {
    try {
      return openSync(path, 'w', 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      mkdirSync(dirname(path), { recursive: true });
      return openSync(path, 'w', 0o600);
    }
  }
}

async function synchronizeDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r');
  await directory.sync();
}

/** What a checkpoint says. Times are milliseconds since 1970. */
export type CheckpointData = {
  readonly allocations: readonly Allocation[];
  readonly released: readonly (readonly [Ipv4, number])[];
  /** When everything that is not named was released at the latest; absent when `released` is complete. */
  readonly othersReleasedAt?: number;
  /** Blocks that an operator has put aside; none when absent. */
  readonly cordoned?: readonly Ipv4Cidr[];
};

const parsed = <T>(parse: (text: string) => T) =>
  z.string().transform((text, context) => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });
const ipv4 = parsed(parseIpv4);

/** Metadata that Amazon's agent reads and writes as numbers; everything else are texts. */
const NUMBERS: ReadonlySet<string> = new Set(['interfacesCount']);

const schema = z.object({
  version: z.literal(VERSION),
  allocations: z
    .array(
      z.object({
        networkName: z.string(),
        containerID: z.string(),
        ifName: z.string(),
        ipv4,
        allocationTimestamp: z.number().default(0),
        metadata: z.record(z.string(), z.unknown()).default({}),
      }),
    )
    .nullish(),
  released: z.array(z.object({ ipv4, releaseTimestamp: z.number() })).optional(),
  cordoned: z.array(parsed(parseIpv4Cidr)).optional(),
});

/**
 * Reads what an earlier run left.
 * @throws {CheckpointError} when there is something that is no checkpoint: addresses that pods hold would be given
 *   out again without it.
 */
export async function readCheckpoint(store: CheckpointStore): Promise<CheckpointData> {
  const found = await store.read();
  return found ? parseCheckpoint(store.name, found) : { allocations: [], released: [] };
}

/**
 * The meaning of a checkpoint's text.
 * @throws {CheckpointError} as {@link readCheckpoint} does.
 */
export function parseCheckpoint(
  name: string,
  found: { readonly text: string; readonly writtenAt: number },
): CheckpointData {
  try {
    const { allocations, released, cordoned } = schema.parse(JSON.parse(found.text));
    return {
      allocations: (allocations ?? []).map((entry) => ({
        key: { network: entry.networkName, containerId: entry.containerID, ifName: entry.ifName },
        address: entry.ipv4,
        since: entry.allocationTimestamp / NANOSECONDS,
        metadata: Object.fromEntries(
          Object.entries(entry.metadata).map(([key, value]) => [key, String(value)]),
        ),
      })),
      released: (released ?? []).map((entry) => [entry.ipv4, entry.releaseTimestamp / NANOSECONDS] as const),
      ...(released === undefined && { othersReleasedAt: found.writtenAt }),
      ...(cordoned && { cordoned }),
    };
  } catch (cause) {
    const text =
      `${name} is no checkpoint of version ${VERSION} (${reasonOf(cause)}). Pods may hold addresses that only ` +
      'it names: restore it; or, once no pod runs on this node, delete it';
    throw new CheckpointError(text, { cause });
  }
}

/** The text of a checkpoint. */
export function encodeCheckpoint({
  allocations,
  released,
  cordoned,
}: Pick<Pool, 'allocations' | 'released'> & Partial<Pick<Pool, 'cordoned'>>): string {
  return JSON.stringify({
    version: VERSION,
    allocations: [...allocations.values()].map(({ key, address, since, metadata }) => ({
      networkName: key.network,
      containerID: key.containerId,
      ifName: key.ifName,
      ipv4: address,
      allocationTimestamp: since * NANOSECONDS,
      metadata: Object.fromEntries(
        Object.entries(metadata).map(([name, value]) => [name, NUMBERS.has(name) ? Number(value) : value]),
      ),
    })),
    released: [...released].map(([address, time]) => ({
      ipv4: address,
      releaseTimestamp: time * NANOSECONDS,
    })),
    ...(cordoned?.length && { cordoned }),
  });
}

/** Writes checkpoints; calls that come while one is written share the next. */
export class CheckpointWriter {
  readonly #store: CheckpointStore;
  readonly #encode: () => string;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** @param encode the text as of now; called once for each write. */
  constructor(store: CheckpointStore, encode: () => string) {
    this.#store = store;
    this.#encode = encode;
  }

  /**
   * Resolves when what is true now is written.
   * @throws {CheckpointError} naming the file and the cause.
   */
  commit(): Promise<void> {
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => turn()) // For what else has come by now.
      .then(() => {
        this.#next = undefined;
        this.#running = this.#write();
        return this.#running;
      });
    return this.#next;
  }

  async #write(): Promise<void> {
    try {
      await this.#store.write(this.#encode());
    } catch (cause) {
      const text = `${this.#store.name} cannot be written (${reasonOf(cause)}): free space there, or set AWS_VPC_K8S_CNI_BACKING_STORE to another path`;
      throw new CheckpointError(text, { cause });
    }
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof z.ZodError) {
    const { path, message } = error.issues[0]!;
    return `${path.join('.')}: ${message}`;
  }
  return error instanceof Error ? error.message : String(error);
}
