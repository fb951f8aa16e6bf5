/**
 * The log files of CRI: a line is `time stream tags text`, with RFC 3339 time, `stdout` or `stderr`, and the tag `P` on a
 * part of a line that goes on in the next, `F` on a full or last one.
 */
import { type FileHandle, open } from 'node:fs/promises';

export type LogLine = {
  readonly time: string;
  readonly stream: string;
  readonly text: string;
  readonly partial: boolean;
};

const BLOCK = 64 * 1024;

/** @param line without its newline. @returns undefined when it is no such line. */
export function parseLogLine(line: string): LogLine | undefined {
  const match = /^(\S+) (stdout|stderr) (\S+)(?: ([\s\S]*))?$/.exec(line);
  if (!match) return undefined;
  const [, time, stream, tags, text = ''] = match;
  return { time: time!, stream: stream!, text, partial: tags!.split(':').includes('P') };
}

/** Where the last `count` lines of a file begin. */
export async function offsetOfLast(file: FileHandle, count: number): Promise<number> {
  const { size } = await file.stat();
  if (count === 0) return size;
  let newlines = 0;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - BLOCK);
    const { buffer } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    for (let at = buffer.length - 1; at >= 0; at--) {
      if (buffer[at] !== 0x0a || start + at === size - 1) continue;
      if (++newlines === count) return start + at + 1;
    }
    end = start;
  }
  return 0;
}

/** The text of the last lines of a log; nothing when there is none. */
export async function lastLines(path: string, count: number): Promise<string> {
  try {
    await using file = await open(path);
    const start = await offsetOfLast(file, count);
    const { size } = await file.stat();
    const { buffer } = await file.read(Buffer.alloc(size - start), 0, size - start, start);
    return buffer
      .toString()
      .split('\n')
      .map(parseLogLine)
      .map((line) => (line ? line.text + (line.partial ? '' : '\n') : ''))
      .join('');
  } catch {
    return '';
  }
}
