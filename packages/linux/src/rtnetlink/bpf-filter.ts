import { Attributes, structure } from '../netlink/attributes.ts';
import { buildRequest, NLM_F_DUMP, type Request } from '../netlink/message.ts';

const RTM_GETTFILTER = 46;

const TCMSG_LENGTH = 20;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_NAME = 7;
const TCA_BPF_ID = 11;
/** The places of the clsact qdisc. */
const PARENTS = { ingress: 0xfffffff2, egress: 0xfffffff3 } as const;

/** A filter of a clsact qdisc that runs an eBPF program; tc-bpf(8). */
export type BpfFilter = {
  /** Index of the link. */
  index: number;
  direction: 'ingress' | 'egress';
  priority: number;
  handle: number;
  /** As whoever attached it named the program. */
  name: string;
  programId: number;
};

/** Asks for the filters of a link that has a clsact qdisc, in one direction. */
export function dumpBpfFilters(index: number, direction: 'ingress' | 'egress'): Request {
  return buildRequest(`RTM_GETTFILTER of link ${index}`, RTM_GETTFILTER, NLM_F_DUMP, (writer) => {
    // struct tcmsg
    writer.u32(0).s32(index).u32(0).u32(PARENTS[direction]).u32(0);
  });
}

/** Reads the payload of an RTM_NEWTFILTER. @returns undefined for what runs no eBPF program. @throws {MalformedMessageError} */
export function decodeBpfFilter(payload: Uint8Array): BpfFilter | undefined {
  const header = structure(payload, TCMSG_LENGTH);
  const attributes = new Attributes(payload, TCMSG_LENGTH);
  if (attributes.string(TCA_KIND) !== 'bpf') return undefined;
  const options = attributes.nested(TCA_OPTIONS);
  const programId = options?.u32(TCA_BPF_ID);
  // Each priority is told by itself, too, without a filter.
  if (!options || programId === undefined) return undefined;
  return {
    index: header.getInt32(4, true),
    direction: header.getUint32(12, true) === PARENTS.ingress ? 'ingress' : 'egress',
    priority: header.getUint32(16, true) >>> 16,
    handle: header.getUint32(8, true),
    name: options.string(TCA_BPF_NAME) ?? '',
    programId,
  };
}
