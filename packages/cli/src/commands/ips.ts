import { setTimeout as sleep } from 'node:timers/promises';
import type { AddressMap } from '@enid/agent';
import type { Command } from 'commander';
import { podName } from '../arguments.ts';

type Options = { json?: boolean; pod?: string; watch?: boolean; node?: string[]; allNodes?: boolean };

/** How often a map that is watched is read. */
const INTERVAL = 1_000;

export default function ips(program: Command): void {
  const group = program
    .enablePositionalOptions()
    .command('ips')
    .description('the addresses of a node: each ENI, each address or prefix, and whose it is')
    .option('--json', 'as JSON: one map; an array of them for --all-nodes and several --node')
    .option('--pod <namespace/name>', 'only what this pod holds', podName)
    .option('--watch', 'draw again whenever something changes, until Ctrl-C')
    .option(
      '--node <name>',
      'of this node of the cluster, by its aws-node pod (KUBECONFIG); may be repeated',
      (name: string, soFar: string[] = []) => [...soFar, name],
    )
    .option('--all-nodes', 'of every node of the cluster')
    .addHelpText(
      'after',
      `
On a node the agent is asked at INTROSPECTION_BIND_ADDRESS (127.0.0.1:61679). What is done by hand goes to its control
socket, which is for root alone.

  enid ips --watch
  enid ips --pod shop/web
  enid ips --node ip-10-0-1-4.ec2.internal --json
  enid ips cordon 10.0.1.16/28 && enid ips release 10.0.1.16/28
  enid lab exec node-1 -- enid ips`,
    )
    .action(show);

  group
    .command('cordon <address|cidr>')
    .description('give no address of it to new pods, nor back to EC2; pods that have one keep it')
    .action(async (block: string) => {
      const { command } = await import('../agent-client.ts');
      const done = await command('/v1/cordon', { block });
      const held = Number(done.held) > 0 ? `, of which pods hold ${done.held} and keep them` : '';
      console.log(`${done.block} is cordoned: ${done.addresses} addresses of this node${held}`);
    });
  group
    .command('uncordon <address|cidr>')
    .description('undo cordon for all that lies within')
    .action(async (block: string) => {
      const { command } = await import('../agent-client.ts');
      const done = await command('/v1/uncordon', { block });
      const still = done.stillIn ? `; ${done.block} is still in ${done.stillIn}` : '';
      console.log(`uncordoned ${(done.uncordoned as string[]).join(', ')}${still}`);
    });
  group
    .command('release <address|cidr>')
    .description(
      'take addresses from pods whose sandboxes are gone; they cool down before others get them. What is cordoned, and ' +
        'held by nobody, goes back to EC2',
    )
    .option('--force', 'from pods that may still run, too: they lose their network')
    .action(async (block: string, { force = false }: { force?: boolean }) => {
      const { command } = await import('../agent-client.ts');
      const { released, givenBack, restsUntil } = (await command('/v1/release', {
        block,
        force,
      })) as Released;
      for (const { address, namespace, pod, containerId, wasAlive } of released) {
        const who = pod ? `${namespace}/${pod}` : `the sandbox ${containerId}`;
        if (wasAlive)
          console.error(`enid: warning: ${who} may still run, and has no network now: delete the pod`);
        console.log(`${address} is released: ${who} held it`);
      }
      for (const each of givenBack) console.log(`${each} is given back to EC2`);
      if (restsUntil) console.log(`what rests can go back to EC2 at ${restsUntil}: release it again then`);
    });
}

/** What the agent answers. */
type Released = {
  readonly released: readonly {
    readonly address: string;
    readonly namespace: string;
    readonly pod: string;
    readonly containerId: string;
    readonly wasAlive: boolean;
  }[];
  readonly givenBack: readonly string[];
  readonly restsUntil?: string;
};

async function show(options: Options): Promise<void> {
  const fetch = await source(options);
  const colours = process.stdout.isTTY === true && !process.env.NO_COLOR;
  if (!options.watch) return void console.log(await drawn(await fetch(), options, colours));
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  process.once('SIGTERM', () => stop.abort());
  let last = '';
  while (!stop.signal.aborted) {
    const maps = await fetch();
    const what = JSON.stringify(maps.map(({ at, ...rest }) => rest));
    if (what !== last) {
      last = what;
      const clear = process.stdout.isTTY && !options.json ? '\u001b[H\u001b[2J\u001b[3J' : '';
      process.stdout.write(`${clear}${await drawn(maps, options, colours)}\n`);
    }
    await sleep(INTERVAL, undefined, { signal: stop.signal }).catch(() => {});
  }
}

/** What reads the maps that were asked for. */
async function source({ node, allNodes }: Options): Promise<() => Promise<AddressMap[]>> {
  if (node || allNodes) {
    const { clusterMaps } = await import('../cluster-maps.ts');
    return clusterMaps(allNodes ? undefined : node);
  }
  const { addressMap } = await import('../agent-client.ts');
  return async () => [await addressMap()];
}

async function drawn(maps: readonly AddressMap[], options: Options, colours: boolean): Promise<string> {
  const { drawMap, holds } = await import('../address-map.ts');
  const { pod, json } = options;
  const shown = pod === undefined ? maps : maps.filter((map) => holds(map, pod));
  if (pod !== undefined && shown.length === 0 && !options.watch)
    throw new Error(
      `${pod} holds no address there: is it on another node (--all-nodes), or on the host's network?`,
    );
  if (json) {
    const several = options.allNodes || (options.node?.length ?? 0) > 1;
    const value = several ? shown : (shown[0] ?? null);
    return options.watch ? JSON.stringify(value) : JSON.stringify(value, null, 2);
  }
  return shown.map((map) => drawMap(map, { colours, pod })).join('\n\n');
}
