/**
 * OpenAPI v2 documents in protobuf, as kubectl before 1.27 reads them: the messages of gnostic's `OpenAPIv2.proto`, of
 * which only those fields are written that {@link openApiV2} makes.
 */
import { Writer } from 'protobufjs';
import { type Fields, isFields } from '../object.ts';

/** Writes one field's value. */
type Encode = (writer: Writer, number: number, value: unknown) => void;
/** The number of each field of a message, and how it is written. Names are those of the JSON. */
type Message = Readonly<Record<string, readonly [number: number, encode: Encode]>>;

/** Protobuf's wire types. */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;

const text: Encode = (writer, number, value) => {
  writer.uint32((number << 3) | BYTES).string(String(value));
};
const flag: Encode = (writer, number, value) => {
  writer.uint32((number << 3) | VARINT).bool(value === true);
};
const whole: Encode = (writer, number, value) => {
  writer.uint32((number << 3) | VARINT).int64(Number(value));
};
const real: Encode = (writer, number, value) => {
  writer.uint32((number << 3) | FIXED64).double(Number(value));
};
const nested =
  (write: (writer: Writer, value: unknown) => void): Encode =>
  (writer, number, value) => {
    writer.uint32((number << 3) | BYTES).fork();
    write(writer, value);
    writer.ldelim();
  };
const each =
  (encode: Encode): Encode =>
  (writer, number, list) => {
    for (const item of list as unknown[]) encode(writer, number, item);
  };
/** Pairs of a name and a value, as gnostic writes maps. */
const named =
  (encode: Encode): Encode =>
  (writer, number, map) => {
    for (const [name, value] of Object.entries(map as Fields)) {
      nested((pair) => {
        text(pair, 1, name);
        encode(pair, 2, value);
      })(writer, number, undefined);
    }
  };
/** A message that only holds another's fields, under one number. */
const wrapped = (encode: Encode, number = 1): Encode =>
  nested((writer, value) => encode(writer, number, value));
const message = (fields: () => Message, extensions: number): Encode =>
  nested((writer, value) => writeFields(writer, fields(), extensions, value as Fields));
/** Any value, as YAML: JSON is YAML. */
const any: Encode = nested((writer, value) => text(writer, 2, JSON.stringify(value)));

const schema: Encode = message(() => SCHEMA, 31);

const SCHEMA: Message = {
  $ref: [1, text],
  format: [2, text],
  title: [3, text],
  description: [4, text],
  default: [5, any],
  multipleOf: [6, real],
  maximum: [7, real],
  exclusiveMaximum: [8, flag],
  minimum: [9, real],
  exclusiveMinimum: [10, flag],
  maxLength: [11, whole],
  minLength: [12, whole],
  pattern: [13, text],
  maxItems: [14, whole],
  minItems: [15, whole],
  uniqueItems: [16, flag],
  maxProperties: [17, whole],
  minProperties: [18, whole],
  required: [19, each(text)],
  enum: [20, each(any)],
  additionalProperties: [
    21,
    nested((writer, value) => (isFields(value) ? schema(writer, 1, value) : flag(writer, 2, value))),
  ],
  type: [22, wrapped(text)],
  items: [23, wrapped(schema)],
  properties: [25, wrapped(named(schema))],
};

const QUERY_PARAMETER: Message = {
  in: [2, text],
  description: [3, text],
  name: [4, text],
  type: [6, text],
  uniqueItems: [20, flag],
};

/** A parameter is a `Parameter` that is a `NonBodyParameter` that is a `QueryParameterSubSchema`. */
const parameter: Encode = wrapped(
  wrapped(
    wrapped(
      message(() => QUERY_PARAMETER, 23),
      3,
    ),
    2,
  ),
);
const response: Encode = wrapped(message(() => ({ description: [1, text] }), 5));

const OPERATION: Message = {
  operationId: [5, text],
  parameters: [8, each(parameter)],
  responses: [9, wrapped(named(response))],
};

const operation: Encode = message(() => OPERATION, 13);

const PATH_ITEM: Message = {
  get: [2, operation],
  put: [3, operation],
  post: [4, operation],
  delete: [5, operation],
  patch: [8, operation],
};

const DOCUMENT: Message = {
  swagger: [1, text],
  info: [2, message(() => ({ title: [1, text], version: [2, text] }), 7)],
  paths: [8, wrapped(named(message(() => PATH_ITEM, 10)), 2)],
  definitions: [9, wrapped(named(schema))],
};

/** @param document as `openApiV2` makes it. */
export function encodeOpenApiV2(document: Fields): Buffer {
  const writer = Writer.create();
  writeFields(writer, DOCUMENT, 16, document);
  return Buffer.from(writer.finish());
}

function writeFields(writer: Writer, fields: Message, extensions: number, value: Fields): void {
  for (const [name, [number, encode]] of Object.entries(fields)) {
    if (value[name] !== undefined) encode(writer, number, value[name]);
  }
  for (const [name, extension] of Object.entries(value)) {
    if (name.startsWith('x-')) named(any)(writer, extensions, { [name]: extension });
  }
}
