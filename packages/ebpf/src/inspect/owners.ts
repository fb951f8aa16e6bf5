import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Handle, openPinned } from '../syscalls.ts';
import { listFilters } from './filters.ts';

/** What keeps an object of eBPF loaded: a process that has it open, a file that it is pinned at, or a network interface that runs it. */
export type Owner =
  | { readonly pid: number; readonly command: string }
  | { readonly path: string }
  | { readonly interface: string; readonly direction: 'ingress' | 'egress' };
export type ObjectKind = 'program' | 'map' | 'link';

/** What a descriptor refers to, as its fdinfo says (proc(5)). A link names its program too. */
const IDS: readonly (readonly [ObjectKind, RegExp])[] = [
  ['link', /^link_id:\t(\d+)$/m],
  ['map', /^map_id:\t(\d+)$/m],
  ['program', /^prog_id:\t(\d+)$/m],
];

/**
 * Who keeps which object, by kind and id. A program that only a link or another program holds has no owner of its own.
 * Processes and file systems that this one may not look into are passed over.
 */
export class Owners {
  readonly #owners = new Map<string, Owner[]>();

  /** Looks at all processes, at all bpf file systems of this mount namespace, and at the interfaces of this network namespace. */
  static read(): Owners {
    const owners = new Owners();
    for (const pid of list('/proc').map(Number).filter(Number.isInteger)) owners.#addProcess(pid);
    for (const mount of bpfMounts()) owners.#addPins(mount);
    for (const { programId, interface: name, direction } of listFilters())
      owners.#add(`prog_id:\t${programId}\n`, { interface: name, direction });
    return owners;
  }

  of(kind: ObjectKind, id: number): readonly Owner[] {
    return this.#owners.get(`${kind} ${id}`) ?? [];
  }

  #add(fdinfo: string, owner: Owner): void {
    for (const [kind, pattern] of IDS) {
      const id = pattern.exec(fdinfo)?.[1];
      if (id === undefined) continue;
      const key = `${kind} ${id}`;
      const known = this.#owners.get(key) ?? [];
      if (!known.some((one) => 'pid' in one && 'pid' in owner && one.pid === owner.pid)) known.push(owner);
      this.#owners.set(key, known);
      return;
    }
  }

  #addProcess(pid: number): void {
    const command = read(`/proc/${pid}/comm`).trimEnd();
    for (const fd of list(`/proc/${pid}/fdinfo`)) {
      this.#add(read(`/proc/${pid}/fdinfo/${fd}`), { pid, command });
    }
  }

  #addPins(directory: string): void {
    for (const name of list(directory)) {
      const path = join(directory, name);
      if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) this.#addPins(path);
      else {
        try {
          using object = new Handle(openPinned(path), path);
          this.#add(read(`/proc/self/fdinfo/${object.fd}`), { path });
        } catch {
          // A symbolic link, an iterator, or gone.
        }
      }
    }
  }
}

function bpfMounts(): string[] {
  return read('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => line.includes(' - bpf '))
    .map((line) => line.split(' ')[4]!);
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
