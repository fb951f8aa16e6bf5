import { closeSync, readFileSync } from 'node:fs';
import type { NetNamespace } from './netns.ts';
import * as sys from './syscalls.ts';

const IPPROTO_RAW = 255;
/** The same numbers for both families (linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h). */
const SO_GET_INFO = 64;
const SO_GET_ENTRIES = 65;
/** struct ipt_getinfo: name, valid hooks, entries and underflows of 5 hooks, number of entries, their size. */
const INFO = { length: 84, size: 80 } as const;
/** struct ipt_get_entries: name, size, and the entries, aligned to 8. */
const ENTRIES = { length: 40, size: 32 } as const;
/** The name of a target and, in one that begins a chain, the name of that (struct xt_error_target). */
const TARGET = { name: 2, chain: 32, nameLength: 29 } as const;

const families = {
  4: { domain: sys.AF_INET, level: 0, names: 'ip_tables_names', targetOffset: 88 },
  6: { domain: sys.AF_INET6, level: 41, names: 'ip6_tables_names', targetOffset: 140 },
} as const;

/**
 * The chains that somebody has added to a table of iptables' older kind (iptables-legacy), which nftables does not show. Loads no
 * kernel module: of a table that was never used there are none.
 * @param table such as `nat`.
 * @throws {SyscallError} EPERM without CAP_NET_ADMIN; EAGAIN when the table was changed meanwhile.
 */
export function legacyChains(ns: NetNamespace, family: 4 | 6, table: string): string[] {
  const { domain, level, names, targetOffset } = families[family];
  if (!tablesOf(ns, names).includes(table)) return [];
  const fd = ns.run(() => sys.socket(domain, sys.SOCK_RAW, IPPROTO_RAW));
  try {
    const name = new TextEncoder().encode(table);
    const info = new Uint8Array(INFO.length);
    info.set(name);
    sys.getsockopt(fd, level, SO_GET_INFO, info);
    const size = new DataView(info.buffer).getUint32(INFO.size, true);
    const entries = new Uint8Array(ENTRIES.length + size);
    entries.set(name);
    new DataView(entries.buffer).setUint32(ENTRIES.size, size, true);
    sys.getsockopt(fd, level, SO_GET_ENTRIES, entries);
    return chainsOf(entries.subarray(ENTRIES.length), targetOffset);
  } finally {
    closeSync(fd);
  }
}

function tablesOf(ns: NetNamespace, file: string): string[] {
  try {
    return ns.run(() => readFileSync(`/proc/thread-self/net/${file}`, 'utf8')).split('\n');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** A chain begins with an entry whose target is ERROR and has its name. So ends the table, by the name ERROR. */
function chainsOf(entries: Uint8Array, targetOffset: number): string[] {
  const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
  const text = (at: number) => {
    const bytes = entries.subarray(at, at + TARGET.nameLength + 1);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  };
  const chains: string[] = [];
  for (let at = 0; at + targetOffset + 4 <= entries.length; ) {
    const target = at + view.getUint16(at + targetOffset, true);
    if (text(target + TARGET.name) === 'ERROR') chains.push(text(target + TARGET.chain));
    const next = view.getUint16(at + targetOffset + 2, true);
    if (next === 0) break;
    at += next;
  }
  return chains.filter((chain) => chain !== 'ERROR');
}
