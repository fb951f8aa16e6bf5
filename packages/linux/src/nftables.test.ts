import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Nftables, type NftCommand, NftError } from './nftables.ts';
import { testNamespace } from './testing.ts';

const table = { family: 'inet', name: 'test' };
const add = (object: NftCommand[string]): NftCommand => ({ add: object });
const names = (objects: object[] | undefined) => objects?.map((object) => Object.keys(object)[0]);

test('a transaction is done in its namespace, and nowhere else', async (t) => {
  const [a, b] = [testNamespace(t), testNamespace(t)];
  const nft = new Nftables(a);
  assert.equal(await nft.list(table), undefined);
  await nft.apply([
    add({ table }),
    add({ chain: { family: 'inet', table: 'test', name: 'in', type: 'filter', hook: 'input', prio: 0 } }),
    add({ rule: { family: 'inet', table: 'test', chain: 'in', expr: [{ accept: null }] } }),
  ]);
  assert.deepEqual(names(await nft.list(table)), ['table', 'chain', 'rule']);
  assert.deepEqual(names(nft.listSync(table)), ['table', 'chain', 'rule']);
  assert.equal(await new Nftables(b).list(table), undefined);
  nft.applySync([{ delete: { table } }]);
  assert.equal(nft.listSync(table), undefined);
});

test('text of its own language, of any length', async (t) => {
  const nft = new Nftables(testNamespace(t));
  const elements = Array.from({ length: 20_000 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
  await nft.apply(
    `add table inet test\nadd set inet test s { type ipv4_addr; }\nadd element inet test s { ${elements.join(', ')} }`,
  );
  const objects = await nft.list(table);
  const set = objects?.find((object) => 'set' in object)?.set;
  assert.equal((set?.elem as unknown[] | undefined)?.length, elements.length);
});

test('nothing is done of a transaction that is refused, and the error names the command', async (t) => {
  const nft = new Nftables(testNamespace(t));
  const bad = add({ chain: { family: 'inet', table: 'nowhere', name: 'c' } });
  const chain = (name: string) => add({ chain: { family: 'inet', table: 'test', name } });
  const transaction = [add({ table }), chain('a'), chain('b'), bad, chain('c'), chain('d')];
  const refused = (error: unknown) => {
    assert.ok(error instanceof NftError);
    assert.deepEqual(error.command, bad);
    assert.match(error.text, /No such file or directory/);
    return true;
  };
  await assert.rejects(nft.apply(transaction), refused);
  assert.throws(() => nft.applySync(transaction), refused);
  assert.equal(await nft.list(table), undefined);
  await assert.rejects(nft.apply('add gibberish'), (error) => {
    assert.ok(error instanceof NftError);
    assert.match(error.text, /syntax error/);
    assert.equal(error.command, undefined);
    return true;
  });
});

test('a missing executable is named, with the way out', async (t) => {
  const nft = new Nftables(testNamespace(t));
  const path = process.env.PATH!;
  t.after(() => {
    process.env.PATH = path;
  });
  process.env.PATH = '/nowhere';
  const missing = { message: 'the nft executable is missing: install the package nftables' };
  await assert.rejects(nft.apply('list ruleset'), missing);
  assert.throws(() => nft.applySync('list ruleset'), missing);
});
