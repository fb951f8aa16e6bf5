import { type Logger as Pino, pino } from 'pino';
import type { Config } from './config.ts';

export type Logger = Pick<Pino, 'debug' | 'info' | 'warn' | 'error'>;

/** JSON lines to `stdout`, `stderr` or a file. Written at once, so that a kill loses none. */
export function openLog({ level, file }: Config['log']): Logger {
  const dest = file === 'stdout' ? 1 : file === 'stderr' ? 2 : file;
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest, mkdir: true, sync: true }),
  );
}
