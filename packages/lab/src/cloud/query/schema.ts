/** The shapes of the EC2 API, taken from the AWS SDK: nothing about the wire is written down a second time. */
import * as ec2 from '@aws-sdk/client-ec2';
import { NormalizedSchema } from '@smithy/core/schema';

type Sdk = typeof ec2;
type NameOfCommand<Export> = Export extends `${infer Name}Command` ? Name : never;

/** Every operation of EC2: `AssignPrivateIpAddresses`, … */
export type OperationName = NameOfCommand<keyof Sdk>;

type RequiredKeys<T> = { [Key in keyof T]-?: object extends Pick<T, Key> ? never : Key }[keyof T];
type Checked<T> = T & { [Key in RequiredKeys<T>]-?: NonNullable<T[Key]> };

/** What an operation is given: the SDK's input, whose required members the decoder has found. */
export type Input<Name extends OperationName> = Checked<ConstructorParameters<Sdk[`${Name}Command`]>[0]>;

type Handler<Name extends OperationName> = ReturnType<
  InstanceType<Sdk[`${Name}Command`]>['resolveMiddleware']
>;

/** What an operation answers: the SDK's output. */
export type Output<Name extends OperationName> = Omit<
  Awaited<ReturnType<Handler<Name>>>['output'],
  '$metadata'
>;

/** Version of the API that the SDK and the AWS CLI speak. */
export const API_VERSION = '2016-11-15';

export type OperationSchema = { readonly input: NormalizedSchema; readonly output: NormalizedSchema };

/** The schema of an operation, or undefined when EC2 has none of that name. */
export function operationSchema(name: string): OperationSchema | undefined {
  const schema: unknown = (ec2 as Record<string, unknown>)[`${name}$`];
  if (!Array.isArray(schema) || schema[0] !== 9) return undefined;
  return { input: NormalizedSchema.of(schema[4]), output: NormalizedSchema.of(schema[5]) };
}

/** The name of a member in a request: EC2 has its own trait for it, else it is the capitalised XML name. */
export function requestKey(name: string, member: NormalizedSchema): string {
  const { xmlName = name, ec2QueryName } = member.getMergedTraits();
  return (ec2QueryName as string | undefined) ?? xmlName.charAt(0).toUpperCase() + xmlName.slice(1);
}

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
