import { readFileSync, writeFileSync } from 'node:fs';
import { asSyscallError } from './errno.ts';
import type { NetNamespace } from './netns.ts';

/**
 * Reads a kernel parameter as a namespace has it.
 * @param key as sysctl(8) takes it: `net.ipv4.ip_forward`, or with slashes where a name has a dot in it:
 *   `net/ipv4/conf/eth0.100/rp_filter`.
 * @returns the value without the newline at its end.
 * @throws {SyscallError} ENOENT when there is no such parameter.
 */
export function get(ns: NetNamespace, key: string): string {
  const path = pathOf(key);
  return ns.run(() => about('read', key, () => readFileSync(path, 'utf8'))).trimEnd();
}

/**
 * Sets a kernel parameter in a namespace. Parameters outside `net` are the machine's: they have one value.
 * @throws {SyscallError} ENOENT when there is no such parameter, EINVAL or ERANGE for a value it does not take.
 */
export function set(ns: NetNamespace, key: string, value: string | number): void {
  const path = pathOf(key);
  ns.run(() => about('write', key, () => writeFileSync(path, `${value}\n`, { flag: 'r+' })));
}

function pathOf(key: string): string {
  const parts = key.split(key.includes('/') ? '/' : '.');
  if (parts.some((part) => part === '' || part === '.' || part === '..' || part.includes('\0'))) {
    throw new TypeError(`"${key}" is not a sysctl key such as net.ipv4.ip_forward`);
  }
  // /proc/sys/net shows the namespace of the thread that opens a file.
  return `/proc/sys/${parts.join('/')}`;
}

function about<T>(syscall: string, key: string, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    throw asSyscallError(error, syscall, `sysctl ${key}`);
  }
}
