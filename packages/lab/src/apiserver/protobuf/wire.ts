/** Protobuf's wire format, as far as Kubernetes' messages use it. */
import { Reader } from 'protobufjs';

/** A field's value, not yet read as its type: an integer or a float, or the bytes of anything else. */
export type Wire = number | Buffer;

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;

/** The fields of a message, in their order on the wire. @throws of what is no message. */
export function* wireFields(message: Buffer): Generator<readonly [number: number, value: Wire]> {
  const reader = Reader.create(message);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const number = tag >>> 3;
    switch (tag & 7) {
      case VARINT:
        // int32 and bool are written as int64 is.
        yield [number, Number(reader.int64().toString())];
        break;
      case FIXED64:
        yield [number, reader.double()];
        break;
      case BYTES:
        yield [number, view(reader.bytes())];
        break;
      default:
        reader.skipType(tag & 7);
    }
  }
}

/** The last value of each field of a small message. */
export function lastFields(message: Buffer): Readonly<Record<number, Wire | undefined>> {
  return Object.fromEntries(wireFields(message));
}

/** The numbers of a repeated field: by themselves, or many of them in one value (packed). */
export function* numbersOf(value: Wire): Generator<number> {
  if (typeof value === 'number') return yield value;
  const reader = Reader.create(value);
  while (reader.pos < reader.len) yield Number(reader.int64().toString());
}

/** The same bytes: nested messages would be copied as often as they are nested. */
function view({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}
