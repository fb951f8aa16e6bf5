import { SyscallError } from '../errno.ts';
import { Attributes, MalformedMessageError, MessageWriter, structure } from './attributes.ts';

/** Flags of a request, netlink(7). */
export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
/** Tell what was made, as those are told who subscribed. Kernels before 6.2 do so for routes, not for links. */
export const NLM_F_ECHO = 0x8;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
/** On a dump's message: the dumped objects changed meanwhile, so it may lack some or have some twice. */
export const NLM_F_DUMP_INTR = 0x10;
/** On an answer: attributes with the extended acknowledgement follow. */
const NLM_F_ACK_TLVS = 0x200;
/** On an error: the refused request is quoted by its header alone. */
const NLM_F_CAPPED = 0x100;

export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_OVERRUN = 4;

const HEADER_LENGTH = 16;
const NLMSGERR_ATTR_MSG = 1;

/** A netlink request ready to be sent; made by builders such as `addLink`, run by `Rtnetlink.batch`. */
export type Request = {
  /** What it asks for, for errors: `RTM_NEWLINK eth0`. */
  readonly description: string;
  /** struct nlmsghdr and what follows. The sequence number is set when it is sent. */
  readonly message: Uint8Array;
};

/** A netlink message as received. The payload is a view on the receive buffer. */
export type Message = {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
};

/** A netlink request that the kernel refused. */
export class NetlinkError extends SyscallError {
  override readonly name = 'NetlinkError';
  /** What was asked for: `RTM_NEWLINK eth0`. */
  readonly request: string;
  /** The kernel's own explanation (extended acknowledgement), when it gave one. */
  readonly extAck?: string;

  constructor(request: string, errno: number, extAck?: string) {
    super('netlink', errno, request, extAck);
    this.request = request;
    if (extAck) this.extAck = extAck;
  }
}

const writer = new MessageWriter();

/**
 * Builds a request.
 * @param description for errors, such as `RTM_NEWLINK eth0`.
 * @param flags       NLM_F_REQUEST is always set.
 * @param fill        writes the family's header and the attributes.
 * @throws {RangeError | TypeError} when a value does not fit its field.
 */
export function buildRequest(
  description: string,
  type: number,
  flags: number,
  fill: (writer: MessageWriter) => void,
): Request {
  try {
    writer
      .u32(0)
      .u16(type)
      .u16(NLM_F_REQUEST | flags)
      .u32(0)
      .u32(0);
    fill(writer);
    writer.patchU32(0, writer.length);
  } catch (error) {
    writer.take();
    if (error instanceof Error) error.message = `${description}: ${error.message}`;
    throw error;
  }
  return { description, message: writer.take() };
}

/**
 * Walks the messages of one datagram.
 * @throws {MalformedMessageError} when a message ends beyond the datagram.
 */
export function* messagesOf(datagram: Uint8Array): Generator<Message> {
  for (let at = 0; at < datagram.length; ) {
    const header = structure(datagram.subarray(at), HEADER_LENGTH);
    const length = header.getUint32(0, true);
    if (length < HEADER_LENGTH || at + length > datagram.length) {
      throw new MalformedMessageError(`message of ${length} bytes at ${at} of ${datagram.length}`);
    }
    yield {
      type: header.getUint16(4, true),
      flags: header.getUint16(6, true),
      sequence: header.getUint32(8, true),
      payload: datagram.subarray(at + HEADER_LENGTH, at + length),
    };
    at += (length + 3) & ~3;
  }
}

/**
 * Reads an NLMSG_ERROR or NLMSG_DONE.
 * @returns null for an acknowledgement (error number 0).
 */
export function readAnswer(message: Message, request: string): NetlinkError | null {
  const { type, flags, payload } = message;
  // NLMSG_DONE has no number on old kernels.
  const errno = type === NLMSG_DONE && payload.length < 4 ? 0 : -structure(payload, 4).getInt32(0, true);
  if (errno === 0) return null;
  return new NetlinkError(
    request,
    errno,
    flags & NLM_F_ACK_TLVS ? extAckOf(type, flags, payload) : undefined,
  );
}

function extAckOf(type: number, flags: number, payload: Uint8Array): string | undefined {
  let offset = 4;
  if (type === NLMSG_ERROR) {
    const quoted = structure(payload, 4 + HEADER_LENGTH).getUint32(4, true);
    offset += flags & NLM_F_CAPPED ? HEADER_LENGTH : (quoted + 3) & ~3;
  }
  return new Attributes(payload, offset).string(NLMSGERR_ATTR_MSG);
}
