/** What the tests share. */
import { spawnSync } from 'node:child_process';
import type { TestContext } from 'node:test';
import { NetNamespace } from './netns.ts';

let count = 0;

/** A name that no other test uses, of at most 15 bytes. */
export function uniqueName(): string {
  count += 1;
  return `lt${process.pid}-${count}`;
}

/** A namespace of the test's own, named, and deleted after it. */
export function testNamespace(t: TestContext): NetNamespace & { name: string } {
  const name = uniqueName();
  const ns = NetNamespace.create(name);
  t.after(() => {
    ns.close();
    NetNamespace.delete(name);
  });
  return Object.assign(ns, { name });
}

/** What `ip -j` prints, run inside the namespace. */
// biome-ignore lint/suspicious/noExplicitAny: whatever iproute2 prints
export function ip(ns: NetNamespace, ...args: string[]): any {
  const { status, stdout, stderr } = ns.run(() => spawnSync('ip', ['-j', ...args], { encoding: 'utf8' }));
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
  return stdout.trim() === '' ? [] : JSON.parse(stdout);
}

/** Waits for a promise, at most `ms` milliseconds. Keeps the process alive meanwhile. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`nothing happened in ${ms} ms`)), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
