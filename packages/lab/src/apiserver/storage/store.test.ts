import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import type { KubeObject } from '../object.ts';
import { Store } from './store.ts';

const base = mkdtempSync(join(tmpdir(), 'enid-store-'));
after(() => rmSync(base, { recursive: true }));
const newDirectory = () => mkdtempSync(join(base, 'store-'));

const object = (name: string, text: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data: { text },
});

type Change = { readonly key: string; readonly text: string | null };

const changes = fc.array(
  fc.record({
    key: fc.constantFrom('/a', '/b', '/c', '/d'),
    text: fc.option(fc.string({ unit: 'grapheme' })),
  }),
  { minLength: 1, maxLength: 30 },
);

/** Makes changes, where deletions of what is not there are none. */
function make(store: Store, list: readonly Change[]): void {
  for (const { key, text } of list) {
    if (text !== null) store.put('configmaps', key, object(key.slice(1), text));
    else if (store.get('configmaps', key)) store.delete('configmaps', key);
  }
}

function contents(store: Store): string {
  return JSON.stringify([store.revision, [...store.all('configmaps')].sort(byName)]);
}

const byName = (a: KubeObject, b: KubeObject) => (a.metadata.name! < b.metadata.name! ? -1 : 1);

test('a journal that was cut off at any byte holds each change that was finished before, and goes on', async () => {
  const directory = newDirectory();
  const store = new Store(directory);
  const states = [contents(store)];
  for (const [key, text] of [
    ['/a', 'one'],
    ['/b', 'zwölf ☃\n'],
    ['/a', null],
    ['/c', 'x'.repeat(300)],
  ] as const) {
    make(store, [{ key, text }]);
    states.push(contents(store));
  }
  await store.close();
  const bytes = readFileSync(join(directory, 'journal-0'));
  for (let length = 0; length <= bytes.length; length += 1) {
    const copy = newDirectory();
    writeFileSync(join(copy, 'journal-0'), bytes.subarray(0, length));
    const whole = bytes.subarray(0, length).filter((byte) => byte === 10).length;
    const again = new Store(copy);
    assert.equal(contents(again), states[whole], `cut off at ${length}`);
    again.put('configmaps', '/new', object('new', ''));
    const after = contents(again);
    await again.close();
    const third = new Store(copy);
    assert.equal(contents(third), after, `cut off at ${length} and gone on`);
    await third.close();
    rmSync(copy, { recursive: true });
  }
});

test('a byte that has changed is noticed, and the error says where', async () => {
  const directory = newDirectory();
  const store = new Store(directory);
  make(store, [
    { key: '/a', text: 'one' },
    { key: '/b', text: 'two' },
  ]);
  const before = contents(store);
  await store.close();
  const file = join(directory, 'journal-0');
  const bytes = readFileSync(file);
  // All but the last one: without its end a line is one that was being written.
  for (let at = 0; at < bytes.length - 1; at += 1) {
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 1;
    writeFileSync(file, damaged);
    assert.throws(() => new Store(directory), /journal-0 is damaged at byte \d+\. Restore it/, `byte ${at}`);
  }
  writeFileSync(file, bytes);
  const again = new Store(directory);
  assert.equal(contents(again), before);
  await again.close();
});

test('whatever was done and however often it was compacted, what is read again is what was', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(changes, { minLength: 1, maxLength: 4 }), async (sessions) => {
      const directory = newDirectory();
      let before = '';
      for (const session of sessions) {
        const store = new Store(directory, { compactAt: 600 });
        if (before) assert.equal(contents(store), before);
        for (const change of session) {
          make(store, [change]);
          // Compacting goes on meanwhile.
          await new Promise(setImmediate);
        }
        before = contents(store);
        await store.close();
      }
      const store = new Store(directory);
      assert.equal(contents(store), before);
      await store.close();
      rmSync(directory, { recursive: true });
    }),
    { numRuns: 60 },
  );
});

test('a process that is killed while it compacts loses nothing, whichever of its files are there', async () => {
  const directory = newDirectory();
  const store = new Store(directory, { compactAt: 2000 });
  const images: { copy: string; state: string }[] = [];
  for (let i = 0; i < 60; i += 1) {
    store.put('configmaps', `/${i % 7}`, object(String(i % 7), 'x'.repeat(i * 3)));
    // What a kill at this instant would leave.
    for (let steps = 0; steps < 3; steps += 1) {
      const copy = imageOf(directory);
      images.push({ copy, state: contents(store) });
      await new Promise(setImmediate);
    }
  }
  await store.close();
  const files = new Set(images.map(({ copy }) => readdirSync(copy).join(' ').replace(/\d+/g, 'N')));
  assert.ok(
    [...files].some((names) => names.includes('.new')),
    `a snapshot was caught half written: ${[...files].join('; ')}`,
  );
  for (const { copy, state } of images) {
    const again = new Store(copy);
    assert.equal(contents(again), state);
    await again.close();
  }
});

