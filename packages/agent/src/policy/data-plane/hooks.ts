import { existsSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import {
  attachClsact,
  attachTcx,
  type ClsactFilter,
  detachClsact,
  type Interface,
  Link,
  type Program,
} from '@enid/ebpf';
import { type NetNamespace, SyscallError } from '@enid/linux';
import type { Direction } from '../rules.ts';
import { DIRECTIONS } from './layouts.ts';

/** The agent's number among the owners of what is in the kernel, see its routes. */
const PRIORITY = 69;

export type Programs = { readonly [D in Direction]: Program };

/**
 * Where the programs stand on a pod's link. What the pod sends comes in there.
 *
 * clsact is the default on every kernel: a filter of it is attached in 0.1 ms, and held by the link. TCX makes its caller wait for
 * all processors (RCU), twice a pod and again when the link goes, some 25 ms each time, with the lock that all network configuration
 * of the machine goes through. Either puts one program in another's place between two packets.
 */
export class Hooks {
  readonly #kind: 'tcx' | 'clsact';
  readonly #programs: Programs;
  readonly #directory: string;
  readonly #ns: NetNamespace | undefined;

  constructor(options: {
    kind: 'tcx' | 'clsact';
    programs: Programs;
    directory: string;
    ns: NetNamespace | undefined;
  }) {
    this.#kind = options.kind;
    this.#programs = options.programs;
    this.#directory = options.directory;
    this.#ns = options.ns;
  }

  /** Attaches both programs, in place of those of a process before. @throws {SyscallError} ENODEV when there is no such link. */
  attach(ifindex: number): void {
    for (const direction of DIRECTIONS) {
      const path = this.#path(ifindex, direction);
      if (this.#kind === 'tcx') {
        this.#attachTcx(ifindex, direction, path);
        this.#detachClsact(ifindex, direction);
      } else {
        attachClsact(this.#programs[direction], this.#filter(ifindex, direction));
        unpin(path);
      }
    }
  }

  /** Takes them off. It does not matter whether they, or the link, are there. */
  detach(ifindex: number): void {
    for (const direction of DIRECTIONS) {
      unpin(this.#path(ifindex, direction));
      this.#detachClsact(ifindex, direction);
    }
  }

  /** Forgets pins of links that are gone. */
  tidy(): void {
    for (const name of readdirSync(this.#directory)) {
      const path = join(this.#directory, name);
      using link = Link.pinned(path);
      if (link.info.ifindex === 0) unlinkSync(path);
    }
  }

  #attachTcx(ifindex: number, direction: Direction, path: string): void {
    if (existsSync(path)) {
      using link = Link.pinned(path);
      if (link.info.ifindex === ifindex) {
        link.update(this.#programs[direction]);
        return;
      }
      unlinkSync(path);
    }
    using link = attachTcx(this.#programs[direction], this.#interface(ifindex), hookOf(direction));
    link.pin(path);
  }

  #detachClsact(ifindex: number, direction: Direction): void {
    try {
      detachClsact(this.#filter(ifindex, direction));
    } catch (error) {
      // No such filter, no qdisc to hold one, no link.
      if (!(error instanceof SyscallError && ['ENOENT', 'EINVAL', 'ENODEV'].includes(error.code)))
        throw error;
    }
  }

  #interface(ifindex: number): Interface {
    return { ifindex, ...(this.#ns && { ns: this.#ns }) };
  }

  #filter(ifindex: number, direction: Direction): ClsactFilter {
    return { ...this.#interface(ifindex), direction: hookOf(direction), priority: PRIORITY, handle: 1 };
  }

  #path(ifindex: number, direction: Direction): string {
    return join(this.#directory, `${ifindex}-${direction}`);
  }
}

/** What goes in to the pod goes out of its link on the node. */
const hookOf = (direction: Direction): Direction => (direction === 'ingress' ? 'egress' : 'ingress');

function unpin(path: string): void {
  if (!existsSync(path)) return;
  {
    using link = Link.pinned(path);
    if (link.info.ifindex !== 0) link.detach();
  }
  unlinkSync(path);
}
