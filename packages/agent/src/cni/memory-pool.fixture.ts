import type { Ipv4 } from '@enid/ip';
import { primaryEni, secondaryEni } from '../network/testbed.ts';
import {
  type AddressPool,
  type Assignment,
  NoAddressError,
  type Readiness,
  type SandboxKey,
  type SandboxMetadata,
} from '../seams.ts';

/** For tests: hands out 10.0.1.5 to 10.0.1.9 of the primary ENI, then 10.0.1.51 and up of the secondary one. */
export class MemoryPool implements AddressPool {
  readiness: Readiness = { ok: true };
  /** Containers whose release fails. */
  readonly stuck = new Set<string>();
  readonly #held = new Map<string, Assignment>();
  readonly #free: { address: Ipv4; eni: typeof primaryEni }[];

  constructor(size = 60) {
    const hosts = [5, 6, 7, 8, 9, ...Array.from({ length: 49 }, (_, at) => 51 + at), 10, 11, 12, 13, 14, 15];
    this.#free = hosts
      .slice(0, size)
      .map((host) => ({ address: `10.0.1.${host}` as Ipv4, eni: host > 50 ? secondaryEni : primaryEni }));
  }

  ready(): Readiness {
    return this.readiness;
  }

  async assign(key: SandboxKey, metadata: SandboxMetadata): Promise<Assignment> {
    if (!this.readiness.ok) throw refused(this.readiness.reason);
    const held = this.lookup(key);
    if (held) return held;
    const next = this.#free.shift();
    if (!next) throw refused('the subnet is full: add a subnet');
    const assignment = { key, metadata, ...next };
    this.#held.set(JSON.stringify(key), assignment);
    return assignment;
  }

  lookup(key: SandboxKey): Assignment | undefined {
    return this.#held.get(JSON.stringify(key));
  }

  async release(key: SandboxKey): Promise<Assignment | undefined> {
    if (this.stuck.has(key.containerId)) throw new Error('disk full');
    const held = this.lookup(key);
    this.#held.delete(JSON.stringify(key));
    if (held) this.#free.push({ address: held.address, eni: held.eni });
    return held;
  }

  assignments(): Assignment[] {
    return [...this.#held.values()];
  }
}

const refused = (sentence: string) => new NoAddressError({ cause: 'SubnetExhausted', sentence });
