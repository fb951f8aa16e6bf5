import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readlinkSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { SyscallError } from './errno.ts';
import { NetNamespace } from './netns.ts';
import { testNamespace, uniqueName } from './testing.ts';

const own = () => readlinkSync('/proc/thread-self/ns/net');
const linkOf = (ns: NetNamespace) => `net:[${ns.inode}]`;
const errorWith = (code: string) => (error: unknown) => error instanceof SyscallError && error.code === code;

test('a namespace is made, named, entered and left', (t) => {
  const home = own();
  const ns = testNamespace(t);
  assert.equal(own(), home);
  assert.notEqual(linkOf(ns), home);
  assert.equal(ns.run(own), linkOf(ns));
  assert.equal(own(), home);
  assert.ok(NetNamespace.list().includes(ns.name));
  using again = NetNamespace.named(ns.name);
  assert.equal(again.inode, ns.inode);
});

test('runs nest, and a throw leads back too', (t) => {
  const home = own();
  const outer = testNamespace(t);
  const inner = testNamespace(t);
  assert.deepEqual(
    outer.run(() => [inner.run(own), own()]),
    [linkOf(inner), linkOf(outer)],
  );
  assert.throws(
    () =>
      outer.run(() =>
        inner.run(() => {
          throw new Error('mine');
        }),
      ),
    { message: 'mine' },
  );
  assert.equal(own(), home);
  assert.equal(
    outer.run(() => {
      using current = NetNamespace.current();
      return current.inode;
    }),
    outer.inode,
  );
});

test('asynchronous code is refused', (t) => {
  const ns = testNamespace(t);
  assert.throws(() => ns.run(async () => {}), TypeError);
});

test('iproute2 sees our namespaces, and we see its', (t) => {
  const ns = testNamespace(t);
  const theirs = uniqueName();
  t.after(() => NetNamespace.delete(theirs));
  assert.equal(spawnSync('ip', ['netns', 'add', theirs]).status, 0);
  using opened = NetNamespace.named(theirs);
  assert.equal(opened.run(own), linkOf(opened));
  assert.match(
    spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout,
    new RegExp(`^${ns.name}\\b`, 'm'),
  );
  assert.equal(
    spawnSync('ip', ['netns', 'exec', ns.name, 'readlink', '/proc/self/ns/net'], {
      encoding: 'utf8',
    }).stdout.trim(),
    linkOf(ns),
  );
  assert.equal(spawnSync('ip', ['netns', 'delete', ns.name]).status, 0);
  assert.ok(!existsSync(`/run/netns/${ns.name}`));
});

test('a name is taken once, and deleted as often as one likes', (t) => {
  const ns = testNamespace(t);
  assert.throws(() => NetNamespace.create(ns.name), errorWith('EEXIST'));
  using still = NetNamespace.named(ns.name);
  assert.equal(still.inode, ns.inode);
  NetNamespace.delete(ns.name);
  NetNamespace.delete(ns.name);
  assert.ok(!NetNamespace.list().includes(ns.name));
  assert.throws(() => NetNamespace.named(ns.name), errorWith('ENOENT'));
  assert.equal(ns.run(own), linkOf(ns), 'the handle keeps it alive');
});

test('what is no network namespace is refused', () => {
  for (const path of ['/proc/self/ns/mnt', '/etc/hostname', '/run']) {
    assert.throws(() => NetNamespace.open(path), errorWith('EINVAL'), path);
  }
  for (const name of ['', '.', '..', 'a/b', 'a\0b']) {
    assert.throws(() => NetNamespace.create(name), TypeError);
    assert.throws(() => NetNamespace.delete(name), TypeError);
  }
});

test('a closed namespace is not entered', (t) => {
  const ns = testNamespace(t);
  ns.close();
  ns.close();
  assert.throws(() => ns.run(own), /is closed/);
});

test('nothing is left of a creation that is not allowed', () => {
  const name = uniqueName();
  const script = `
    import { NetNamespace } from ${JSON.stringify(import.meta.resolve('./netns.ts'))};
    try { NetNamespace.create('${name}'); } catch (error) { console.log(error.code); }`;
  const args = [
    '--bounding-set=-sys_admin',
    '--inh-caps=-sys_admin',
    process.execPath,
    '--input-type=module',
    '-e',
  ];
  assert.equal(spawnSync('setpriv', [...args, script], { encoding: 'utf8' }).stdout, 'EPERM\n');
  assert.ok(!existsSync(`/run/netns/${name}`));
});

test('the process ends rather than go on in the wrong namespace', (t) => {
  const ns = testNamespace(t);
  const script = `
    import { closeSync, readdirSync, readlinkSync } from 'node:fs';
    import { NetNamespace } from ${JSON.stringify(import.meta.resolve('./netns.ts'))};
    const home = readlinkSync('/proc/self/ns/net');
    NetNamespace.named('${ns.name}').run(() => {
      for (const fd of readdirSync('/proc/self/fd')) {
        try { if (readlinkSync('/proc/self/fd/' + fd) === home) closeSync(Number(fd)); } catch {}
      }
    });
    console.log('went on');`;
  const result = spawnSync(
    'sh',
    ['-c', 'ulimit -c 0; exec "$0" "$@"', process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  );
  assert.equal(result.signal, 'SIGABRT');
  assert.equal(result.stdout, '');
  assert.match(result.stderr, /cannot return to the network namespace.*\(EBADF\)/);
});

test('file descriptors do not pile up', (t) => {
  const ns = testNamespace(t);
  const count = () => statSync('/proc/self/fd').size;
  const before = count();
  for (let i = 0; i < 100; i++) {
    ns.run(() => {});
    assert.throws(() => NetNamespace.open('/proc/self/ns/mnt'));
    assert.throws(() => NetNamespace.create(ns.name));
  }
  assert.equal(count(), before);
});
