import { createServer } from 'node:http';
import { tellWhoAsks } from '../internet/who-asks.ts';

/** Serves who answers and who asks at every address of this host. Says `ready` to the process that started it. */
export function runWhoami(port: number): void {
  createServer(tellWhoAsks).listen(port, '0.0.0.0', () => process.send?.('ready'));
}
