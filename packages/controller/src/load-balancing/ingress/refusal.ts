import { InvalidObject } from '../model/errors.ts';
import type { ReadMember } from './member.ts';

/** An Ingress that its group is to go on without. */
export class Refusal extends Error {
  readonly member: ReadMember;
  readonly problem: InvalidObject;

  constructor(member: ReadMember, problem: InvalidObject) {
    super(problem.message);
    this.member = member;
    this.problem = problem;
  }
}

/** @throws {Refusal} */
export function refuse(member: ReadMember, message: string): never {
  throw new Refusal(member, new InvalidObject(member.object, message));
}

/** Does what only this member asks for. @throws {Refusal} when it is wrong. */
export async function blaming<T>(member: ReadMember, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof InvalidObject ? new Refusal(member, error) : error;
  }
}
