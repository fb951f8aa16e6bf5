import type { PlanAnswer } from '@enid/controller/load-balancing';

const SIGNS = { create: '+', change: '~', delete: '-' } as const;

/** A plan as a person reads it: a line for each change, with what it says below. */
export function drawPlan({ of, problems, stack, changes }: PlanAnswer): string {
  const lines = problems.map((problem) => `left out: ${problem}`);
  if (!stack) lines.push(`${of}: nothing can be planned until that is mended`);
  else if (changes.length === 0) lines.push(`${of}: all is as it should be`);
  else {
    const count = (does: keyof typeof SIGNS) => changes.filter((change) => change.does === does).length;
    lines.push(
      `${of}: ${count('create')} to create, ${count('change')} to change, ${count('delete')} to delete`,
    );
  }
  for (const { does, what, details } of changes) {
    lines.push(`  ${SIGNS[does]} ${what}`, ...details.map((detail) => `      ${detail}`));
  }
  return lines.join('\n');
}
