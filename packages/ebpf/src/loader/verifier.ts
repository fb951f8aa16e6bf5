import type { LinkedProgram } from './link.ts';

const INSTRUCTION = /^(?:\d+: )?(\d+): \(([0-9a-f]{2})\) (.*?)(?:\s*;.*)?$/;
/** Statistics, states of registers, and what else is no complaint. */
const NOISE =
  /^(processed \d+|verification time|stack depth|max_states|mark_precise|from \d+ to|last_idx|regs=|parent |func#\d+ @|Validating |Func#|\d+: R\d|R\d+[_=(]|;|$|\s)/;

/**
 * Finds what matters in the verifier's log: its complaint, the instruction it is about, and the line of source
 * that this comes from.
 */
export function explain(
  log: string,
  lines: LinkedProgram['lines'],
): {
  complaint: string;
  instruction: string;
  source: { file: string; line: number; text: string } | undefined;
  log: string;
} {
  const said = log.split('\n').map((line) => line.trimEnd());
  const complaint =
    said.findLast((line) => !NOISE.test(line) && !INSTRUCTION.test(line)) ?? said.at(-1) ?? '';
  const end = said.lastIndexOf(complaint);
  const match = said.slice(0, end < 0 ? said.length : end).findLast((line) => INSTRUCTION.test(line));
  const [, number, , text] = (match && INSTRUCTION.exec(match)) ?? [];
  const at = /\binsn (\d+)\b/.exec(complaint)?.[1] ?? number;
  const info = at === undefined ? undefined : lines.findLast((line) => line.at <= Number(at));
  return {
    complaint,
    instruction: number === undefined ? '' : `${number}: ${text?.trim()}`,
    source: info && { file: info.line.file, line: info.line.line, text: info.line.text },
    log,
  };
}