/** A copy of a directory in which a file may get its name meanwhile. */
function imageOf(directory: string): string {
  for (;;) {
    const copy = newDirectory();
    try {
      cpSync(directory, copy, { recursive: true });
      return copy;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}

test('what a killed process has told is there', async () => {
  const directory = newDirectory();
  const program = `
    import { Store } from ${JSON.stringify(fileURLToPath(new URL('./store.ts', import.meta.url)))};
    const store = new Store(${JSON.stringify(directory)}, { compactAt: 20_000 });
    console.log(store.revision);
    const step = () => {
      for (let i = 0; i < 20; i += 1) {
        const { metadata } = store.put('configmaps', '/' + (i % 5), { metadata: { name: 'a' }, data: 'x'.repeat(200) });
        process.stdout.write(metadata.resourceVersion + '\\n');
      }
      setImmediate(step);
    };
    step();`;
  let told = 0;
  for (let round = 0; round < 4; round += 1) {
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface(child.stdout);
    const closed = once(lines, 'close');
    let first: number | undefined;
    lines.on('line', (line) => {
      if (first === undefined) {
        first = Number(line);
        assert.ok(first >= told, `${told} was told, and what is there ends at ${first}`);
      }
      told = Math.max(told, Number(line));
      if (told > first + 500 + round * 137) child.kill('SIGKILL');
    });
    await closed;
    const store = new Store(directory);
    assert.ok(store.revision >= told);
    await store.close();
  }
  assert.ok(told > 2000);
});

test('a change that cannot be written is none', async () => {
  const store = new Store(newDirectory());
  store.put('configmaps', '/a', object('a', 'one'));
  const before = contents(store);
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  assert.throws(() => store.put('configmaps', '/a', { ...object('a', 'two'), data: circular }));
  assert.equal(contents(store), before);
  await store.close();
});

test('a list is shown as it was at any revision that is remembered', async () => {
  await fc.assert(
    fc.asyncProperty(changes, async (list) => {
      const directory = newDirectory();
      const store = new Store(directory, { history: { events: 10, bytes: 1e9 } });
      const states = new Map<number, string>();
      const show = (objects: Iterable<KubeObject>) => JSON.stringify([...objects].sort(byName));
      states.set(0, show([]));
      for (const change of list) {
        make(store, [change]);
        states.set(store.revision, show(store.all('configmaps')));
      }
      for (const [revision, state] of states) {
        const then = store.at('configmaps', revision);
        if (store.revision - revision > 10) assert.equal(then, undefined);
        else assert.equal(show(then!.values()), state);
      }
      await store.close();
      rmSync(directory, { recursive: true });
    }),
    { numRuns: 50 },
  );
});

test('after a restart all changes of one journal at least are still known, and those long before are not', async () => {
  const directory = newDirectory();
  const put = async (store: Store, ...texts: string[]) => {
    for (const text of texts) store.put('configmaps', '/a', object('a', text));
    await store.close();
  };
  // The first change makes a snapshot, and as many as are twice as long make the next.
  await put(new Store(directory, { compactAt: 1 }), 'one');
  const second = new Store(directory, { compactAt: 1 });
  assert.equal(second.history('configmaps').after(0), 0, 'a snapshot alone makes nobody forget');
  await put(second, 'two', 'three', 'four');
  const third = new Store(directory);
  const history = third.history('configmaps');
  assert.equal(history.after(0), undefined, 'before the snapshot before the last one');
  const event = history.at(history.after(1)!)!;
  assert.equal(event.type, 'MODIFIED');
  assert.deepEqual(event.previous?.data, { text: 'one' });
  assert.equal(third.put('secrets', '/s', object('s', '')).metadata.resourceVersion, '5');
  await third.close();
});

test('a journal of which the end is missing in the middle is refused', async () => {
  const directory = newDirectory();
  const store = new Store(directory);
  store.put('configmaps', '/a', object('a', 'one'));
  await store.close();
  // A second journal means that the first one was finished.
  writeFileSync(join(directory, 'journal-1'), '');
  const file = join(directory, 'journal-0');
  truncateSync(file, readFileSync(file).length - 3);
  assert.throws(() => new Store(directory), /damaged/);
});
