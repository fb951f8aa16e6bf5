import { setTimeout } from 'node:timers/promises';
import {
  disassemble,
  dumpMap,
  enableStats,
  features,
  listFilters,
  listLinks,
  listMaps,
  listPrograms,
  type ObjectKind,
  Owners,
} from '@enid/ebpf';
import { type Command, Option } from 'commander';
import { podName } from '../arguments.ts';

/** `enid ebpf`: what of eBPF is loaded on this machine, whoever loaded it. One JSON object a line. */
export default function register(program: Command): void {
  const ebpf = program.command('ebpf').description('show the eBPF programs, maps and links of this machine');
  ebpf
    .command('progs')
    .description('list the programs')
    .action(() => print(owned('program', listPrograms())));
  ebpf
    .command('maps')
    .description('list the maps')
    .action(() => print(owned('map', listMaps())));
  ebpf
    .command('links')
    .description('list the links, and the programs that interfaces run by clsact')
    .action(() => print([...owned('link', listLinks()), ...listFilters()]));
  ebpf
    .command('dump')
    .argument('<map>', 'id of the map, or its name')
    .description('print the entries of a map')
    .action((map: string) => print(dumpMap(idOf('map', map, listMaps()))));
  ebpf
    .command('disasm')
    .argument('<program>', 'id of the program, or its name')
    .description('print the instructions of a program')
    .action((of: string) => console.log(disassemble(idOf('program', of, listPrograms())).join('\n')));
  ebpf
    .command('features')
    .description('tell what this kernel can do, by trying it')
    .action(() => print(features()));
  ebpf
    .command('trace')
    .option(
      '--pod <namespace/name>',
      'of this pod alone; outside of its node the agent there is asked (KUBECONFIG)',
      podName,
    )
    .option('--json', 'a JSON object a line')
    // A command in a container is not told that nobody listens any more.
    .addOption(new Option('--until-input-ends').hideHelp())
    .description('show what network policies decide, as it happens: whose rule, and of which policy')
    .action(async (options: { pod?: string; json?: boolean; untilInputEnds?: boolean }) => {
      const { traceVerdicts } = await import('../policy-trace.ts');
      const stop = new AbortController();
      if (options.untilInputEnds) process.stdin.once('close', () => stop.abort()).resume();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
      await traceVerdicts(options, (line) => console.log(line), stop.signal);
    });
  ebpf
    .command('stats')
    .option('--seconds <n>', 'how long to count', Number, 1)
    .description('count the runs of all programs and their time')
    .action(async ({ seconds }: { seconds: number }) => {
      using _ = enableStats();
      const before = new Map(listPrograms().map((one) => [one.id, one]));
      await setTimeout(seconds * 1000);
      for (const { id, name, type, runs, runTime } of listPrograms()) {
        const ran = runs - (before.get(id)?.runs ?? 0n);
        const time = runTime - (before.get(id)?.runTime ?? 0n);
        print([{ id, name, type, runs: ran, nanosecondsPerRun: ran > 0n ? Number(time / ran) : 0 }]);
      }
    });
}

/** Objects with whoever keeps them loaded. */
function owned<T extends { readonly id: number }>(kind: ObjectKind, objects: readonly T[]): object[] {
  const owners = Owners.read();
  return objects.map((object) => ({ ...object, owners: owners.of(kind, object.id) }));
}

type Named = { readonly id: number; readonly name: string };

/** @throws {Error} when nothing is meant, or more than one thing. */
function idOf(kind: ObjectKind, text: string, objects: readonly Named[]): number {
  const meant = /^\d+$/.test(text)
    ? objects.filter(({ id }) => id === Number(text))
    : objects.filter(({ name }) => name === text);
  const [only] = meant;
  const list = kind === 'map' ? 'enid ebpf maps' : 'enid ebpf progs';
  if (!only) throw new Error(`there is no ${kind} "${text}": ${list} lists them`);
  if (meant.length > 1) {
    throw new Error(
      `"${text}" is the name of several: give one of the ids ${meant.map(({ id }) => id).join(', ')}`,
    );
  }
  return only.id;
}

/** 64-bit numbers become text where a JSON reader would round them. */
function print(objects: readonly unknown[]): void {
  const plain = (_: string, value: unknown) =>
    typeof value !== 'bigint' ? value : Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  for (const object of objects) console.log(JSON.stringify(object, plain));
}
