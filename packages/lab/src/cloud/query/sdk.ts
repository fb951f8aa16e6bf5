/** The types of a service's operations, by the module of its client in the AWS SDK. */

type NameOfCommand<Export> = Export extends `${infer Name}Command`
  ? Name extends '$'
    ? never
    : Name
  : never;

/** The names of the operations of a service. */
export type CommandName<Sdk> = NameOfCommand<keyof Sdk>;

type Command<Sdk, Name extends string> = `${Name}Command` extends keyof Sdk
  ? Sdk[`${Name}Command`] extends abstract new (
      ...args: never[]
    ) => unknown
    ? Sdk[`${Name}Command`]
    : never
  : never;

type RequiredKeys<T> = { [Key in keyof T]-?: object extends Pick<T, Key> ? never : Key }[keyof T];
type Checked<T> = T & { [Key in RequiredKeys<T>]-?: NonNullable<T[Key]> };

/** What an operation is given: the SDK's input, whose required members are there. */
export type CommandInput<Sdk, Name extends string> = Checked<ConstructorParameters<Command<Sdk, Name>>[0]>;

type Resolved<C> = C extends { resolveMiddleware(...args: never[]): infer Handler } ? Handler : never;
type Answered<H> = H extends (...args: never[]) => Promise<{ output: infer O }> ? O : never;

/** What an operation answers: the SDK's output. */
export type CommandOutput<Sdk, Name extends string> = Omit<
  Answered<Resolved<InstanceType<Command<Sdk, Name>>>>,
  '$metadata'
>;
