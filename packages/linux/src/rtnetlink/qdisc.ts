import { Attributes, structure } from '../netlink/attributes.ts';
import { buildRequest, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, type Request } from '../netlink/message.ts';

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;

const TCMSG_LENGTH = 20;
const TCA_KIND = 1;
const TC_H_CLSACT = 0xfffffff1;
const CLSACT_HANDLE = 0xffff0000;

/** A queueing discipline as the kernel shows it; tc(8). */
export type Qdisc = {
  /** Index of the link. */
  index: number;
  /** Such as `clsact`, `fq_codel`, `noqueue`. */
  kind: string;
  /** `major:minor` in the upper and lower 16 bits. */
  handle: number;
  /** The class it hangs on, or TC_H_ROOT (0xffffffff), TC_H_CLSACT (0xfffffff1). */
  parent: number;
};

/** Gives a link the clsact qdisc, where BPF classifiers attach for both directions; EEXIST when it has one. */
export function addClsact(index: number): Request {
  return clsactRequest('RTM_NEWQDISC', RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index);
}

/** Takes the clsact qdisc and all of its filters from a link; EINVAL or ENOENT when it has none. */
export function deleteClsact(index: number): Request {
  return clsactRequest('RTM_DELQDISC', RTM_DELQDISC, 0, index);
}

/** Asks for the qdiscs of all links; the kernel does not filter. */
export function dumpQdiscs(): Request {
  return buildRequest('RTM_GETQDISC', RTM_GETQDISC, NLM_F_DUMP, (writer) => {
    writer.raw(new Uint8Array(TCMSG_LENGTH));
  });
}

/** Reads the payload of an RTM_NEWQDISC. @throws {MalformedMessageError} */
export function decodeQdisc(payload: Uint8Array): Qdisc | undefined {
  const header = structure(payload, TCMSG_LENGTH);
  const kind = new Attributes(payload, TCMSG_LENGTH).string(TCA_KIND);
  if (kind === undefined) return undefined;
  return {
    index: header.getInt32(4, true),
    kind,
    handle: header.getUint32(8, true),
    parent: header.getUint32(12, true),
  };
}

function clsactRequest(name: string, type: number, flags: number, index: number): Request {
  return buildRequest(`${name} clsact on link ${index}`, type, flags, (writer) => {
    // struct tcmsg
    writer.u32(0).s32(index).u32(CLSACT_HANDLE).u32(TC_H_CLSACT).u32(0);
    writer.attributeString(TCA_KIND, 'clsact');
  });
}
