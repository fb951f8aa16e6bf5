import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { installExecutable, removeConflist, writeConflist } from './conflist.ts';

async function folders(t: TestContext) {
  const root = await mkdtemp(join(tmpdir(), 'enid-conflist-'));
  t.after(() => rm(root, { recursive: true }));
  return { root, confDir: join(root, 'net.d'), binDir: join(root, 'bin') };
}

test('the configuration is whole, in a version that every runtime takes', async (t) => {
  const cni = await folders(t);
  await writeConflist(cni);
  assert.deepEqual(await readdir(cni.confDir), ['10-aws.conflist']);
  const conflist = JSON.parse(await readFile(join(cni.confDir, '10-aws.conflist'), 'utf8'));
  assert.equal(conflist.cniVersion, '1.0.0');
  assert.ok(conflist.cniVersions.includes('1.1.0'));
  assert.equal(conflist.name, 'aws-cni');
  assert.deepEqual(conflist.plugins, [{ type: 'aws-cni' }]);
  await removeConflist(cni);
  await removeConflist(cni);
  assert.deepEqual(await readdir(cni.confDir), []);
});

test('portmap is chained where the host has it', async (t) => {
  const cni = await folders(t);
  const built = join(cni.root, 'built');
  await writeFile(built, 'program');
  await installExecutable(cni.binDir, built);
  await writeFile(join(cni.binDir, 'portmap'), '');
  await writeConflist(cni);
  const { plugins } = JSON.parse(await readFile(join(cni.confDir, '10-aws.conflist'), 'utf8'));
  assert.deepEqual(
    plugins.map(({ type }: { type: string }) => type),
    ['aws-cni', 'portmap'],
  );
  assert.deepEqual(plugins[1].capabilities, { portMappings: true });
});

test('the executable is installed, replaced when it changes, and left when there is none to put', async (t) => {
  const { root, binDir } = await folders(t);
  const built = join(root, 'built');
  await assert.rejects(
    installExecutable(binDir, built),
    /bin\/aws-cni does not exist and .*built is not built/,
  );
  await writeFile(built, 'one');
  await installExecutable(binDir, built);
  const target = join(binDir, 'aws-cni');
  assert.equal((await stat(target)).mode & 0o777, 0o755);
  const { ino } = await stat(target);
  await installExecutable(binDir, built);
  assert.equal((await stat(target)).ino, ino, 'the same was installed again');
  await writeFile(built, 'other');
  await installExecutable(binDir, built);
  assert.equal(await readFile(target, 'utf8'), 'other');
  await rm(built);
  await installExecutable(binDir, built);
});
