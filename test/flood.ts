/**
 * A flood of packets from a process of its own, so that what it costs is not counted as the cost of whoever meets it:
 * `flood.ts CLIENT SERVER PORT MILLISECONDS`, the ends as JSON. It prints a line when it begins, and then how many packets a second it was.
 */
import { type End, Traffic } from '../bench/traffic.ts';

const [client, server, port, milliseconds] = process.argv.slice(2) as [string, string, string, string];
const ends = [client, server].map((end) => JSON.parse(end)) as [End, End];
await using traffic = await Traffic.between(...ends, 'packets', Number(port));
console.log('it begins');
console.log(await traffic.turn(Number(milliseconds)));
