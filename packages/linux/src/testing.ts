/** What the tests share. */
import { spawnSync } from 'node:child_process';
import type { TestContext } from 'node:test';
import { NetNamespace } from './netns.ts';
import { monitor } from './rtnetlink/monitor.ts';
import { Rtnetlink } from './rtnetlink/rtnetlink.ts';

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

/**
 * Waits until something holds of a namespace, looking again at each change that the kernel tells. The kernel follows
 * some changes later: routes and neighbours a link's carrier, the local route an IPv6 address.
 */
export async function eventually(ns: NetNamespace, holds: (rtnetlink: Rtnetlink) => boolean): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  using rtnetlink = Rtnetlink.open(ns);
  const look = () => {
    if (holds(rtnetlink)) resolve();
  };
  using _ = monitor(ns, ['link', 'address', 'route', 'neighbour'], look);
  look();
  await within(5000, promise);
}
