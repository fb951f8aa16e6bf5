import { SyscallError } from '@enid/linux';

/** An object file, or BTF, that is not what it should be. */
export class MalformedObjectError extends Error {
  override readonly name = 'MalformedObjectError';
}

/** What bpf(2), or a call that belongs to it, refused. */
export class BpfError extends SyscallError {
  override readonly name: string = 'BpfError';
  /** The command, such as `BPF_MAP_CREATE`. */
  readonly command: string;
  /** What can be done about it; empty when the error number says it all. */
  readonly hint: string;

  constructor(command: string, errno: number, subject = '', hint = hintFor(command, errno)) {
    super(command, errno, subject);
    this.command = command;
    this.hint = hint;
    if (hint) this.message += `: ${hint}`;
  }
}

/** A program that the verifier refused. */
export class VerifierError extends BpfError {
  override readonly name = 'VerifierError';
  /** The verifier's complaint, one line of its log. */
  readonly complaint: string;
  /** The line of source it is about, when the object has line information. */
  readonly source: { readonly file: string; readonly line: number; readonly text: string } | undefined;
  /** All that the verifier said. */
  readonly log: string;

  constructor(
    errno: number,
    program: string,
    verdict: { complaint: string; instruction: string; source: VerifierError['source']; log: string },
  ) {
    const { complaint, instruction, source, log } = verdict;
    const at = source ? ` at ${source.file}:${source.line}: ${source.text}` : '';
    super('BPF_PROG_LOAD', errno, program, `${complaint}${at}${instruction && ` [${instruction}]`}`);
    this.complaint = complaint;
    this.source = source;
    this.log = log;
  }
}

const hints: Record<string, string> = {
  EPERM:
    'it takes root, or CAP_BPF with CAP_NET_ADMIN and CAP_PERFMON; on kernels before 5.11 RLIMIT_MEMLOCK too',
  E2BIG: 'the map is full, or the program too large',
  ENOTSUPP: 'this kernel, or this kind of map, does not know the operation',
};
const ERRNO: Record<number, string> = { 1: 'EPERM', 7: 'E2BIG', 524: 'ENOTSUPP' };

function hintFor(command: string, errno: number): string {
  if (errno === 22 && command === 'BPF_LINK_CREATE')
    return 'the kernel may be too old for this link, see features()';
  return hints[ERRNO[errno] ?? ''] ?? '';
}
