import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { NetNamespace } from '@enid/linux';
import { Machine } from './machine.ts';

const NETWORK = `enidtest-machine-${process.pid}`;
let scratch: string;
let machine: Machine;
let shared: string;

const inside = (...command: [string, ...string[]]) => {
  const [file, ...args] = machine.command(command);
  return spawnSync(file, args, { encoding: 'utf8' });
};
/** What of the host's mounts the machines could have to do with. */
const mountsOfHost = () =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(` ${scratch}`) || line.includes(' /opt '));

before(async () => {
  scratch = mkdtempSync(`/dev/shm/${process.env.ENID_TEST_RUN ?? 'enid'}-machine-`);
  execFileSync('mount', ['-t', 'tmpfs', 'none', scratch]);
  execFileSync('mount', ['--make-private', scratch]);
  shared = `${scratch}/shared`;
  mkdirSync(shared);
  NetNamespace.create(NETWORK).close();
  machine = new Machine({ network: NETWORK, folder: `${scratch}/node-1` });
  await machine.create({
    hostName: 'ip-10-0-1-5.ec2.internal',
    folders: ['/etc/cni/net.d'],
    files: { '/etc/resolv.conf': 'nameserver 198.51.100.10\n' },
    binds: { '/opt/shared': shared },
  });
});
after(async () => {
  await machine.remove();
  NetNamespace.delete(NETWORK);
  execFileSync('umount', ['--lazy', scratch]);
  rmSync(scratch, { recursive: true });
});

test('it has a name, a network and folders of its own', () => {
  assert.equal(inside('hostname').stdout.trim(), 'ip-10-0-1-5.ec2.internal');
  assert.doesNotMatch(inside('ip', '-o', 'link').stdout, /eth0/);
  assert.equal(inside('ls', '/etc/cni/net.d').status, 0);
  assert.equal(inside('ls', '-A', '/run/netns').stdout, '');
});

test('what it writes is on no other machine, while it sees what the host has', () => {
  const name = `/etc/enidtest-${process.pid}`;
  assert.equal(inside('touch', name).status, 0);
  assert.equal(inside('ls', name).status, 0);
  assert.ok(!existsSync(name));
  assert.equal(inside('cat', '/etc/resolv.conf').stdout, 'nameserver 198.51.100.10\n');
  assert.equal(inside('cat', '/etc/debian_version').stdout, readFileSync('/etc/debian_version', 'utf8'));
});

test('a folder that is bound into it is seen from both sides', () => {
  assert.equal(inside('touch', '/opt/shared/inside').status, 0);
  assert.ok(existsSync(`${shared}/inside`));
  assert.ok(!existsSync('/opt/shared'));
});

test('what it mounts is gone with it', async () => {
  const before = mountsOfHost();
  assert.equal(inside('mount', '-t', 'tmpfs', 'none', '/opt').status, 0);
  assert.deepEqual(mountsOfHost(), before);
  const other = new Machine({ network: NETWORK, folder: `${scratch}/node-2` });
  await other.create({ hostName: 'other' });
  await other.remove();
  assert.deepEqual(mountsOfHost(), before);
  assert.ok(!existsSync(`${scratch}/node-2`));
});
