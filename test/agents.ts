import { readdirSync, readFileSync, statSync } from 'node:fs';
import type { NetNamespace } from '@enid/linux';

/**
 * The process of an agent in a node's namespace.
 * @param words of its command line, as `agent` or `agent --module services`.
 * @throws when there is none, or more than one.
 */
export function agentIn({ inode }: NetNamespace, words: string): number {
  const found = new Map<string, string>();
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      if (!command.endsWith(words)) continue;
      if (statSync(`/proc/${entry}/ns/net`, { bigint: true }).ino !== inode) continue;
      found.set(entry, /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${entry}/status`, 'utf8'))![1]!);
    } catch {
      // It has ended meanwhile.
    }
  }
  // A program that it has just started looks like itself for a moment.
  const [pid, ...others] = [...found].filter(([, parent]) => !found.has(parent)).map(([pid]) => pid);
  if (pid === undefined || others.length > 0) throw new Error(`${found.size} processes run ${words}`);
  return Number(pid);
}
