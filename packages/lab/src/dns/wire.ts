/** DNS messages as bytes, for what is passed on as it is: records of every type, known here or not. */

const HEADER = 12;
const OPT = 41;

/** Where a message's parts are. */
export type Layout = {
  /** Offset behind the question. */
  readonly questionEnd: number;
  /** Offsets of the TTL of each record, except that of EDNS, whose field means something else. */
  readonly ttls: readonly number[];
};

/** @throws {RangeError} when the message ends early, or has other than one question. */
export function layoutOf(message: Buffer): Layout {
  if (message.readUInt16BE(4) !== 1) throw new RangeError('a message with other than one question');
  const questionEnd = skipName(message, HEADER) + 4;
  const count = message.readUInt16BE(6) + message.readUInt16BE(8) + message.readUInt16BE(10);
  const ttls: number[] = [];
  let at = questionEnd;
  for (let index = 0; index < count; index++) {
    at = skipName(message, at);
    if (message.readUInt16BE(at) !== OPT) ttls.push(at + 4);
    at += 10 + message.readUInt16BE(at + 8);
    if (at > message.length) throw new RangeError('a record that is longer than its message');
  }
  return { questionEnd, ttls };
}

function skipName(message: Buffer, from: number): number {
  for (let at = from; ; ) {
    const length = message.readUInt8(at);
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2; // A pointer ends a name.
    at += 1 + length;
  }
}

/** The smallest TTL of a message's records, in seconds; undefined when it has none. */
export function smallestTtl(message: Buffer): number | undefined {
  const ttls = layoutOf(message).ttls.map((at) => message.readUInt32BE(at));
  return ttls.length > 0 ? Math.min(...ttls) : undefined;
}

/** The message for another who asked the same: with its ID, its spelling of the name, and TTLs that are so much shorter. */
export function readdress(message: Buffer, query: Buffer, age: number): Buffer {
  const copy = Buffer.from(message);
  const { questionEnd, ttls } = layoutOf(copy);
  query.copy(copy, 0, 0, 2);
  query.copy(copy, HEADER, HEADER, questionEnd);
  for (const at of ttls) copy.writeUInt32BE(Math.max(0, copy.readUInt32BE(at) - age), at);
  return copy;
}

/** Nothing but the question, with the bit that says: ask again by TCP. */
export function truncated(message: Buffer): Buffer {
  const copy = Buffer.from(message.subarray(0, layoutOf(message).questionEnd));
  copy.writeUInt8(copy.readUInt8(2) | 0x02, 2);
  copy.fill(0, 6, HEADER);
  return copy;
}

export function isTruncated(message: Buffer): boolean {
  return (message.readUInt8(2) & 0x02) !== 0;
}

export function rcodeOf(message: Buffer): number {
  return message.readUInt8(3) & 0x0f;
}
