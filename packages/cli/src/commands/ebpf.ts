import { setTimeout } from 'node:timers/promises';
import { disassemble, dumpMap, enableStats, listLinks, listMaps, listPrograms } from '@enid/ebpf';
import type { Command } from 'commander';

/** `enid ebpf`: what of eBPF is loaded on this machine, whoever loaded it. One JSON object a line. */
export default function register(program: Command): void {
  const ebpf = program.command('ebpf').description('show the eBPF programs, maps and links of this machine');
  ebpf
    .command('progs')
    .description('list the programs')
    .action(() => print(listPrograms()));
  ebpf
    .command('maps')
    .description('list the maps')
    .action(() => print(listMaps()));
  ebpf
    .command('links')
    .description('list the links')
    .action(() => print(listLinks()));
  ebpf
    .command('dump')
    .argument('<map>', 'id of the map', id)
    .description('print the entries of a map')
    .action((map: number) => print(dumpMap(map)));
  ebpf
    .command('disasm')
    .argument('<program>', 'id of the program', id)
    .description('print the instructions of a program')
    .action((of: number) => console.log(disassemble(of).join('\n')));
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

function id(text: string): number {
  if (!/^\d+$/.test(text))
    throw new Error(`"${text}" is no id: enid ebpf progs and enid ebpf maps list them`);
  return Number(text);
}

/** 64-bit numbers become text where a JSON reader would round them. */
function print(objects: readonly unknown[]): void {
  const plain = (_: string, value: unknown) =>
    typeof value !== 'bigint' ? value : Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  for (const object of objects) console.log(JSON.stringify(object, plain));
}
