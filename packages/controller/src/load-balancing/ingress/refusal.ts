import { InvalidObject } from '../model/errors.ts';
import type { ReadMember } from './member.ts';

export type Refused = { readonly member: ReadMember; readonly problem: InvalidObject };

/** Ingresses that their group is to go on without. */
export class Refusal extends Error {
  readonly refused: readonly Refused[];

  constructor(refused: readonly Refused[]) {
    super(refused.map(({ problem }) => problem.message).join('\n'));
    this.refused = refused;
  }
}

/**
 * Takes in members in turn, those before being there already, and goes on without those that are refused.
 * @param admit says why not, or takes a member in. @throws {Refusal} of all that are refused, once all have been asked.
 */
export function admitEach(
  members: readonly ReadMember[],
  admit: (member: ReadMember) => string | undefined,
): void {
  const refused = members.flatMap((member): Refused[] => {
    const message = admit(member);
    return message === undefined ? [] : [{ member, problem: new InvalidObject(member.object, message) }];
  });
  if (refused.length > 0) throw new Refusal(refused);
}

/** @throws {Refusal} */
export function refuse(member: ReadMember, message: string): never {
  throw new Refusal([{ member, problem: new InvalidObject(member.object, message) }]);
}

/** Does what only this member asks for. @throws {Refusal} when it is wrong. */
export async function blaming<T>(member: ReadMember, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof InvalidObject ? new Refusal([{ member, problem: error }]) : error;
  }
}
