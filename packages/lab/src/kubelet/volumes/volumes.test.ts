import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeAtomically } from './atomic-writer.ts';
import { volumeMountsOf } from './mounts.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'enid-kubelet-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

const file = (text: string, mode = 0o644) => ({ data: Buffer.from(text), mode });

test('files change all at once: one link decides, and nothing old stays', async (t) => {
  const volume = join(folder(t), 'volume');
  await writeAtomically(
    volume,
    new Map([
      ['a', file('1')],
      ['dir/b', file('2', 0o400)],
    ]),
  );
  const first = readlinkSync(join(volume, '..data'));
  assert.equal(readlinkSync(join(volume, 'a')), '..data/a');
  assert.equal(readFileSync(join(volume, 'dir/b'), 'utf8'), '2');
  assert.equal(statSync(join(volume, 'dir/b')).mode & 0o777, 0o400);

  await writeAtomically(
    volume,
    new Map([
      ['a', file('new')],
      ['c', file('3')],
    ]),
    4321,
  );
  const second = readlinkSync(join(volume, '..data'));
  assert.notEqual(second, first);
  assert.deepEqual(readdirSync(volume).sort(), [second, '..data', 'a', 'c'].sort());
  assert.equal(readFileSync(join(volume, 'a'), 'utf8'), 'new');
  assert.equal(statSync(join(volume, 'a')).gid, 4321);
});

test('a subPath is made, follows variables, and never leads out of its volume', async (t) => {
  const volume = folder(t);
  const elsewhere = folder(t);
  symlinkSync(elsewhere, join(volume, 'escape'));
  const volumes = new Map([['v', volume]]);
  const env = new Map([['POD', 'web-0']]);
  const mounts = (mount: object) =>
    volumeMountsOf({ name: 'c', volumeMounts: [{ name: 'v', mountPath: '/data', ...mount }] }, volumes, env);
  const [made] = await mounts({ subPathExpr: 'logs/$(POD)', readOnly: true });
  assert.equal(made!.hostPath, join(volume, 'logs/web-0'));
  assert.ok(statSync(made!.hostPath).isDirectory() && made!.readonly);
  await assert.rejects(mounts({ subPath: 'escape' }), /leads out of the volume/);
  await assert.rejects(mounts({ subPath: 'x/../../y' }), /leads out of the volume/);
});
