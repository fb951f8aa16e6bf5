import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { prepareContainerdRoot } from '../containerd/index.ts';
import type { Image, Layer } from './catalog.ts';
import { exclusively } from './exclusive.ts';
import { FileTree } from './file-tree.ts';
import { Fingerprints } from './fingerprint.ts';
import { ensureImages } from './prepare.ts';
import { canonicalReference } from './reference.ts';

const run = promisify(execFile);

async function scratch(t: TestContext): Promise<string> {
  const folder = await mkdtemp(`/var/tmp/${process.env.ENID_TEST_RUN ?? 'enid'}-images-`);
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** An image made from one file, so that changing that changes the image. */
function imageOf(file: string, made: string[] = []): Image {
  const base: Layer = { name: 'base', compose: (tree) => tree.directory('etc') };
  const layer: Layer = {
    name: 'top',
    on: base,
    sources: [file],
    async compose(tree) {
      made.push(file);
      tree.copy('etc/content', file);
    },
  };
  return { names: ['example.com/test'], layer, config: { Cmd: ['/none'] } };
}

suite('container images', { timeout: 60_000 }, () => {
  test('names are completed as containerd does it', () => {
    const expected = {
      busybox: 'docker.io/library/busybox:latest',
      'nginx:1.27': 'docker.io/library/nginx:1.27',
      'nicolaka/netshoot': 'docker.io/nicolaka/netshoot:latest',
      'registry.k8s.io/pause:3.9': 'registry.k8s.io/pause:3.9',
      'localhost/x': 'localhost/x:latest',
      'host:5000/x': 'host:5000/x:latest',
      'docker.io/nginx': 'docker.io/library/nginx:latest',
      'x@sha256:00': 'docker.io/library/x@sha256:00',
    };
    for (const [name, canonical] of Object.entries(expected))
      assert.equal(canonicalReference(name), canonical);
  });

  test('two that ask at once get one set, made once, and later ones find it', async (t) => {
    const cache = await scratch(t);
    await writeFile(join(cache, 'source'), 'one');
    const made: string[] = [];
    const ask = () =>
      ensureImages({ cache: join(cache, 'cache'), images: [imageOf(join(cache, 'source'), made)] });
    const [first, second] = await Promise.all([ask(), ask()]);
    assert.deepEqual(first, second);
    assert.equal(made.length, 1);
    const started = performance.now();
    assert.deepEqual(await ask(), first);
    assert.ok(performance.now() - started < 300);
    assert.equal(made.length, 1);
    assert.deepEqual(first.images[0]!.names, ['example.com/test:latest']);
  });

  test('another source makes another set; what no node uses goes in time', async (t) => {
    const folder = await scratch(t);
    const [cache, source, root] = ['cache', 'source', 'node'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const make = async (content: string) => {
      await writeFile(source, content);
      return await ensureImages({ cache, images: [imageOf(source)] });
    };
    const age = async () => {
      const past = new Date(Date.now() - 3_600_000);
      for (const kind of ['prepared', 'layers'])
        for (const name of await readdir(join(cache, kind)))
          await utimes(join(cache, kind, name), past, past);
    };
    const used = await make('one');
    await prepareContainerdRoot({ prepared: used, root });
    const unused = await make('two');
    assert.notEqual(used.images[0]!.digest, unused.images[0]!.digest);
    await age();
    const newest = await make('three');
    const kept = (await readdir(join(cache, 'prepared'))).sort();
    assert.deepEqual(kept, [used, newest].map((each) => each.folder.split('/').at(-1)).sort());
    assert.ok((await readdir(join(cache, 'layers'))).every((name) => /^(base|top)-/.test(name)));
    // The layer beneath was not made again: it is the file that it was.
    assert.equal((await readdir(join(cache, 'layers'))).filter((name) => name.startsWith('base-')).length, 1);
  });

  test('a failure leaves nothing that is taken for whole', async (t) => {
    const cache = join(await scratch(t), 'cache');
    await mkdir(cache);
    let fails = true;
    const layer: Layer = {
      name: 'broken',
      compose() {
        if (fails) throw new Error('no such compiler');
      },
    };
    const images = [{ names: ['x'], layer, config: {} }];
    await assert.rejects(ensureImages({ cache, images }), /no such compiler/);
    fails = false;
    assert.equal((await ensureImages({ cache, images })).images.length, 1);
  });

  test('a tree is the same archive however it was made, and tar reads it', async (t) => {
    const folder = await scratch(t);
    const long = `${'deep/'.repeat(40)}file`;
    const additions: ((tree: FileTree) => void)[] = [
      (tree) => tree.file('usr/bin/tool', 'content', 0o755),
      (tree) => tree.link('bin', 'usr/bin'),
      (tree) => tree.directory('tmp', 0o1777),
      (tree) => tree.file(long, 'deep'),
    ];
    const pack = async (name: string, steps: typeof additions) => {
      const tree = new FileTree();
      for (const step of steps) step(tree);
      const { createWriteStream } = await import('node:fs');
      await tree.pack(createWriteStream(join(folder, name)));
      return await readFile(join(folder, name));
    };
    assert.deepEqual(await pack('a.tar', additions), await pack('b.tar', additions.toReversed()));
    await run('tar', ['-xpf', join(folder, 'a.tar'), '-C', folder]);
    assert.equal(await readFile(join(folder, 'bin/tool'), 'utf8'), 'content');
    assert.equal((await stat(join(folder, 'bin/tool'))).mode & 0o7777, 0o755);
    assert.equal((await stat(join(folder, 'tmp'))).mode & 0o7777, 0o1777);
    assert.equal(await readFile(join(folder, long), 'utf8'), 'deep');
  });

  test('a key tells content, not times', async (t) => {
    const folder = await scratch(t);
    const source = join(folder, 'source');
    const keyOf = async () => await new Fingerprints().ofImages([imageOf(source)]);
    await writeFile(source, 'one');
    const first = await keyOf();
    await utimes(source, 1, 1);
    assert.equal(await keyOf(), first);
    await writeFile(source, 'two');
    assert.notEqual(await keyOf(), first);
  });

  test('one at a time has a name, in the order of its ends', async () => {
    const name = `test-${process.pid}`;
    const events: string[] = [];
    const work = async (who: string) => {
      await using _ = await exclusively(name);
      events.push(`${who} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      events.push(`${who} ends`);
    };
    await Promise.all(['a', 'b', 'c'].map(work));
    for (let index = 0; index < 6; index += 2)
      assert.equal(events[index]!.replace('begins', 'ends'), events[index + 1]);
  });
});
