import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { NetNamespace } from '@enid/linux';
import { LabDirectory, LabNameError } from './directory.ts';
import { isAlive, LabProcesses, release } from './processes.ts';

const directory = new LabDirectory(`proc${process.pid}`);
const processes = new LabProcesses(directory);
before(() => directory.create());
after(async () => {
  await processes.stopAll();
  directory.remove();
});

const start = (name: string, script: string) =>
  processes.start({ name, command: [process.execPath, '-e', script], env: { PATH: process.env.PATH } });

test('a process is found again, and gone when it was stopped', async () => {
  const { child, record } = start('sleeper', 'process.send("up"); setInterval(() => {}, 1000)');
  assert.equal(await processes.firstMessage(child, 'sleeper'), 'up');
  assert.equal(processes.get('sleeper')?.pid, record.pid);
  await processes.stop('sleeper');
  assert.equal(isAlive(record), false);
  assert.equal(processes.get('sleeper'), undefined);
});

test('one that ends before it is ready tells the end of its log', async () => {
  const { child } = start('broken', 'console.error("no such VPC"); process.exit(3)');
  await assert.rejects(processes.firstMessage(child, 'broken'), /broken ended with status 3:\nno such VPC/);
});

test('a later process with the same pid is not taken for it', () => {
  const { child, record } = start('original', 'setInterval(() => {}, 1000)');
  release(child);
  assert.equal(isAlive(record), true);
  assert.equal(isAlive({ ...record, startTime: '1' }), false);
});

test('whatever runs in a namespace is ended', async () => {
  const name = `${directory.prefix}-ns`;
  const namespace = NetNamespace.create(name);
  try {
    const { child, record } = processes.start({
      name: 'inside',
      command: ['/bin/sleep', '1000'],
      env: {},
      namespace,
    });
    release(child);
    await LabProcesses.endInNamespaces([name]);
    assert.equal(isAlive(record), false);
  } finally {
    namespace.close();
    NetNamespace.delete(name);
  }
});

for (const name of ['', 'Lab', 'my-lab', '../etc', '1st', 'a'.repeat(21)]) {
  test(`${JSON.stringify(name)} cannot name a lab`, () =>
    assert.throws(() => new LabDirectory(name), LabNameError));
}
