import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { machineNetwork, startWith } from './enid.ts';
import { labOnly } from './given.ts';
import { until } from './until.ts';

const { test } = labOnly('no cluster: what tests leave on this machine is looked at');

const entries = (folder: string) => (existsSync(folder) ? readdirSync(folder) : []);

/** What tests make on a machine. */
const machine = () => ({
  network: machineNetwork(),
  namespaces: entries('/run/netns'),
  labs: entries('/run/enid'),
  folders: [tmpdir(), '/dev/shm', '/var/tmp'].map(entries),
  mounts: readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4]),
  groups: ['/sys/fs/cgroup', ...entries('/sys/fs/cgroup').map((name) => `/sys/fs/cgroup/${name}`)].map(
    groupsIn,
  ),
  processes: entries('/proc').filter(isOfTests),
});

const groupsIn = (folder: string) =>
  entries(folder).filter((name) => existsSync(`${folder}/${name}/cgroup.procs`));

/** Is a process one of tests that these tests run? */
function isOfTests(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`TMPDIR=${tmpdir()}/enid-test-`);
  } catch {
    return false;
  }
}

for (const [what, file, isThere] of [
  [
    'containers',
    'packages/lab/src/kubelet/kubelet.test.ts',
    () =>
      machine()
        .groups.flat()
        .some((name) => /^enid-test-\d+$/.test(name)),
  ],
  ['a lab', 'test/ips.test.ts', () => existsSync('/run/enid/ipstest/lab.json')],
] as const) {
  test(`nothing is left of tests with ${what} when they are told to end`, async () => {
    const before = machine();
    // Node's test runner does nothing within its own.
    const { child, result } = startWith({ NODE_TEST_CONTEXT: undefined }, 'test', file);
    await until(async () => assert.ok(isThere()), 60_000);
    child.kill('SIGINT');
    const { status, stderr } = await result;
    assert.deepEqual(machine(), before);
    assert.deepEqual([status, stderr], [130, 'enid: interrupted: taking away what the tests have made\n']);
  });
}
