import { type ElfSection, SHF_WRITE, SHT_NOBITS, SHT_PROGBITS } from '../elf/elf.ts';
import { MalformedObjectError } from '../errors.ts';

/** Whether a section is global data: `.data`, `.rodata.str1.1`, `.bss`. */
export function isData(section: ElfSection): boolean {
  return /^\.(data|rodata|bss)(\.|$)/.test(section.name) && section.size > 0;
}

/** What a data section begins with, and whether programs may only read it. */
export function dataOf(section: ElfSection): { bytes: Uint8Array; readonly: boolean } {
  if (section.type !== SHT_PROGBITS && section.type !== SHT_NOBITS)
    throw new MalformedObjectError(`section ${section.name} is no data`);
  if (section.size > 0x1000_0000) throw new MalformedObjectError(`section ${section.name} is too large`);
  const bytes = new Uint8Array(section.size);
  bytes.set(section.bytes);
  return { bytes, readonly: (section.flags & SHF_WRITE) === 0 };
}
