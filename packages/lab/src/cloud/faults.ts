import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Caller } from './operation.ts';
import { wildcard } from './wildcard.ts';

/** A fault to be injected into the API. */
export const faultSchema = z
  .strictObject({
    /** Name of the operation that fails; `*` stands for any text. */
    operation: z.string().min(1),
    /** Only requests that are signed with the role of this instance. */
    instanceId: z.string().optional(),
    /** Error code to answer with, such as `UnauthorizedOperation`; without it the request is only delayed. */
    code: z.string().min(1).optional(),
    message: z.string().optional(),
    /** HTTP status, when it is not the one of the code. */
    status: z.number().int().min(400).max(599).optional(),
    /** Close the connection without an answer. */
    drop: z.boolean().default(false),
    /** `after`: the operation is carried out first, so that only its answer is lost. */
    when: z.enum(['before', 'after']).default('before'),
    delayMs: z.number().int().min(0).max(600_000).default(0),
    /** How often it strikes before it is gone; without it, until it is deleted. */
    times: z.number().int().min(1).optional(),
    probability: z.number().min(0).max(1).default(1),
  })
  .refine(({ code, drop }) => !(code && drop), { message: 'a dropped request has no error code' });

export type Fault = z.output<typeof faultSchema> & { readonly id: string };

/** The faults that are set, in the order in which they were set. */
export class Faults {
  readonly #seed: string;
  #faults: Fault[] = [];
  #added = 0;
  #drawn = 0;

  /** @param seed decides the draws of faults with a probability. */
  constructor(seed: string) {
    this.#seed = seed;
  }

  add(fault: z.output<typeof faultSchema>): Fault {
    this.#added += 1;
    const added = { ...fault, id: `fault-${this.#added}` };
    this.#faults.push(added);
    return added;
  }

  list(): readonly Fault[] {
    return this.#faults;
  }

  /** @returns false when there is no such fault. */
  delete(id: string): boolean {
    const before = this.#faults.length;
    this.#faults = this.#faults.filter((fault) => fault.id !== id);
    return this.#faults.length < before;
  }

  clear(): void {
    this.#faults = [];
  }

  /** The first fault that strikes a request, used up by one time. */
  strike(operation: string, caller: Caller): Fault | undefined {
    const instanceId = caller.kind === 'instance' ? caller.instanceId : undefined;
    const fault = this.#faults.find(
      (candidate) =>
        wildcard(candidate.operation).test(operation) &&
        (candidate.instanceId === undefined || candidate.instanceId === instanceId) &&
        (candidate.probability === 1 || this.#draw() < candidate.probability),
    );
    if (fault?.times !== undefined) {
      this.#faults = this.#faults.flatMap((other) => {
        if (other !== fault) return other;
        return fault.times === 1 ? [] : { ...fault, times: fault.times! - 1 };
      });
    }
    return fault;
  }

  /** A number from 0 to 1, 1 excluded. */
  #draw(): number {
    this.#drawn += 1;
    return (
      createHash('sha256').update(`${this.#seed}/fault/${this.#drawn}`).digest().readUInt32BE() / 2 ** 32
    );
  }
}
