/** The shapes of AWS's Query APIs, taken from the AWS SDK: nothing about the wire is written down a second time. */
import * as ec2 from '@aws-sdk/client-ec2';
import { NormalizedSchema } from '@smithy/core/schema';
import type { CommandInput, CommandName, CommandOutput } from './sdk.ts';

/** Every operation of EC2: `AssignPrivateIpAddresses`, … */
export type OperationName = CommandName<typeof ec2>;

/** What an operation is given: the SDK's input, whose required members the decoder has found. */
export type Input<Name extends OperationName> = CommandInput<typeof ec2, Name>;

/** What an operation answers: the SDK's output. */
export type Output<Name extends OperationName> = CommandOutput<typeof ec2, Name>;

/** Version of the API that the SDK and the AWS CLI speak. */
export const API_VERSION = '2016-11-15';

export type OperationSchema = { readonly input: NormalizedSchema; readonly output: NormalizedSchema };

/**
 * The schema of an operation, or undefined when the service has none of that name.
 * @param sdk the module of the service's client; EC2's unless given.
 */
export function operationSchema(name: string, sdk: object = ec2): OperationSchema | undefined {
  const schema: unknown = (sdk as Record<string, unknown>)[`${name}$`];
  if (!Array.isArray(schema) || schema[0] !== 9) return undefined;
  return { input: NormalizedSchema.of(schema[4]), output: NormalizedSchema.of(schema[5]) };
}

/** How a service's requests differ on the wire. */
export type Dialect = {
  /** The name of a member in a request. */
  readonly requestKey: (name: string, member: NormalizedSchema) => string;
  /** What stands between a list's name and the number of its member. */
  readonly listMember?: string;
};

/** EC2 has a trait of its own for a member's name, else it is the capitalised XML name. */
export const EC2_QUERY: Dialect = {
  requestKey(name, member) {
    const { xmlName = name, ec2QueryName } = member.getMergedTraits();
    return (ec2QueryName as string | undefined) ?? xmlName.charAt(0).toUpperCase() + xmlName.slice(1);
  },
};

/** The protocol of the other Query APIs: `Subnets.member.1=x`. */
export const AWS_QUERY: Dialect = {
  requestKey: (name, member) => member.getMemberTraits().xmlName ?? name,
  listMember: 'member',
};

/** The element of a member in an answer. */
export function responseKey(name: string, member: NormalizedSchema): string {
  return member.getMemberTraits().xmlName ?? name;
}

type StructureSchema = [unknown, unknown, unknown, unknown, string[], unknown, number?];

/** The members that a request must have: the SDK lists them first and counts them. */
export function requiredMembers(structure: NormalizedSchema): readonly string[] {
  const [, , , , members, , required] = structure.getSchema() as unknown as StructureSchema;
  return members.slice(0, required ?? 0);
}
